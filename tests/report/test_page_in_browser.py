"""The report in headless Chromium, from disk and without a network: one page, used as people would."""

import shutil
import subprocess
import tarfile
from dataclasses import replace
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.helpers.chromium import chromium, installed, open_page
from tests.helpers.experiment_files import make_campaign
from vprlib.data.image_table import APART, read_image_table, select_rows
from vprlib.io.files import write_csv
from vprlib.io.fingerprints import sha256_of_file
from vprlib.report.artifacts import EvaluatedNetwork
from vprlib.report.page import build_page

pytestmark = pytest.mark.skipif(not installed(), reason="no chromium on this machine; tests/install_browser.sh gets it")
NASTY = "\"><img src=x onerror=alert(1)>'&%{y}"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    sizes = {"queries": 80, "database": 120, "size": (160, 120)}
    return make_campaign(
        folder, runs=["plain", "better"], names=["town", "drive"], **sizes, text=NASTY, frames=["drive"]
    )


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def page(campaign, browser):
    """The page, open; whatever it complains of or asks the network for fails the test that sees it."""
    build_page(campaign.results / "report.html", campaign)
    tab, said = open_page(browser, campaign.results / "report.html")
    tab.said = said
    return tab


@pytest.fixture(autouse=True)
def quiet(request):
    """Every test ends without a word on the console, a request or a dialog."""
    yield
    if "page" in request.fixturenames:
        assert request.getfixturevalue("page").said == []


def seen(page, selector):
    page.locator(selector).first.scroll_into_view_if_needed()
    return page.locator(selector)


