"""A headless Chromium that is installed on this machine and has no network, to open pages from disk."""

import shutil
from contextlib import contextmanager

QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
QUIET += ["--no-sandbox", "--disable-dev-shm-usage"]  # as root, and in containers with little shared memory


def installed() -> str | None:
    """The path of Chromium or Chrome, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium():
    """Yield a Playwright browser; it is closed in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


def opened(browser, page, *, width: int = 1280, height: int = 1000, scheme: str = "light"):
    """Open a page from disk, offline: (Playwright's page, what it asked the network for and complained about)."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    tab, said = context.new_page(), []
    address = page.resolve().as_uri()
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.on(
        "request", lambda request: request.url.split("#")[0] != address and said.append(f"asked {request.url[:200]}")
    )
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]")
    return tab, said
