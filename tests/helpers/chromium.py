"""A headless Chromium that is installed on this machine, to open pages from disk without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
FLAGS += ["--no-sandbox", "--disable-dev-shm-usage"]  # for the user root, and for containers with little shared memory


def installed() -> str | None:
    """Return the path of Chromium or Chrome, or None if there is neither."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Yield a Playwright browser; it is closed at the end of the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: "Browser",
    path: Path,
    *,
    width: int = 1280,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
) -> "tuple[Page, list[str]]":
    """Open a page from disk, offline, and wait until its scripts have run.

    Args:
        browser: from `chromium`.
        path: the HTML file, whose scripts set `data-ready` when they have finished.
        width, height: size of the window, pixels.
        scheme: the colour scheme that the user prefers.

    Returns:
        The page, and a list of its console messages, errors and network requests, which grows while it is open.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page, messages = context.new_page(), []
    address = path.resolve().as_uri()

    def record_request(url: str) -> None:
        if url.split("#")[0] != address:
            messages.append(f"asked {url[:200]}")

    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("request", lambda request: record_request(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    return page, messages
