"""Figures of what varies, of errors, projections and visual words; the tables for papers."""

import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection
from PIL import Image

from tests.helpers.recall_tables import recalls, same_files
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.data.protocol import Protocol
from vprlib.evaluation.intervals import mean_recall_interval
from vprlib.evaluation.paper_tables import ROW, escape_latex, flat_table, rank_marks, to_latex, to_markdown, wide_table
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.published_recalls import compare_with_published
from vprlib.exceptions import InputError
from vprlib.figures import error_map
from vprlib.figures.breakdowns import plot_conditions, plot_generations, plot_seeds
from vprlib.figures.error_map import plot_errors
from vprlib.figures.projection import (
    PHOTOS,
    PLACES,
    QUERIES,
    draw_projection,
    nearest_photos,
    plot_projection,
    read_descriptor_rows,
    sample_places,
)
from vprlib.figures.visual_words import assignment_entropy, choose_photo_pairs, plot_visual_words
from vprlib.io.files import write_h5
from vprlib.models.assignments import soft_assignments
from vprlib.models.checkpoint import save_checkpoint
from vprlib.models.network import build_network

METRES = Protocol("10 m", radius=10)


def labels(ax):
    return [line.get_label().replace("\n", " ") for line in ax.lines]


def test_generations_show_the_means_and_intervals_of_runs_that_have_several(tmp_path):
    table = pd.concat([recalls(runs=("sfrs",), seeds=3, gens=4), recalls(runs=("vlad",))], ignore_index=True)
    fig = same_files(tmp_path, lambda out: plot_generations(out, table))
    assert [ax.get_ylabel() for ax in fig.axes] == ["recall@1 (%)", "recall@5 (%)"]
    assert fig.axes[-1].get_xlabel() == "generation"
    for ax, k in zip(fig.axes, (1, 5), strict=True):
        assert labels(ax) == ["sfrs, raw 256-D", "sfrs, whitened 256-D"]
        own = table[(table.run == "sfrs") & (table.k == k) & (table.descriptor == "raw")].groupby("gen")
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), range(4))
        np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * own.recall.mean())
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        ends = [mean_recall_interval(seeds.recall, 1300, seeds.design_effect, 54) for _, seeds in own]
        assert (band.min(), band.max()) == pytest.approx((100 * np.min(ends), 100 * np.max(ends)))
    assert "1,300 queries" in fig.subfigs[0].get_suptitle()
    assert "95 % intervals" in fig.subfigs[0].legends[0].get_title().get_text()


def test_generations_say_where_there_is_only_one(tmp_path):
    fig = plot_generations(tmp_path / "a.svg", recalls())
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["no run has several generations"] * 2


def test_seeds_show_every_point_and_the_interval_of_the_mean(tmp_path):
    table = recalls(seeds=3)
    fig = same_files(tmp_path, lambda out: plot_seeds(out, table))
    (ax,) = fig.axes
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["vlad, raw 256-D", "vlad, whitened 256-D"]
    points = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "|"]
    own = table[table.k == 1].groupby(["run", "descriptor"], sort=False).recall
    for values, mean, (_, seeds) in zip(points, means, own, strict=True):
        np.testing.assert_allclose(values, 100 * seeds)
        assert mean == pytest.approx(100 * seeds.mean())
    ends = ax.collections[0].get_segments()[0][:, 0]
    first = own.get_group(("vlad", "raw"))
    np.testing.assert_allclose(ends, 100 * np.array(mean_recall_interval(first, 1300, [1.5] * 3, 54)))


def test_conditions_are_the_means_of_the_table_and_what_is_missing_stays_empty(tmp_path):
    table = recalls(seeds=2)
    night = table[table.run == "vlad"].assign(condition="light=night", queries=77)
    night["recall"] /= 2
    both = pd.concat([table, night], ignore_index=True)
    fig = same_files(tmp_path, lambda out: plot_conditions(out, both))
    (ax,) = fig.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["all (1,300)", "light=night (77)"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [f"{run}, {kind} 256-D" for run in ("vlad", "netvlad") for kind in ("raw", "whitened")]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    own = 100 * table[table.k == 1].groupby(["run", "descriptor"], sort=False).recall.mean()
    np.testing.assert_allclose(shown[:, 0], own)
    np.testing.assert_allclose(shown[:2, 1], own[:2] / 2)
    assert np.isnan(shown[2:, 1]).all()
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"{v:.0f}" for v in shown.ravel() if np.isfinite(v))
    alone = plot_conditions(tmp_path / "b.svg", table)
    assert "no conditions were evaluated" in alone.subfigs[-1].texts[0].get_text()


