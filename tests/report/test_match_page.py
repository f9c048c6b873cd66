"""The page of `vprlib match`: what it shows, how large it grows, and how it looks on a phone."""

import re

import numpy as np
import pytest

from tests.helpers.chromium import chromium, installed
from vprlib.report.match_page import SHOWN, write_match_page

NAMES = ["a<b>&'\".jpg", "plain.jpg", "sub/Ünï.jpg"]


@pytest.fixture
def photos(tmp_path, photo):
    """Three queries, the first with a name that HTML would read, and eight database photos."""
    queries, database = tmp_path / "q", tmp_path / "db"
    for seed, name in enumerate(NAMES):
        photo(queries / name, seed=seed, size=(400, 300))
    for number in range(8):
        photo(database / f"{number}.jpg", seed=10 + number, size=(300, 400))
    rng = np.random.default_rng(0)
    ranking_QK = np.stack([rng.permutation(8) for _ in NAMES])
    score_QK = -np.sort(-rng.random((3, 8)).astype(np.float32))
    return [str(queries / name) for name in NAMES], [str(database / f"{n}.jpg") for n in range(8)], ranking_QK, score_QK


def test_each_query_stands_beside_its_first_candidates(photos, tmp_path):
    assert write_match_page(tmp_path / "m.html", *photos, network="<net>") == 3
    text = (tmp_path / "m.html").read_text()
    rows = text.split('<section class="match"')[1:]
    assert len(rows) == 3
    for row, name, ranking, scores in zip(rows, NAMES, photos[2], photos[3], strict=True):
        names = re.findall(r"<span>(.*?)</span>", row)
        shown = [f"db/{n}.jpg" for n in ranking[:SHOWN]]
        assert names[1:] == shown
        assert re.findall(r"<b>(0\.\d{3})</b>", row) == [f"{score:.3f}" for score in scores[:SHOWN]]
        assert "<" not in names[0]
        assert row.count("<img ") == 1 + SHOWN
        assert len(names[0]) >= len(name)
    assert "&lt;net&gt;" in text
    assert "<net>" not in text
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", text)
    assert "are shown, because" not in text


def test_a_page_that_would_grow_too_large_says_how_many_queries_it_shows(photos, tmp_path):
    whole = write_match_page(tmp_path / "m.html", *photos, network="net")
    size = (tmp_path / "m.html").stat().st_size
    photos[0][2] = photos[0][1]
    shown = write_match_page(tmp_path / "m.html", *photos, network="net", megabytes=size / 2e6)
    assert 0 < shown < whole
    assert f"The first {shown} of 3 queries are shown" in (tmp_path / "m.html").read_text()


@pytest.mark.skipif(not installed(), reason="Chromium is not installed: tests/install_browser.sh")
def test_it_fits_a_phone_and_loads_nothing(photos, tmp_path):
    write_match_page(tmp_path / "m.html", *photos, network="net")
    address = (tmp_path / "m.html").resolve().as_uri()
    with chromium() as browser:
        for width in (390, 1280):
            page = browser.new_context(viewport={"width": width, "height": 844}, offline=True).new_page()
            messages = []
            page.on("console", lambda message, said=messages: said.append(message.text))
            page.on(
                "request",
                lambda request, said=messages: (
                    said.append(request.url[:50]) if not request.url.startswith(("data:", address)) else None
                ),
            )
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            assert page.locator("section.match").count() == 3
            assert page.locator("figcaption span").first.inner_text() == f"q/{NAMES[0]}"
            assert not messages