def settled(page):
    """Let the page answer the last input."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_sorting_by_a_column_orders_the_rows_and_says_so(page):
    header = page.locator("#comparison-table th", has_text="R@1").first
    cells = "#comparison-table tbody tr td:nth-of-type(3)"
    for order, reverse in (("descending", True), ("ascending", False)):
        header.get_by_role("button").click()
        values = [float(one) for one in page.locator(cells).evaluate_all("all => all.map(one => one.dataset.value)")]
        assert len(set(values)) > 2
        assert values == sorted(values, reverse=reverse)
        assert header.get_attribute("aria-sort") == order


def test_filtering_shows_only_the_rows_that_fit(page):
    rows = page.locator("#comparison-table tbody tr:visible")
    assert rows.count() == 4
    page.locator("form[data-filters] input[name=text]").fill("better")
    assert rows.count() == 2
    assert page.locator("form[data-filters] output").inner_text() == "2 of 4 rows"
    for typed, shown in (("bett tow", 1), ("whit 256", 4), ("etter", 0), ("files", 0), ("better plain", 0)):
        page.locator("form[data-filters] input[name=text]").fill(typed)
        assert rows.count() == shown, f"{typed}: each word begins a word of a name"
    page.locator("form[data-filters] input[name=text]").fill("better")
    page.locator("form[data-filters] select[name=dataset]").select_option("drive")
    assert "better" in rows.inner_text()
    page.locator("form[data-filters]").evaluate("form => { form.reset(); form.dispatchEvent(new Event('input')) }")
    assert rows.count() == 4


def test_finding_an_evaluation_by_names_and_hashes(page, campaign):
    seen(page, "#find-source")
    digest = sha256_of_file(campaign.results / "town/better/seed0/gen0/recalls.csv")
    for typed, shown in (("better", 2), ("town better", 1), (digest[:9], 1), ("margin", 0), ("", 4)):
        page.locator("#find-source").fill(typed)
        assert page.locator("details.origin:visible").count() == shown, typed
        assert page.locator("#found-sources").inner_text() == f"{shown} of 4 evaluations"
        assert page.locator("#provenance h3:visible").count() == min(shown, 2)


@pytest.fixture(scope="module")
def dark(campaign, page, browser):
    """The same page in the dark theme, with a chart drawn; all that it says but of charts that it saves is wrong."""
    tab, said = open_page(browser, campaign.results / "report.html", scheme="dark")
    seen(tab, "#dataset-town figure[data-chart=recalls]")
    tab.wait_for_selector("#dataset-town figure[data-chart=recalls][data-drawn]")
    tab.said = said
    yield tab
    assert not [one for one in said if not one.startswith("asked blob:")]
    tab.close()


@pytest.mark.parametrize("kind", ["SVG", "PNG"])
def test_a_chart_saved_from_the_dark_page_is_dark_on_white_with_its_names(dark, kind, tmp_path):
    button = dark.locator(f"figure[data-chart=recalls] .modebar-btn[data-title='Save as {kind}']").first
    with dark.expect_download() as download:
        button.click(force=True)
    assert download.value.suggested_filename == f"town-recalls.{kind.lower()}"
    download.value.save_as(tmp_path / "saved")
    if kind == "PNG":
        with Image.open(tmp_path / "saved") as picture:
            assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    else:
        text = (tmp_path / "saved").read_text()
        assert "rgb(0, 114, 178)" in text, "the light theme's first hue"
        assert "rgb(47, 143, 216)" not in text
        assert "better, whitened 256-D" in text
        assert "recall@N" in text
    while dark.locator("#dataset-town figure[data-chart=recalls] .legend").count():
        dark.wait_for_timeout(50)


def test_a_zoom_stays_as_a_chart_is_saved_and_lines_are_chosen(dark, tmp_path):
    figure = dark.locator("#dataset-town figure[data-chart=recalls]")
    ticks = figure.locator(".xtick text")
    everything = ticks.all_text_contents()
    figure.locator(".modebar-btn[data-title='Zoom in']").click(force=True)
    zoomed = ticks.all_text_contents()
    assert 0 < len(zoomed) < len(everything)
    with dark.expect_download() as download:
        figure.locator(".modebar-btn[data-title='Save as SVG']").click(force=True)
    download.value.save_as(tmp_path / "saved.svg")
    saved = ElementTree.parse(tmp_path / "saved.svg").iterfind(".//{*}g[@class='xtick']/{*}text")
    assert ["".join(one.itertext()) for one in saved] == zoomed
    box = dark.locator("#dataset-town .toggles input").first
    for drawn in (1, 2):
        box.click()
        dark.wait_for_selector(f"#dataset-town figure[data-chart=recalls][data-drawn='{drawn}']")
        assert ticks.all_text_contents() == zoomed
    assert figure.locator(".legend").count() == 0
    figure.locator(".modebar-btn[data-title='Reset axes']").click(force=True)
    assert ticks.all_text_contents() == everything


def test_a_chart_that_cannot_be_saved_leaves_the_page_as_it_was(dark):
    """The library is told to fail; what the page says of it is the one line that is expected."""
    dark.evaluate("() => { window.kept = Plotly.downloadImage; Plotly.downloadImage = () => Promise.reject('none') }")
    figure = dark.locator("#dataset-town figure[data-chart=recalls]")
    with dark.expect_event("pageerror"):
        figure.locator(".modebar-btn[data-title='Save as PNG']").click(force=True)
    dark.evaluate("() => { Plotly.downloadImage = window.kept }")
    figure.locator(".legend").wait_for(state="detached")
    strokes = figure.locator(".js-line").evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
    assert "rgb(47, 143, 216)" in strokes
    dark.said.remove("error: none")


def test_the_map_is_saved_as_it_is_zoomed_with_its_dataset_and_network(dark, tmp_path):
    seen(dark, "#map-figure")
    dark.wait_for_selector("#map-figure[data-drawn=town]")
    range_of = "() => document.querySelector('#map-figure .plot')._fullLayout.xaxis.range"
    before = dark.evaluate(range_of)
    dark.locator("#map-filters").get_by_role("button", name="Zoom in").click()
    dark.wait_for_function(f"({range_of})()[0] > {before[0]}")
    with dark.expect_download() as download:
        dark.locator("#map-figure .modebar-btn[data-title='Save as SVG']").click(force=True)
    assert download.value.suggested_filename == "town-map.svg"
    download.value.save_as(tmp_path / "saved.svg")
    words = "".join(ElementTree.parse(tmp_path / "saved.svg").getroot().itertext())
    network = dark.locator("#map-filters [name=system] option:checked").inner_text()
    assert f"town{network}" in words
    dark.locator("#map-figure .gtitle").wait_for(state="detached")
    left, right = dark.evaluate(range_of)  # a metre is as long on both axes, so another margin moves them a little
    assert before[0] < left < right < before[1]


def test_printing_the_dark_page_is_dark_on_white(dark):
    lines = dark.locator("#dataset-town [data-chart=recalls] .js-line")
    strokes = "all => all.map(one => getComputedStyle(one).stroke)"
    assert "rgb(47, 143, 216)" in lines.evaluate_all(strokes)
    dark.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    dark.wait_for_timeout(100)
    assert "rgb(0, 114, 178)" in lines.evaluate_all(strokes)
    dark.emulate_media(media="print", color_scheme="dark")
    body = "() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert dark.evaluate(body) == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert dark.locator("#comparison-table thead button:visible").count() == 0
    assert dark.locator("#comparison-table thead .printed:visible").first.inner_text() == "dataset, protocol"
    dark.emulate_media(media="screen", color_scheme="dark")
    dark.evaluate("window.dispatchEvent(new Event('afterprint'))")
    dark.wait_for_timeout(100)
    assert "rgb(47, 143, 216)" in lines.evaluate_all(strokes)


def test_toggling_a_run_takes_its_line_out_of_every_chart_and_hovering_tells_the_numbers(page):
    figure = seen(page, "#dataset-town figure[data-chart=recalls]")
    page.wait_for_selector("#dataset-town figure[data-chart=recalls][data-drawn='2']")
    box = page.locator("#dataset-town .toggles input").first
    box.uncheck()
    page.wait_for_selector("#dataset-town figure[data-chart=recalls][data-drawn='1']")
    assert not page.locator("#dataset-drive .toggles input").first.is_checked()
    box.check()
    page.wait_for_selector("#dataset-town figure[data-chart=recalls][data-drawn='2']")
    point = figure.locator(".point").last.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    text = figure.locator(".hoverlayer .hovertext")
    text.first.wait_for()
    assert "whitened 256-D" in text.first.text_content()


def test_twenty_failures_by_keyboard(page):
    seen(page, "#explorer-filters")
    page.wait_for_selector("#explorer-list .row")
    page.locator("#explorer-list").focus()
    titles = set()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
        titles.add(page.locator("#explorer-detail h3").inner_text())
        chosen = page.locator("#explorer-list").get_attribute("aria-activedescendant")
        assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    assert len(titles) == 20
    assert page.locator("#explorer-list .row").count() < 40, "only the rows that are seen are there"
    for key, place in (("k", 19), ("Home", 0)):
        page.keyboard.press(key)
        assert page.locator("#explorer-list").get_attribute("aria-activedescendant") == f"row-{place}"
    photos = page.locator("#explorer-detail img")
    assert photos.count() == 12, "the query, the right photo, and five candidates of each network"
    assert photos.evaluate_all("all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth > 9)))")
    assert page.locator("#explorer-detail .frame.is-wrong").count() >= 1


def test_the_explorer_filters_by_who_is_right_by_distance_and_by_condition(page):
    form = seen(page, "#explorer-filters")
    page.wait_for_selector("#explorer-list .row")

    def count(**values):
        for name, value in values.items():
            field = form.locator(f"[name={name}]")
            field.select_option(value) if field.evaluate("one => one.tagName") == "SELECT" else field.fill(value)
        settled(page)
        return int(page.locator("#explorer-count").inner_text().split()[0])

    sums = [count(a_is=a, b_is=b) for a in ("right", "wrong") for b in ("right", "wrong")]
    assert sum(sums) == 80
    assert min(sums) > 0
    errors = "one => one.textContent.match(/A . ([\\d,.]+) m/)[1].replaceAll(',', '')"
    assert 0 < count(a_is="wrong", b_is="", least="30", most="60") < 80
    shown = page.locator("#explorer-list .row").evaluate_all(f"all => all.map({errors})")
    assert all(30 <= float(one) <= 60 for one in shown)
    assert count(a_is="", least="", most="", condition0="0") + count(condition0="1") == 80
    assert count(condition0="", text="query_00007") == 10
    count(text="")


def test_who_is_right_is_a_button_with_its_count(page):
    seen(page, "#explorer-filters")
    page.wait_for_selector("#explorer-list .row")
    buttons, counts = page.locator("[data-who]"), {}
    for button in buttons.all():
        button.click()
        settled(page)
        who = button.get_attribute("data-who")
        counts[who] = int(button.locator("small").inner_text())
        assert page.locator("#explorer-count").inner_text() == f"{counts[who]} of 80 queries"
        assert buttons.evaluate_all("all => all.filter(one => one.ariaPressed === 'true').length") == 1
        a, b = (
            f"{letter} {'✓' if one == 'right' else '✗'}" for letter, one in zip("AB", who.split() or "xx", strict=True)
        )
        if who.strip():
            marks = page.locator("#explorer-list .row .marks").all_inner_texts()
            assert all(a in one and b in one for one in marks)
    everything = counts.pop(" ")
    assert everything == sum(counts.values()) == 80
    assert min(counts.values()) > 0
    for name, value in (("a_is", "wrong"), ("b_is", "")):
        page.locator(f"#explorer-filters [name={name}]").select_option(value)
    settled(page)


def test_the_right_photo_and_the_scores_are_those_of_the_files(page, campaign):
    seen(page, "#explorer-filters")
    page.wait_for_selector("#explorer-list .row")
    table = read_image_table(campaign.results / "town/images.csv")
    query, database = (select_rows(table, "test", role) for role in ("query", "database"))
    names = page.locator("#explorer-filters [name=a] option").all_inner_texts()
    shown = page.locator("#explorer-filters [name=a]").input_value()
    run = names[int(shown)].split(",")[0]
    with h5py.File(campaign.evaluation("town", EvaluatedNetwork(run, 0, 0, "")) / "ranking.h5") as file:
        scores = file["all/whitened/score"][:]
    stepped = page.locator("[data-step='1']")
    for _ in range(5):
        number = int(page.locator("#explorer-detail h3").inner_text().split()[1])
        own = page.locator("#explorer-detail .answers").first.locator("small").all_inner_texts()
        assert own == [f"score {score:.3f}" for score in scores[number, :5]]
        far = np.hypot(database.east - query.east[number], database.north - query.north[number])
        caption = page.locator("#explorer-detail .asked figcaption").nth(1).inner_text()
        assert caption == f"✓ nearest correct photo: {far.min():.1f} m"
        assert (
            page.locator("#explorer-detail .asked figure").nth(1).get_attribute("title") == database.path[far.argmin()]
        )
        stepped.click()
    assert page.locator("#explorer-place").inner_text().startswith("6 of ")


def test_the_map_zooms_and_leads_to_the_photos(page):
    seen(page, "#map-figure")
    page.wait_for_selector("#map-figure[data-drawn=town]")
    width = (
        "() => { const a = document.querySelector('#map-figure .plot')._fullLayout.xaxis.range; return a[1] - a[0] }"
    )
    before = page.evaluate(width)
    buttons = page.locator("#map-filters")
    buttons.get_by_role("button", name="Zoom in").click()
    page.wait_for_function(f"({width})() < {0.7 * before}")
    buttons.get_by_role("button", name="All", exact=True).click()
    page.wait_for_function(f"({width})() > {0.9 * before}")
    page.evaluate(
        """() => document.querySelector('#map-figure .plot').emit('plotly_click', {points: [{customdata: 7}]})"""
    )
    page.wait_for_function("document.querySelector('#explorer-detail h3').textContent === 'Query 7'")
    names = page.locator("#map-figure .legendtext").all_text_contents()
    assert names[0].startswith("database (120 positions)")
    assert page.locator("#map-figure .xtitle").text_content() == "east, m (UTM)"
    page.locator("#map-filters select[name=dataset]").select_option("drive")
    page.locator("#map-gap").wait_for()
    assert not page.locator("#map-figure").is_visible()


def test_a_query_of_the_map_keeps_the_filters_that_it_fits_and_says_which_it_does_not(page):
    form, said = seen(page, "#explorer-filters"), page.locator("#explorer-said")
    page.locator("#map-filters select[name=dataset]").select_option("town")
    page.locator("[data-who='wrong right']").click()
    form.locator("[name=text]").fill("query")
    settled(page)
    row, count = page.locator("#explorer-list .row").nth(1).inner_text(), page.locator("#explorer-count").inner_text()
    number = int(row.removeprefix("#").split()[0])
    choose = "n => document.querySelector('#map-figure .plot').emit('plotly_click', {points: [{customdata: n}]})"
    page.evaluate(choose, number)
    settled(page)
    assert page.locator("#explorer-detail h3").inner_text() == f"Query {number}"
    assert (page.locator("#explorer-count").inner_text(), said.inner_text()) == (count, "")
    page.locator("[data-who='right right']").click()
    settled(page)
    page.evaluate(choose, number)
    settled(page)
    assert page.locator("#explorer-detail h3").inner_text() == f"Query {number}"
    assert "were cleared" in said.inner_text()
    assert page.locator("#explorer-count").inner_text() == "80 of 80 queries"
    assert form.locator("[name=text]").input_value() == ""


def test_lines_of_the_map_are_drawn_of_few_wrong_queries_or_if_asked_for(page):
    seen(page, "#map-figure")
    page.wait_for_selector("#map-figure[data-drawn=town]")
    lines, box = page.locator("#map-figure .scatterlayer .trace .js-line"), page.locator("#map-filters [name=lines]")
    wrong = int(page.locator("#map-lines").inner_text())
    assert (box.is_checked(), lines.count()) == (True, wrong)
    box.uncheck()
    settled(page)
    assert lines.count() == 0
    box.check()
    settled(page)
    assert lines.count() == wrong > 0


def test_text_of_the_user_is_text(page):
    assert page.locator("img[src=x]").count() == 0
    assert NASTY in page.locator("#dataset-town h3").first.inner_text()
    assert "onerror" in page.locator("#explorer-detail code").inner_text()


def test_nothing_is_wider_than_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("innerWidth === 390")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 1000})


def test_a_phone_turned_sideways_has_all_filters_of_the_failures(campaign, page, browser):
    tab, said = open_page(browser, campaign.results / "report.html", width=390, height=844)
    order = seen(tab, "#explorer-filters").locator("[name=order]")
    assert not order.is_visible()
    tab.set_viewport_size({"width": 844, "height": 390})
    order.wait_for(state="visible")
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.locator(".more > summary").wait_for(state="visible")
    assert order.is_visible(), "what was open stays so"
    assert said == []
    tab.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("no npm to get axe-core with")
    command = ["npm", "pack", "axe-core@4", "--silent", "--pack-destination", folder]
    got = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    archives = list(folder.glob("axe-core-*.tgz"))
    if got.returncode or not archives:
        pytest.skip("npm cannot get axe-core here")
    with tarfile.open(archives[0]) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation_of_accessibility(page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    page.evaluate("() => { for (const one of document.querySelectorAll('details')) one.open = true }")
    page.wait_for_timeout(300)
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(one => one.violations)")
    bad = {one["id"]: [node["html"][:200] for node in one["nodes"]][:3] for one in found if one["impact"] in SERIOUS}
    assert not bad
    page.emulate_media(color_scheme="light")


SERIOUS = ("serious", "critical")


def test_a_page_of_nothing_and_a_page_of_a_part_have_gaps_and_no_errors(campaign, browser, tmp_path):
    shutil.copytree(campaign.results / "town", tmp_path / "part/town", symlinks=True)
    shutil.rmtree(tmp_path / "part/town/better")
    for name, gap in (("nothing", "There are no recalls yet."), ("part", "drive: plain, seed 0, generation 0")):
        some = replace(campaign, results=tmp_path / name, logs=tmp_path / "logs", gaps=[])
        build_page(tmp_path / name / "preview.html", some, complete=False)
        tab, said = open_page(browser, tmp_path / name / "preview.html")
        for section in tab.locator("main > section").all():
            section.scroll_into_view_if_needed()
        tab.wait_for_timeout(300)
        assert said == []
        assert gap in tab.locator("main").text_content()


def test_places_without_coordinates_are_the_same_or_other_and_have_no_map(campaign, browser, tmp_path):
    shutil.copytree(campaign.results / "town", tmp_path / "places/town", symlinks=True)
    table = read_image_table(tmp_path / "places/town/images.csv")
    table["east"], table["north"] = APART * (table.groupby(["split", "role"]).cumcount() % 40), 0.0
    table.loc[table.path.str.contains("test_query_000000"), "east"] = 500 * APART
    write_csv(tmp_path / "places/town/images.csv", table)
    build_page(tmp_path / "p.html", replace(campaign, results=tmp_path / "places", gaps=[]), complete=False)
    tab, said = open_page(browser, tmp_path / "p.html")
    seen(tab, "#explorer-filters")
    tab.wait_for_selector("#explorer-list .row")
    assert not tab.locator("#explorer-error").is_visible()
    tab.locator("[data-who='wrong wrong']").click()
    settled(tab)
    tab.locator("[data-step='1']").click()
    captions = [one.split("\n")[0] for one in tab.locator("#explorer-detail figcaption").all_inner_texts()]
    assert captions[:2] == ["the query", "✓ a correct photo: same place"]
    assert {caption.replace(" ", "") for caption in captions[2:]} <= {"✓sameplace", "✗otherplace"}
    tab.locator("[data-who=' ']").click()
    tab.locator("#explorer-filters [name=text]").fill("query_000000")
    settled(tab)
    assert "the database has no correct photo" in tab.locator("#explorer-detail .asked").inner_text()
    seen(tab, "#map")
    tab.locator("#map-gap").wait_for()
    assert "No coordinates" in tab.locator("#map-gap").inner_text()
    assert said == []
    tab.close()


def test_printing_draws_what_was_never_seen(campaign, page, browser):
    tab, said = open_page(browser, campaign.results / "report.html")
    while not tab.evaluate("window.Plotly && true"):
        tab.wait_for_timeout(50)
    tab.pdf()
    empty = "all => all.filter(one => !one.querySelector('.main-svg')).length"
    assert tab.locator("[data-chart]").evaluate_all(empty) == 0
    titles = tab.locator(".modebar-btn").evaluate_all("all => all.map(one => one.dataset.title ?? '')")
    assert titles
    assert not [title for title in titles if "hare" in title or "loud" in title], "a chart can leave the page"
    assert said == []
    tab.close()


def test_a_printed_page_cuts_nothing_and_lists_only_the_lines_that_are_drawn(page, browser, campaign):
    tab, said = open_page(browser, campaign.results / "report.html", width=718)  # a sheet of A4 without its margins
    box = tab.locator("#dataset-town .toggles input").first
    hidden = box.get_attribute("value")
    box.uncheck()
    tab.emulate_media(media="print")
    wider = "all => all.filter(one => one.getClientRects().length && one.getBoundingClientRect().right > 719).length"
    assert tab.locator("main table").evaluate_all(wider) == 0
    names = tab.locator("#dataset-town .toggles label:visible").all_inner_texts()
    assert names
    assert hidden not in names
    assert tab.locator(".toggles input:visible").count() == 0
    breaks = "all => all.map(one => getComputedStyle(one).breakAfter)"
    assert set(tab.locator("h2, h3, h4, figcaption").evaluate_all(breaks)) == {"avoid"}
    assert said == []
    tab.close()


def test_a_short_table_and_the_legend_of_the_charts_show_whole_rows(page):
    table = seen(page, "#comparison .scroll")
    assert table.locator("tbody tr:visible").count() < 25
    assert table.evaluate("one => one.scrollHeight - one.clientHeight") <= 1
    lines = page.locator(".toggles .lines").first
    height = "one => [parseFloat(getComputedStyle(one).maxHeight), one.children[0].getBoundingClientRect().height]"
    most, row = lines.evaluate(height)
    assert (most - 2 * 3 + 2) % (row + 2) <= 2, "the last row of the list is cut"  # 3 of padding, 2 between rows