@pytest.fixture
def found():
    """4 queries 30 m apart beside their places: right; wrong by 30 m; no candidate; wrong by 90 m."""
    place = pd.DataFrame({"east": 500000 + 30.0 * np.arange(4), "north": 4000000 + 10.0 * np.arange(4) ** 2})
    table = place.assign(path=[f"{n}.jpg" for n in range(4)], city=["a", "a", "b", "b"])
    ranking = np.array([[0, 1], [2, 0], [-1, -1], [0, 1]])
    scores = {"raw": np.ones((4, 2), np.float32)}
    return Predictions(table, table, [np.array([n]) for n in range(4)], {"raw": ranking}, scores, {"raw": 2}, {})


def distances(found):
    place = found.query[["east", "north"]].to_numpy()
    return np.hypot(*(place[[0, 2, 0]] - place[[0, 1, 3]]).T)


def test_errors_map_the_queries_and_join_wrong_candidates(tmp_path, found):
    fig = same_files(tmp_path, lambda out: plot_errors(out, found, title="city, vlad", protocol=METRES))
    ax, bar = fig.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("m east of 500,000", "m north of 4,000,000")
    assert ax.xaxis.get_major_formatter()(500060, 0) == "60"
    assert ax.get_aspect() == 1
    assert bar.get_xlabel() == "distance of the first candidate (m)"
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    place = found.query[["east", "north"]].to_numpy()
    np.testing.assert_array_equal(lines.get_segments(), place[[[1, 2], [3, 0]]])
    (dots,) = [c for c in ax.collections if not isinstance(c, LineCollection)]
    np.testing.assert_allclose(np.ma.compressed(np.ma.masked_invalid(dots.get_array())), distances(found))
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    np.testing.assert_array_equal(cross.get_xydata(), place[[2]])
    said = fig.get_suptitle().replace("\n", " ")
    assert "4 queries; 10 m recall@1 25.0 % (95 % interval 4.6 to 69.9)" in said
    assert "lines: to 2 of 2 wrong candidates" in said


def test_errors_have_a_map_a_city_and_frames_a_diagonal(tmp_path, found):
    cities = plot_errors(tmp_path / "a.svg", found, title="t", protocol=Protocol("10 m", 10, same_column="city"))
    assert [ax.get_title("left") for ax in cities.axes[:2]] == ["a", "b"]
    line = found.query.assign(north=0.0, east=[0, 10, 20, 30])
    frames = found._replace(query=line, database=line)
    fig = plot_errors(tmp_path / "b.svg", frames, title="t", protocol=Protocol("2 frames", 2, "frames"))
    assert fig.axes[0].get_xlabel() == "position of the query (frames)"
    np.testing.assert_array_equal(fig.axes[0].collections[0].get_offsets()[1:], [[0, 0], [10, 20], [30, 0]])
    assert "lines" not in fig.get_suptitle()


def test_errors_leave_a_labelled_gap_without_coordinates_and_draw_a_bounded_number_of_lines(
    tmp_path, found, monkeypatch
):
    nowhere = found._replace(query=found.query.assign(east=np.nan))
    fig = plot_errors(tmp_path / "a.svg", nowhere, title="t", protocol=METRES)
    assert [text.get_text() for text in fig.axes[0].texts] == ["no coordinates"]
    monkeypatch.setattr(error_map, "LINES", 1)
    fig = plot_errors(tmp_path / "a.svg", found, title="t", protocol=METRES)
    assert "lines: to 1 of 2 wrong candidates" in fig.get_suptitle()


