"""The report's parts: numbers equal the tables, photos fit the budget, what is missing is a gap that says so."""

import base64
import json
import re
import shutil
import sys
import time
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from PIL import Image

from tests.helpers.experiment_files import make_campaign
from tests.helpers.recall_tables import recalls
from vprlib.data.image_table import APART, read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.intervals import mean_recall_interval
from vprlib.evaluation.series import summarize_recalls
from vprlib.figures.marks import DASHES, HUES, MARKERS
from vprlib.figures.style import MATPLOTLIB_MARKERS, line_styles
from vprlib.io.files import write_csv, write_json
from vprlib.io.fingerprints import sha256_of_file
from vprlib.jobs.resource_usage import ResourceMeter, gpus_used
from vprlib.report import page, provenance
from vprlib.report.charts import chart_lines, dataset_charts, size_charts, training_charts
from vprlib.report.cost import CORE_WATTS, DRAWN, machine_lines, read_usage, stage_rows, total_row
from vprlib.report.encoding import encode_block, json_value, smallest_type
from vprlib.report.page import build_page
from vprlib.report.page_tables import comparison_table, mark_best, mark_tied
from vprlib.report.provenance import command_for, evaluation_sources, source_id
from vprlib.report.query_results import (
    TOP,
    NetworkResults,
    QueryResults,
    collect_query_results,
    coordinate_kind,
    page_arrays,
    shown_images,
)
from vprlib.report.thumbnails import (
    choose_thumbnails,
    inline_thumbnails,
    make_thumbnail,
    queries_by_importance,
    shown_candidates,
)