def test_many_wrong_candidates_become_the_most_frequent_confusions():
    corners = np.array([[0.0, 0.0], [1200.0, 0.0], [0.0, 1200.0]])
    rng = np.random.default_rng(0)
    pairs = [(0, 1)] * 60 + [(1, 0)] * 30 + [(0, 2)] * 10
    near = rng.uniform(0, 90, (100, 2, 2))  # of cells of about 110 m
    ends = corners[np.array(pairs)] + near
    wrong = np.arange(100) != 99
    lines, counts = error_map.confusions(ends[:, 0], ends[:, 1], wrong)
    assert counts.tolist() == [9, 30, 60]
    for line, rows in zip(lines, (range(90, 99), range(60, 90), range(60)), strict=True):
        np.testing.assert_allclose(line, ends[list(rows)].mean(0))
    assert error_map.describe_lines([counts], 120) == (
        "lines: the most frequent confusions, 99 of 120 wrong candidates; the widest line: 60"
    )
    scattered = rng.uniform(0, 1e4, (500, 2, 2))
    lines, counts = error_map.confusions(scattered[:, 0], scattered[:, 1], np.ones(500, bool))
    assert len(lines) == len(counts) == error_map.LINES


@pytest.fixture
def places(tmp_path):
    """12 places 100 m apart with 6 database photos and 2 queries each; their descriptors lie in clumps."""
    rng, rows = np.random.default_rng(0), []
    for place in range(12):
        rows += [("database", 100.0 * place, place)] * 6 + [("query", 100.0 * place + 3, place)] * 2
    table = pd.DataFrame(rows, columns=["role", "east", "place"]).assign(split="test", north=0.0)
    centre = rng.standard_normal((12, 16))
    x = centre[table.place] + 0.05 * rng.standard_normal((len(table), 16))
    for role, name in (("database", "database.h5"), ("query", "queries.h5")):
        write_h5(tmp_path / name, {"whitened": x[table.role == role].astype(np.float16)})
    return table, x


def test_projection_has_the_photos_of_places_apart(tmp_path, places):
    table, _ = places
    paths = {"database": tmp_path / "database.h5", "queries": tmp_path / "queries.h5"}
    fig = same_files(
        tmp_path,
        lambda out: plot_projection(out, table=table, **paths, protocol=METRES, title="city, vlad, seed 0"),
    )
    assert "14 of 14 are, among 42 photos of 7 random places of 10 m" in fig.get_suptitle().replace("\n", " ")
    assert "whitened 16-D" in fig.get_suptitle()
    (ax,) = fig.axes
    assert [len(line.get_xdata()) for line in ax.lines] == [6, 2] * PLACES
    clumps = [line.get_xydata() for line in ax.lines]
    own = [np.ptp(np.concatenate(pair), axis=0).max() for pair in zip(clumps[::2], clumps[1::2], strict=True)]
    middle = np.array([points.mean(0) for points in clumps[::2]])
    apart = np.hypot(*(middle[:, None] - middle[None]).T) + np.eye(PLACES) * 1e9
    assert max(own) < apart.min()
    right, wrong = (lines.get_segments() for lines in ax.collections)
    assert not wrong
    filled = np.concatenate(clumps[::2])
    for start, end in right:
        place = next(place for place, points in enumerate(clumps[1::2]) if (points == start).all(1).any())
        assert (clumps[2 * place] == end).all(1).any()
        assert (filled == end).all(1).sum() == 1


def test_a_query_is_joined_with_the_nearest_of_all_dimensions():
    rng = np.random.default_rng(0)
    queries, photos = (rng.standard_normal((count, 5)).astype(np.float32) for count in (20, 50))
    slow = [np.argmin([np.sum((query - photo) ** 2) for photo in photos]) for query in queries]
    np.testing.assert_array_equal(nearest_photos(queries, photos), slow)
    places = [(np.arange(2), np.arange(3)), (np.arange(2, 4), np.arange(3, 6))]
    one, other = np.eye(2, 4, dtype=np.float32)
    photos = np.stack([one, one, one, other, other, other]) + 0.01 * rng.standard_normal((6, 4)).astype(np.float32)
    drawn = {"places": places, "database_ND": photos, "title": "t", "reach": "10 m"}
    fig = draw_projection([], **drawn, queries_QD=np.stack([one, other, other, other]))
    assert "3 of 4 are, among 6 photos of 2 random places" in fig.get_suptitle().replace("\n", " ")
    assert [len(lines.get_segments()) for lines in fig.axes[0].collections] == [3, 1]


def slow_sample(query, database, positives, radius):
    """The definition: places of random queries whose photos, and whose queries that share them, are in no other one."""
    rng, places, photos, asked = np.random.default_rng(0), [], set(), set()
    where = query[["east", "north"]].to_numpy()
    for q in rng.permutation(len(query)):
        own = set(positives[q])
        distance = np.hypot(*(where - where[q]).T)
        near = [o for o in range(len(query)) if (o == q or distance[o] <= radius) and own & set(positives[o])]
        if len(own) < 2 or own & photos or asked & set(near) or len(places) == PLACES:
            continue
        photos, asked = photos | own, asked | set(near)
        chosen = np.sort(rng.permutation(positives[q])[:PHOTOS])
        places.append((np.array([q, *(o for o in near if o != q)])[:QUERIES], chosen))
    return places


def test_sampled_places_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    for count, radius in ((300, 4.0), (300, 30.0), (7, 1.0), (1, 1.0)):
        query, photos = (pd.DataFrame(rng.uniform(0, 100, (n, 2)), columns=["east", "north"]) for n in (count, 400))
        positives = METRES.positives(query, photos) if count == 300 else [np.arange(n % 4) for n in range(count)]
        some = sample_places(query, photos, positives, radius)
        expected = slow_sample(query, photos, positives, radius)
        assert len(some) == len(expected)
        for one, other in zip(some, expected, strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


def test_sampling_of_many_queries_takes_no_longer_than_looking_at_each():
    count, own = 200_000, np.arange(3)
    query = pd.DataFrame({"east": 100.0 * np.arange(count), "north": 0.0})
    start = time.process_time()
    places = sample_places(query, query[:3], [own] * count, 10)
    assert len(places) == 1
    assert time.process_time() - start < 10, "a look at all queries for each of them takes minutes"


def test_places_without_coordinates_are_their_queries_own():
    nowhere = pd.DataFrame({"east": [np.nan] * 4, "north": np.nan})
    positives = [np.array([0, 1]), np.array([2, 3]), np.array([0, 1]), np.array([3])]
    places = sample_places(nowhere, nowhere, positives, 5)
    assert sorted(list(photos) for _, photos in places) == [[0, 1], [2, 3]]
    assert all(len(queries) == 1 for queries, _ in places)


def test_projection_of_too_few_places_is_a_labelled_gap(tmp_path, places):
    table, _ = places
    far = table.assign(east=table.east + 1e6 * (table.role == "query"))
    paths = {"database": tmp_path / "database.h5", "queries": tmp_path / "queries.h5"}
    fig = plot_projection(tmp_path / "a.svg", table=far, **paths, protocol=METRES, title="t")
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["fewer than two places with\ntwo database photos each"]


def test_descriptors_of_crops_are_averaged(tmp_path):
    x = np.arange(30, dtype=np.float16).reshape(3, 5, 2)
    write_h5(tmp_path / "q.h5", {"raw@five_nearest": x})
    np.testing.assert_array_equal(read_descriptor_rows(tmp_path / "q.h5", "raw", [2, 0]), x[[2, 0]].mean(1))


def test_entropy_and_words_are_those_of_the_definition(tmp_path):
    a = np.zeros((1, 4, 1, 3), np.float32)
    a[0, :, 0, 0], a[0, 2, 0, 1], a[0, [1, 3], 0, 2] = 0.25, 1, [0.75, 0.25]
    np.testing.assert_allclose(assignment_entropy(a)[0, 0], [2, 0, 0.811278], atol=1e-5)
    photos = np.zeros((1, 3, 20, 30), np.uint8)
    fig = plot_visual_words(tmp_path / "a.png", captions=["query 0"], photos_B3HW=photos, a_BKHW=a, title="t")
    _, word, bits, bar = fig.axes
    np.testing.assert_array_equal(word.images[1].get_array(), [[0, 2, 1]])  # words 0, 2 and 1 in this order of numbers
    np.testing.assert_allclose(bits.images[1].get_array(), assignment_entropy(a)[0])
    assert bar.get_xlabel() == "entropy of the soft assignment (bits; at most 2)"
    shares = [text.get_text() for text in fig.legends[0].get_texts()]
    assert shares == ["word 0: 33 %", "word 1: 33 %", "word 2: 33 %"]


def test_words_of_a_checkpoint(tmp_path):
    rows = [("database", 0.0), ("database", 50.0), ("query", 3.0), ("query", 51.0)]
    table = pd.DataFrame(rows, columns=["role", "east"]).assign(north=0.0, split="test")
    table["path"] = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, path in enumerate(table.path):
        Image.fromarray(np.random.default_rng(number).integers(255, size=(40, 60, 3), dtype=np.uint8)).save(path)
    image = ImageConfig(height=32, width=48)
    for name in ("netvlad", "gem"):
        backbone, aggregator = (
            BackboneConfig(name="vgg16", options={"width": 0.0625}),
            AggregatorConfig(name=name, options={"clusters": 4} if name == "netvlad" else {}),
        )
        torch.manual_seed(0)
        save_checkpoint(
            tmp_path / f"{name}.safetensors", build_network(image, backbone, aggregator), backbone, aggregator
        )
    photos = choose_photo_pairs(table, METRES)
    paths = [path for _, path in photos]
    pixels, assigned = soft_assignments(tmp_path / "netvlad.safetensors", paths)
    drawn = {"captions": [text for text, _ in photos], "photos_B3HW": pixels, "a_BKHW": assigned}
    figures = [plot_visual_words(tmp_path / out, **drawn, title="own, vlad") for out in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    captions = [ax.get_ylabel() for ax in figures[0].axes[:12:3]]
    assert captions[1] == captions[3] == "its place"
    assert "2 x 3 local features of 4 words" in figures[0].get_suptitle()
    with pytest.raises(InputError, match="no visual words"):
        soft_assignments(tmp_path / "gem.safetensors", paths)


@pytest.fixture
def comparison():
    """What `beside` makes of two datasets and three runs, and two published rows."""
    one = recalls("pitts30k", runs=("a_b", "c"), forms=("raw",)).assign(protocol="25 m")
    two = recalls("msls_val", runs=("a_b",), forms=("raw",)).assign(protocol="own")
    given = {"train_set": "x", "index": "flat", "epoch_selected_on": "last epoch"}
    return compare_with_published([one.assign(**given), two.assign(**given)])


def test_the_wide_table_has_a_column_a_dataset_protocol_and_k(comparison):
    wide = wide_table(comparison)
    ours = comparison[(comparison.origin == "ours") & (comparison.run == "c") & (comparison.k == 5)]
    assert wide.loc[("ours", "c, raw 256-D", 1), ("pitts30k", "25 m", 1300, 5, "recall")] == pytest.approx(
        100 * ours.recall.iloc[0]
    )
    groups = wide.columns.droplevel(["k", "value"]).unique()
    assert list(groups) == [("pitts30k", "25 m", 1300), ("msls_val", "own", 1300)]
    assert wide["msls_val"].loc["published"].isna().all(axis=None)  # none was measured by that protocol
    mine = [label for origin, label, _ in wide.index if origin == "ours"]
    assert mine == ["a_b, raw 256-D", "c, raw 256-D"]
    theirs = comparison[(comparison.origin == "published") & (comparison.dataset == "pitts30k")]
    assert len(wide.loc["published"]) == theirs.groupby("run").dim.nunique(dropna=False).sum()


def parsed(text):
    """The rows of a tabular, and how many columns it declares."""
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.strip().splitlines() if not line.startswith((r"\midrule", r"\cmidrule"))]
    rows = [line.removesuffix(r" \\").split(" & ") for line in lines]
    return columns, [row for row in rows if not row[0].startswith(r"\multicolumn")]


def test_latex_parses_and_marks_the_best_and_the_second_of_ours(comparison):
    wide = wide_table(comparison)
    text = to_latex(wide)
    assert text.count("{") == text.count("}")
    columns, rows = parsed(text)
    spans = [sum(int(n) for n in re.findall(r"multicolumn\{(\d)\}", " ".join(row))) for row in rows[:3]]
    assert spans == [columns - 2] * 3
    assert "1,300 queries" in rows[2][2]
    assert rows[3] == ["", "seeds", "R@1", "R@5", "R@10", "R@1", "R@5", "R@10"]
    assert all(len(row) == columns for row in rows[3:])
    for row, label in zip(rows[4:6], ("a_b, raw 256-D", "c, raw 256-D"), strict=True):
        assert row[:2] == [label.replace("_", r"\_"), "1"]
    for number in (2, 3, 4):
        values = [float(re.search(r"[\d.]+", row[number])[0]) for row in rows[4:6]]
        best, second = np.argsort(values)[::-1]
        assert rows[4 + best][number] == rf"\textbf{{{max(values):.1f}}}"
        assert rows[4 + second][number] == rf"\underline{{{min(values):.1f}}}"
    assert rows[5][5:] == ["--"] * 3
    assert not any("textbf" in cell or "underline" in cell for row in rows[6:] for cell in row)
    low, high = (wide[("pitts30k", "25 m", 1300, 1, name)].iloc[0] for name in ("low", "high"))
    assert f"[{low:.1f}, {high:.1f}]" in to_latex(wide, intervals=True)
    assert escape_latex("a_b & 5 % ~") == r"a\_b \& 5 \% \textasciitilde{}"


def test_the_table_has_the_ks_that_were_measured_and_the_number_of_seeds():
    given = {"train_set": "x", "index": "flat", "epoch_selected_on": "last epoch", "protocol": "25 m"}
    for ks, shown in (((2, 3, 4, 6), [2, 3, 4]), ((1, 2, 3, 5, 10, 20, 100), [1, 5, 10, 20]), ((50,), [50])):
        table = wide_table(compare_with_published([recalls("pitts30k", ks=ks, seeds=3).assign(**given)]))
        assert list(table.columns.unique("k")) == shown
        assert set(table.index[table.index.get_level_values("origin") == "ours"].get_level_values("seeds")) == {3}
        text = to_markdown(table)
        assert "| vlad, raw 256-D | 3 |" in text
        assert "Queries: 1,300 of pitts30k, 25 m." in text


def test_equal_numbers_share_their_place():
    values = pd.DataFrame(
        [[10.04, 3.0], [10.01, 2.0], [9.0, np.nan]],
        index=pd.MultiIndex.from_product([["ours"], list("abc"), [1]], names=ROW),
    )
    assert rank_marks(values).to_numpy().tolist() == [["best", "best"], ["best", "second"], ["second", ""]]


def test_markdown_and_csv_have_the_same_numbers(comparison):
    wide = wide_table(comparison)
    lines = [line.strip("|").split("|") for line in to_markdown(wide).split("\n\n")[0].splitlines()]
    assert {len(line) for line in lines} == {8}
    assert lines[0][2].strip() == "pitts30k, 25 m: R@1"
    flat = flat_table(wide)
    for line, row in zip(lines[2:], flat.itertuples(index=False), strict=True):
        shown = re.sub(r"[*]+|</?u>", "", line[2]).strip()
        value = flat.loc[flat.run == row.run, "pitts30k, 25 m: R@1"].iloc[0]
        assert shown == ("-" if np.isnan(value) else f"{value:.1f}")
    assert lines[-1][0].strip().startswith("*published:*")
    assert {"pitts30k, 25 m: R@1 std", "pitts30k, 25 m: R@1 low"} <= set(flat)


def test_several_seeds_have_their_standard_deviation_or_their_interval():
    given = {"train_set": "x", "index": "flat", "epoch_selected_on": "last epoch", "protocol": "25 m"}
    table = pd.concat([
        recalls("pitts30k", runs=("a",), forms=("raw",), ks=(1,), seeds=3),
        recalls("pitts30k", runs=("b",), forms=("raw",), ks=(1,)),
    ]).assign(**given)  # fmt: skip
    wide = wide_table(compare_with_published([table]))
    many = 100 * table.recall[table.run == "a"]
    low, high = (wide[("pitts30k", "25 m", 1300, 1, name)].iloc[0] for name in ("low", "high"))
    mean, std = f"{many.mean():.1f}", f"{many.std():.1f}"
    several, single = (row[2] for row in parsed(to_latex(wide))[1][4:6])
    assert re.fullmatch(rf"\\\w+{{{mean}}} {{\\scriptsize \$\\pm\$ {std}}}", several)
    assert "scriptsize" not in single
    assert "their standard deviation" in to_latex(wide).splitlines()[0]
    with_interval = to_latex(wide, intervals=True)
    assert f"{mean}}} {{\\scriptsize [{low:.1f}, {high:.1f}]}}" in with_interval
    assert "pm" not in with_interval
    assert f" ± {std} |" in to_markdown(wide)