RUNS, TOWNS = ["plain", "better"], ["town", "drive"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A campaign with nothing missing; not to be changed."""
    folder = tmp_path_factory.mktemp("campaign")
    return make_campaign(folder, runs=RUNS, names=TOWNS, queries=60, database=90, size=(120, 80))


@pytest.fixture
def campaign(whole, tmp_path):
    """The same with files of its own, to be broken."""
    shutil.copytree(whole.results, tmp_path / "results", ignore=shutil.ignore_patterns("thumbnails", "*.html"))
    return replace(whole, results=tmp_path / "results", logs=tmp_path / "logs", gaps=[])


def unpacked(text) -> dict:
    """What the page's script makes of a `encode_block`."""
    data = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(data[:4], "little")
    header, body = json.loads(data[4 : 4 + length]), data[4 + length :]
    assert not (4 + length) % 8
    found = {n: np.frombuffer(body, kind, size, at) for n, (kind, at, size) in header["arrays"].items()}
    return header["plain"] | found


def test_a_block_comes_back():
    values = {"a": np.array([1, 2, 3], np.uint8), "b": np.array([-5, 2**30], np.int32), "text": ["é<", None], "n": 3}
    back = unpacked(encode_block(values))
    assert back["text"] == values["text"]
    assert back["n"] == 3
    for name in "ab":
        assert back[name].dtype == values[name].dtype
        assert back[name].tolist() == values[name].tolist()
    assert smallest_type([0, 255]).dtype == np.uint8
    assert smallest_type([0, 256]).dtype == np.uint16
    assert json_value({"a": [np.float64("nan"), np.int64(3), (1.5,)]}) == {"a": [None, 3, [1.5]]}


def test_the_comparison_has_the_recalls_of_the_tables_beside_published_ones(whole):
    ks, rows = comparison_table(whole)
    assert ks == [1, 5, 10, 20]
    assert {(row["dataset"], row["run"]) for row in rows} == {(d, r) for d in TOWNS for r in RUNS}
    for (name, network), table in whole.evaluated.items():
        row = next(one for one in rows if (one["dataset"], one["run"]) == (name, network.run))
        wanted = table[table.condition == "all"].set_index("k")
        for k in ks:
            told = [row["recalls"][k][part] for part in ("recall", "low", "high")]
            assert told == pytest.approx([100 * wanted.loc[k, part] for part in ("recall", "low", "high")])
        assert row["sources"] == [[source_id(name, network), 0]]
    for name in TOWNS:
        best = max((one for one in rows if one["dataset"] == name), key=lambda one: one["recalls"][1]["recall"])
        assert 1 in best["best"]


def test_runs_that_the_paired_test_does_not_tell_from_the_best_are_marked():
    def row(run, descriptor, recall):
        recalls = {1: {"recall": recall, "low": 0, "high": 100}}
        return {
            "run": run,
            "gen": 0,
            "descriptor": descriptor,
            "rerank": "none",
            "recalls": recalls,
            "best": [],
            "tied": [],
        }

    group = [row("a", "raw", 40.0), row("b", "raw", 41.0), row("c", "raw", 30.0), row("a", "whitened", 40.9)]
    pair = {"gen": 0, "other_gen": 0, "descriptor": "raw", "rerank": "none"}
    pairs = [pair | {"run": "a", "other": "b", "p_holm": 0.7}, pair | {"run": "b", "other": "c", "p_holm": 0.01}]
    pairs += [pair | {"run": "a", "other": "c", "p_holm": 0.3}]
    mark_best(group, [1])
    mark_tied(group, pairs)
    assert [one["best"] for one in group] == [[], [1], [], []]
    assert group[1]["tied"] == [("a", 0, "raw", "none")]
    assert [one.get("close", False) for one in group] == [True, False, False, False]
    assert [one["compared"] for one in group] == [True, True, True, False]


@pytest.mark.parametrize(("k", "compared", "says"), [(1, True, False), (1, False, True), (5, False, False)])
def test_a_largest_recall_that_was_never_tested_is_said_to_be_so(whole, monkeypatch, tmp_path, k, compared, says):
    _, rows = comparison_table(whole)
    rows = [row | {"best": [k], "compared": compared, "close": k == 1} for row in rows]
    monkeypatch.setattr(page, "comparison_table", lambda _: ([k], rows))
    build_page(tmp_path / "page.html", whole)
    text = (tmp_path / "page.html").read_text()
    assert ("<small>not compared by the paired test</small>" in text) == says
    assert ("one seed without a significant difference is enough" in text) == (k == 1)


def test_published_rows_stand_beside_ours(whole):
    rows = {name: table.assign(dataset="pitts30k", protocol="25 m") for name, table in whole.evaluated.items()}
    some = replace(whole, gaps=[])
    some.__dict__["evaluated"] = {one: table for one, table in rows.items() if one[0] == "town"}
    origins = [row["origin"] for row in comparison_table(some)[1]]
    assert origins[:2] == ["ours"] * 2
    assert set(origins[2:]) == {"published"}


def test_charts_hold_the_tables_numbers(whole):
    made = dataset_charts(whole, "town", "own")
    assert list(made) == ["recalls", "thresholds", "precision"]
    lines = {line["label"]: line for line in made["recalls"]["lines"]}
    assert list(lines) == [f"{run}, whitened 256-D" for run in RUNS]
    assert all(line["main"] and line["dash"] == 0 for line in lines.values())
    for (name, network), table in whole.evaluated.items():
        if name == "town":
            wanted, line = table[table.condition == "all"], lines[f"{network.run}, whitened 256-D"]
            for column, values in (("x", wanted.k), ("y", wanted.recall * 100), ("low", wanted.low * 100)):
                assert line[column] == pytest.approx(list(values), abs=1e-5)
    assert made["thresholds"]["at"]["x"] == 25
    assert set(training_charts(whole)) == {"loss", "val_recall@1", "val_recall@5", "learning_rate"}


def test_bands_are_the_interval_over_several_seeds():
    table = pd.DataFrame({"run": "plain", "gen": 0, "descriptor": "raw", "dim": 8, "rerank": "none", "k": 1,
                          "seed": [0, 1], "recall": [0.4, 0.6], "low": [0.1, 0.2], "high": [0.8, 0.9],
                          "queries": 90, "places": 40, "groups": 30, "design_effect": 1.2})  # fmt: skip
    config = type("Config", (), {"runs": {"plain": made_run()}})
    [line] = chart_lines(type("Campaign", (), {"config": config}), summarize_recalls(table), "k")
    low, high = mean_recall_interval([0.4, 0.6], 90, [1.2, 1.2], 30)
    assert (line["y"], line["low"], line["high"]) == ([50], [pytest.approx(100 * low)], [pytest.approx(100 * high)])


def test_a_line_looks_the_same_on_the_page_and_in_the_figures():
    runs = {"plain": made_run(), "better": made_run(gens=3)}
    campaign = type("Campaign", (), {"config": type("Config", (), {"runs": runs})})
    table = pd.concat([recalls(runs=("plain",)), recalls(runs=("better",), gens=3)], ignore_index=True)
    page = {line["label"]: line for line in chart_lines(campaign, summarize_recalls(table), "k")}
    figure = line_styles(last_generations(summarize_recalls(table)))
    assert len(page) == 2 + 6
    assert len(figure) == 2 + 2
    for label, look in figure.items():
        line, whitened = page[label], "whitened" in label
        assert look["color"] == HUES["light"][line["hue"]]
        assert look["marker"] == MATPLOTLIB_MARKERS[MARKERS[line["marker"]]]
        assert (look["linestyle"] == "-") == (DASHES[line["dash"]] == ()) == whitened
        assert (look["markerfacecolor"] == "white") == line["hollow"] == (not whitened)
    looks = [{name: line[name] for name in ("hue", "marker", "dash", "hollow")} for line in page.values()]
    assert all(looks.count(look) == 1 for look in looks)


def test_sizes_are_lines_by_run_and_storage_over_bytes():
    table = pd.DataFrame({"protocol": "own", "run": "plain", "gen": 0, "seed": [0, 1, 0], "dim": 8, "k": 1})
    table = table.assign(compression=["int8", "int8", "pq"], bytes=[8, 8, 1], recall=[0.5, 0.7, 0.3])
    config = type("Config", (), {"runs": {"plain": made_run()}})
    made = size_charts(type("Campaign", (), {"config": config}), table)["lines"]
    assert [(line["label"], line["x"], line["y"]) for line in made] == [
        ("plain, int8", [8], [60]),
        ("plain, pq", [1], [30]),
    ]


def made_run(gens=1):
    from vprlib.config import RunConfig

    return RunConfig(train_set="city", extract={"descriptors": ["raw"]}, generations=[{}] * gens)


def test_answers_are_those_of_the_tables_of_queries(whole):
    found = collect_query_results(whole, "town", 99)
    page = unpacked(encode_block(page_arrays(found, shown_images(found))))
    assert page["queries"] == 60
    names = {one["label"]: number for number, one in enumerate(page["systems"])}
    database = np.array(page["database_paths"])
    for network in whole.networks:
        number = names[f"{network.run}, whitened 256-D"]
        table = pd.read_csv(whole.evaluation("town", network) / "queries.csv")
        assert list(page["query_paths"]) == list(table["query"])
        assert page[f"rank{number}"].tolist() == table["rank"].fillna(0).astype(int).tolist()
        top = page[f"top{number}"].reshape(TOP, 60).astype(int) - 1
        falls = page[f"score{number}"].reshape(TOP, 60) / 1000
        assert falls[0] == pytest.approx(table.score.to_numpy(), abs=1e-3)
        assert (falls[1:] >= 0).all()
        assert database[top[0]].tolist() == table.top1_image.tolist()
        query, stored = (page[f"{kind}_xy"].reshape(2, -1) / 100 for kind in ("query", "database"))
        assert np.hypot(*(query - stored[:, top[0]])) == pytest.approx(table["error@1"].to_numpy(), abs=0.02)
        assert ((page[f"hit{number}"] & 1) == (table["rank"] == 1)).all()
    [[condition, labels]] = page["conditions"]
    assert condition == "light"
    images = read_image_table(whole.results / "town/images.csv")
    assert [labels[code] for code in page["condition_light"]] == list(select_rows(images, "test", "query").light)


def test_no_more_answers_than_there_is_room_for_and_the_last_generations_come_first(whole):
    found = collect_query_results(whole, "town", 1)
    assert len(found.answers) == 1
    assert found.left_out == 1


def test_a_protocol_that_asks_some_queries_leaves_the_others_out(campaign):
    path = campaign.results / "town/images.csv"
    table = read_image_table(path)
    table["chosen"] = (table.light == "night").astype(int)
    write_csv(path, table)
    campaign.protocols["town"] = [Protocol("some", 25, queries="chosen")]
    found = collect_query_results(campaign, "town", 9)
    night = select_rows(table, "test", "query").chosen == 1
    assert found.answers[0].asked_Q.tolist() == night.tolist()
    assert not found.answers[0].rank_Q[~night].any()
    campaign.protocols["town"] = [Protocol("own", 25)]


def judged(*ranks) -> QueryResults:
    """Answers of several networks to the same queries, by the ranks of their first hits."""
    made = []
    for rank in ranks:
        rank_Q = np.array(rank, np.uint8)
        top, asked = np.zeros((len(rank_Q), 5), int), np.ones(len(rank_Q), bool)
        made.append(NetworkResults("x", "x", 0, 0, True, rank_Q, rank_Q, top, np.zeros(top.shape), asked))
    return QueryResults(pd.DataFrame(index=range(len(rank))), None, made, {0: np.full(len(rank), 99)}, 0, "")


def test_disagreements_and_failures_come_in_turn_and_then_the_rest():
    agreed, disagreed, failed = [1] * 6, [1, 2] * 2, [0, 3]
    order = queries_by_importance(judged(agreed + disagreed + failed, agreed + disagreed[::-1] + failed))
    assert sorted(order) == list(range(12))
    assert [set(order[:4:2]) <= {6, 7, 8, 9}, set(order[1:4:2])] == [True, {10, 11}]
    assert set(order[4:6]) <= {6, 7, 8, 9}
    assert set(order[6:]) == set(range(6))


def test_photos_fit_into_their_room_and_every_chosen_query_has_all_of_its_photos(whole, tmp_path):
    found = collect_query_results(whole, "town", 9)
    everything = choose_thumbnails(found, tmp_path, np.inf)
    assert everything.queries_Q.all()
    room = everything.size / 3
    some = choose_thumbnails(found, tmp_path, room)
    assert 0 < some.queries_Q.sum() < 60
    assert 0.5 * room < some.size <= room
    for query in np.flatnonzero(some.queries_Q):
        assert query in some.query
        assert set(shown_candidates(found)[query]) - {-1} <= set(some.database)
    assert not choose_thumbnails(found, tmp_path, 0).queries_Q.any()
    arrays, text = inline_thumbnails(some, shown_images(found))
    begin, end = arrays["query_at"].reshape(-1, 2)[next(iter(some.query))]
    assert base64.b64decode(text[begin:end]) == some.query[next(iter(some.query))].path.read_bytes()


def test_a_query_is_shown_with_two_networks_candidates_and_the_first_of_the_others():
    found = judged([1, 1], [1, 3], [1, 1])
    for number, one in enumerate(found.answers):
        one.top_Q5[:] = np.arange(5) + 10 * number
    assert set(shown_candidates(found)[0]) - {-1} == {0, 1, 2, 3, 4, 10, 20, 21, 22, 23, 24}
    assert set(shown_candidates(found)[1]) == {0, 1, 2, 3, 4, 10, 20, 21, 22, 23, 24, 99}, (
        "and what a miss should have got"
    )


def test_a_thumbnail_is_made_once_and_again_when_the_photo_changes(photo, tmp_path):
    path = tmp_path / "a.png"
    photo(path, 1, size=(640, 400))
    first = make_thumbnail(tmp_path / "kept", str(path))
    with Image.open(first.path) as small:
        assert small.size == (192, 120)
    made = first.path.stat().st_ino
    assert make_thumbnail(tmp_path / "kept", str(path)).path.stat().st_ino == made
    time.sleep(0.01)
    photo(path, 2, size=(640, 400))
    assert make_thumbnail(tmp_path / "kept", str(path)).path.stat().st_ino != made
    (tmp_path / "no.jpg").write_text("no photo")
    assert make_thumbnail(tmp_path / "kept", str(tmp_path / "no.jpg")) is None
    assert make_thumbnail(tmp_path / "kept", str(tmp_path / "lost.jpg")) is None


def test_a_page_keeps_to_its_size_and_says_how_much_it_shows(whole, tmp_path):
    size = build_page(whole.results / "small.html", whole, megabytes=2.2)
    text = (whole.results / "small.html").read_text()
    assert size <= 2.2e6
    assert len(text.encode()) == size
    shown = re.findall(r"shown for (\d+) of 60 queries", text)
    assert len(shown) == 2
    assert all(0 < int(one) < 60 for one in shown)
    assert "<script>" not in text.replace("<script type=", "")


def test_photos_in_a_folder_are_all_there(whole):
    build_page(whole.results / "folder.html", whole, images="folder")
    text = (whole.results / "folder.html").read_text()
    page = unpacked(re.search(r'data-answers="town">([^<]+)', text)[1])
    assert page["whole"].all()
    for name in page["query_files"] + page["database_files"]:
        assert (whole.results / name).stat().st_size > 500
    assert "shown for 60 of 60 queries" in text


BROKEN = {
    "everything": ("", "town: plain, seed 0, generation 0"),
    "a network": ("town/plain", "town: plain, seed 0, generation 0"),
    "answers": ("town/plain/seed0/gen0/ranking.h5", "town: predictions of plain"),
    "the image table": ("town/images.csv", "town: per-query results"),
    "verification": ("town/verification.json", "town: verification of the photos"),
    "differences": ("town/differences.csv", "town: differences between runs"),
    "thresholds": ("town/thresholds.csv", "town: recall@1 by hit radius"),
    "a training": ("models/plain", "training of plain, seed 0, generation 0"),
}


def spoil(path, how: str):
    """Remove a file, or the files below a folder, or leave them without content."""
    for one in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
        one.unlink() if how == "removed" else one.write_text("")


@pytest.mark.parametrize("how", ["removed", "emptied"])
@pytest.mark.parametrize("part", BROKEN)
def test_what_is_missing_is_a_gap(campaign, part, how):
    name, gap = BROKEN[part]
    spoil(campaign.results / name, how)
    out = campaign.results / "preview.html"
    build_page(out, campaign, complete=False, megabytes=2.2)
    text = out.read_text()
    assert "preview of what was there" in text
    whys = [one.why for one in campaign.gaps if one.what.startswith(gap)]
    assert whys
    assert ("is not there yet" in whys[0]) == (how == "removed")
    assert all(str(escape(one.why)) in text for one in campaign.gaps)


def test_numbers_of_another_configuration_are_a_gap(campaign):
    changed = [one._replace(identity="0" * 12) for one in campaign.networks if one.run == "plain"]
    other = replace(campaign, networks=[*changed, *campaign.networks[1:]])
    assert {network.run for _, network in other.evaluated} == {"better"}
    assert "made with another configuration" in other.gaps[0].why


def test_trainings_without_a_val_split_say_so(campaign):
    for network in campaign.networks:
        path = campaign.model(network) / "history.csv"
        table = pd.read_csv(path)
        write_csv(path, table[["epoch", "learning_rate", "loss"]])
    assert "val_recall@1" not in training_charts(campaign)
    assert "no val split" in campaign.gaps[0].why


def test_places_without_coordinates_have_no_map(whole):
    found = collect_query_results(whole, "town", 9)
    assert coordinate_kind(found, "m") == "map"
    assert coordinate_kind(found, "frames") == "frames"
    apart = found.query.assign(north=0, east=np.arange(60) * APART)
    assert coordinate_kind(found._replace(query=apart), "m") == "places"


def test_sources_are_the_files_hashes_and_the_command(whole):
    one = evaluation_sources(whole)[0]
    for file in one["files"]:
        assert file["sha256"] == sha256_of_file(file["path"])
    names = [file["path"].rsplit("/")[-1] for file in one["files"]]
    assert names == ["recalls.csv", "queries.csv", "ranking.h5", "images.csv"]
    assert ["checkpoint", "1" * 64] in one["made_from"]
    assert one["command"].endswith("town/plain/seed0/gen0/recalls.csv --configfile config.yaml")
    given = replace(whole, configfiles=("a.yaml", "b c.yaml"), overrides=("seeds=[0]",))
    assert command_for(given, "x").endswith(" x --configfile a.yaml 'b c.yaml' --config 'seeds=[0]'")


def test_a_file_that_many_numbers_come_from_is_hashed_once(whole, monkeypatch):
    read = []
    digest = sha256_of_file
    monkeypatch.setattr(provenance, "sha256_of_file", lambda path: read.append(str(path)) or digest(path))
    assert len(evaluation_sources(whole)) == 4
    assert len(read) == len(set(read)) == 4 * 3 + 2


def record(campaign, name, **changes):
    """Leave the record of a job called `name`, which ran for an hour on two of four cores."""
    values = {"rule": name.split("/")[0], "wildcards": {}, "seconds": 3600, "cpu_seconds": 7200, "gpus": 0}
    values |= {"gpu": None, "gpu_watts": None, "nodes": 1, "peak_gb": 2, "host": "h", "cpu": "c", "cores": 4}
    write_json(campaign.logs / f"{name}.json", values | changes)


def rows_of(campaign) -> dict:
    return {row["rule"]: row for row in stage_rows(read_usage(campaign))}


def test_stages_add_up_and_energy_is_unknown_where_a_gpu_s_limit_is(campaign):
    assert rows_of(campaign) == {}
    record(campaign, "train/plain/seed0/gen0")
    record(campaign, "train/better/seed0/gen0", gpus=2, gpu="H200", gpu_watts=700, peak_gb=5)
    record(campaign, "index/town", seconds=36, cpu_seconds=36)
    (campaign.logs / "e.json").write_text("no json")
    (campaign.logs / "f.json").write_text("[]")
    rows = rows_of(campaign)
    assert list(rows)[:2] == ["image_table", "verify_dataset"]
    assert rows["train"] | {"wh": 0} == {
        "rule": "train",
        "jobs": 2,
        "wanted": 2,
        "hours": 2,
        "cpu_hours": 4,
        "gpu_hours": 2,
        "peak_gb": 5,
        "wh": 0,
    }
    assert rows["train"]["wh"] == pytest.approx(4 * CORE_WATTS + 2 * 700)
    assert total_row(list(rows.values()))["jobs"] == 3
    record(campaign, "train/better/seed0/gen0", gpus=1, gpu="H200")
    assert rows_of(campaign)["train"]["wh"] is None
    assert total_row(list(rows_of(campaign).values()))["wh"] is None


def test_jobs_of_another_campaign_and_pages_do_not_count_and_jobs_without_a_record_are_told(campaign):
    record(campaign, "evaluate/town/plain/seed0/gen0")
    gone = ["evaluate/town/plain/seed1/gen0", "evaluate/town/plain/seed0/gen1", "evaluate/town/other/seed0/gen0"]
    gone += [
        "evaluate/city/plain/seed0/gen0",
        "extract_descriptors/town/plain/seed0/gen0/1-of-7",
        "pretrain_backbone/other",
    ]
    for name in [*gone, "build_report", "preview_report"]:
        record(campaign, name)
    record(
        campaign,
        "plot_gallery/town/plain/seed0/gen0",
        wildcards={"dataset": "town", "run": "plain", "seed": "0", "gen": "0"},
    )
    record(
        campaign,
        "plot_gallery/town/plain/seed1/gen0",
        wildcards={"dataset": "town", "run": "plain", "seed": "1", "gen": "0"},
    )
    record(campaign, "plot_recalls/city", wildcards={"dataset": "city"})
    rows = rows_of(campaign)
    assert (rows["evaluate"]["jobs"], rows["evaluate"]["wanted"]) == (1, 4)
    assert (
        rows["extract_descriptors"]["jobs"],
        rows["extract_descriptors"]["wanted"],
        rows["extract_descriptors"]["hours"],
    ) == (0, 4, None)
    assert (rows[DRAWN]["jobs"], rows[DRAWN]["wanted"]) == (1, None)
    assert sum(row["jobs"] for row in rows.values()) == 2
    assert machine_lines(read_usage(campaign)) == [("h: c, 4 cores", 2)]
    build_page(campaign.results / "report.html", campaign, megabytes=2.2)
    assert '<span class="bad">1 of 4</span>' in (campaign.results / "report.html").read_text()


def test_places_without_coordinates_stay_apart_on_the_page():
    places = pd.DataFrame({"path": [f"{n}.jpg" for n in range(40)], "east": APART * np.arange(40), "north": 0.0})
    places = places.assign(time=None)
    found = QueryResults(places, places, [], {}, 0, "")
    values = page_arrays(found, np.arange(40))
    assert len(set(values["query_xy"][0])) == 40


def test_a_job_s_clock_counts_its_work(tmp_path):
    clock, until = ResourceMeter(), time.process_time() + 0.2
    while time.process_time() < until:
        pass
    clock.write(tmp_path / "a.json", rule="train", wildcards={"run": "x"}, threads=1, gpus=0, nodes=1)
    told = json.loads((tmp_path / "a.json").read_text())
    assert 0.15 < told["cpu_seconds"] < 5
    assert told["seconds"] >= 0.15
    assert told["peak_gb"] > 0.01
    assert told["gpu"] is None
    assert told["cores"] >= 1
    assert gpus_used(1) == (1 if "torch" in sys.modules and sys.modules["torch"].cuda.is_available() else 0)
