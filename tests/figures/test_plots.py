import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from matplotlib.text import Text
from PIL import Image

from tests.helpers.recall_tables import recalls, written
from vprlib.data.coco import read_coco_boxes
from vprlib.data.protocol import Protocol
from vprlib.evaluation.intervals import mean_recall_interval
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.series import summarize_recalls
from vprlib.figures.breakdowns import plot_conditions, plot_generations, plot_seeds
from vprlib.figures.centroids import plot_centroids
from vprlib.figures.contact_sheet import plot_contact_sheet
from vprlib.figures.marks import series_numbers, series_style
from vprlib.figures.photo_sheets import plot_gallery
from vprlib.figures.precision_recall import plot_precision
from vprlib.figures.recall_curves import plot_recalls, plot_thresholds
from vprlib.figures.run_comparison import plot_comparison
from vprlib.figures.style import COLUMN, PAGE, PRINT, RIGHT, STYLES, WRONG, line_style
from vprlib.figures.training_curves import plot_training
from vprlib.io.files import write_csv, write_h5

PAPER = STYLES["paper"]
NONE = pd.DataFrame({name: [] for name in ("origin", "dataset", "protocol", "run", "dim", "train_set", "k", "recall")})


def history(epochs, val=True):
    epoch = np.arange(epochs + 1)
    table = pd.DataFrame({"epoch": epoch, "learning_rate": 1e-3, "loss": 0.1 / (1 + epoch), "violating_share": 0.5})
    table.loc[0, ["learning_rate", "loss", "violating_share"]] = np.nan
    table["loss_hard"] = table.loss
    return table.assign(**{f"val_recall@{k}": 0.1 * np.log(2 + epoch) for k in (1, 5, 10)}) if val else table


@pytest.fixture
def photos(tmp_path):
    """An image table of 4 places with 3 views each and 6 queries; the last query is far from everything."""
    rows = []
    for number in range(18):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (12 + number, 9), (10 * number, 90, 120)).save(path)
        place, role = number % 4, "database" if number < 12 else "query"
        rows.append({"path": str(path), "split": "test", "role": role, "place": place if number < 12 else None})
        rows[-1] |= {
            "east": 100.0 * place + (9999 if number == 17 else 3),
            "north": 0.0,
            "heading": np.nan,
            "time": None,
        }
    table = pd.DataFrame(rows)
    table["place"] = table.place.map(lambda place: None if pd.isna(place) else f"{place:.0f}")
    return table


def data_lines(ax):
    """The lines with a label, by the last part of it."""
    return {line.get_label().split("  ")[-1].replace("\n", " "): line for line in ax.lines}


def test_a_figure_is_written_as_svg_pdf_and_png_without_time_stamps(tmp_path):
    sets = [[tmp_path / f"{name}.{kind}" for kind in ("svg", "pdf", "png")] for name in "ab"]
    for paths in sets:
        plot_recalls(paths, recalls())
    first, again = ([path.read_bytes() for path in paths] for paths in sets)
    assert first == again
    assert [content[:5] for content in first] == [b"<?xml", b"%PDF-", b"\x89PNG\r"]
    assert b"CreationDate" not in first[1]
    assert b"<dc:date>" not in first[0]
    with Image.open(sets[0][2]) as picture:
        assert picture.width == COLUMN * PRINT


def test_curves_show_the_table(tmp_path):
    table = recalls()
    (first, again), fig = written(tmp_path, lambda out: plot_recalls(out, table))
    assert first == again
    ax = fig.axes[0]
    lines = data_lines(ax)
    for (run, form), rows in table.groupby(["run", "descriptor"]):
        line = lines[f"{run}, {form} 256-D"]
        np.testing.assert_allclose(line.get_ydata(), 100 * rows.recall)
        np.testing.assert_array_equal(line.get_xdata(), rows.k)
    np.testing.assert_allclose(lines["chance"].get_ydata(), [1, 5, 10])
    assert "recall@N" in ax.get_ylabel()
    assert ax.get_xlabel()
    title = fig.subfigs[0].get_suptitle()
    assert "city" in title
    assert "1,300 queries" in title
    assert "480 database" in title
    assert "10 m" in title


def test_protocols_share_no_panel(tmp_path):
    near, far = recalls(), recalls(runs=("vlad",)).assign(protocol="99 m", queries=7, recall=0.5)
    fig = plot_recalls(tmp_path / "a.svg", pd.concat([near, far]))
    titles = [part.get_suptitle() for part in fig.subfigs]
    assert ["10 m" in titles[0], "99 m" in titles[1], "7 queries" in titles[1]] == [True] * 3
    assert [len(part.axes[0].lines) for part in fig.subfigs] == [4 + 1, 2 + 1]
    assert set(data_lines(fig.axes[1])["vlad, raw 256-D"].get_ydata()) == {50}
    bars = plot_comparison(tmp_path / "b.svg", [pd.concat([near, far])], NONE)
    assert [len(ax.patches) for ax in bars.axes] == [4, 2]


def test_curves_legend_is_sorted_by_recall_at_1(tmp_path):
    fig = plot_recalls(tmp_path / "a.svg", recalls(runs=[f"run{i}" for i in range(12)], seeds=3))
    values = [float(text.get_text().split()[0]) for text in fig.subfigs[0].legends[0].get_texts()]
    assert len(values) == 12 * 2 + 1
    assert values == sorted(values, reverse=True)
    looks = {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in fig.axes[0].lines}
    assert len(looks) == 12 * 2 + 1


def test_many_variants_of_a_run_and_many_runs_differ():
    for some in ([line_style(3, variant) for variant in range(64)], [line_style(run) for run in range(56)]):
        seen = {tuple(map(str, look.values())) for look in some}
        assert len(seen) == len(some)


def test_the_last_whitened_generation_without_re_ranking_is_solid():
    table = pd.concat([recalls(gens=4), recalls(gens=4).assign(rerank="alpha_qe")])
    numbers = series_numbers(summarize_recalls(table))
    assert numbers["netvlad, gen 3, whitened 256-D"] == (1, 0)
    assert numbers["netvlad, gen 3, raw 256-D"] == (1, 1)
    assert sorted(variant for run, variant in numbers.values() if run == 0) == list(range(16))
    last = series_numbers(summarize_recalls(table[table.gen == 3]))
    assert all(numbers[label.replace(",", ", gen 3,", 1)] == number for label, number in last.items())


def test_only_the_last_of_five_generations_is_solid():
    numbers = series_numbers(summarize_recalls(recalls(gens=5, forms=("whitened",))))
    solid = [label for label, number in numbers.items() if line_style(*number)["linestyle"] == "-"]
    assert solid == ["vlad, gen 4, whitened 256-D", "netvlad, gen 4, whitened 256-D"]
    assert all(series_style(run, variant)["dash"] for run in range(9) for variant in range(1, 64))


def test_a_run_of_raw_descriptors_beside_one_of_both_kinds_is_solid():
    both, raw = recalls(runs=("both",), gens=2), recalls(runs=("raw",), gens=2, forms=("raw",))
    numbers = series_numbers(summarize_recalls(pd.concat([both, raw])))
    assert numbers["raw, gen 1, raw 256-D"] == (1, 0)
    assert numbers["both, gen 1, whitened 256-D"] == (0, 0)
    assert numbers["both, gen 1, raw 256-D"] == (0, 1)
    assert len(set(numbers.values())) == len(numbers) == 6


def test_seeds_become_their_mean_with_an_interval():
    table = recalls(runs=("a",), seeds=3, forms=("raw",), ks=(1,))
    row = summarize_recalls(table).iloc[0]
    interval = mean_recall_interval(table.recall, 1300, table.design_effect, 54)
    np.testing.assert_allclose([row.recall, row.low, row.high], 100 * np.array([table.recall.mean(), *interval]))
    single = summarize_recalls(table[table.seed == 1]).iloc[0]
    np.testing.assert_allclose([single.low, single.high], 100 * table[table.seed == 1][["low", "high"]].to_numpy()[0])


@pytest.mark.parametrize(("gens", "shown"), [(1, False), (2, True)])
def test_gen_is_named_only_if_there_are_several(gens, shown):
    labels = summarize_recalls(recalls(gens=gens)).label
    assert labels.str.contains(", gen 0").any() == shown
    assert labels.nunique() == 4 * gens


@pytest.mark.parametrize("ks", [(1,), (3,), tuple(range(1, 26)), (1, 5, 10, 20, 50, 100)])
def test_curves_and_bars_take_any_ks(tmp_path, ks):
    table = recalls(runs=("a",), ks=ks)
    ax = plot_recalls(tmp_path / "a.svg", table).axes[0]
    np.testing.assert_array_equal(ax.get_xticks(), ks)
    assert ax.get_xticklabels()[-1].get_text() == str(ks[-1])
    bars = plot_comparison(tmp_path / "b.svg", [table], NONE)
    assert f"recall@{ks[0]} " in bars.axes[-1].get_xlabel()


def details(runs=("vlad", "netvlad"), seeds=1, gens=1, protocols=("10 m",)):
    """thresholds.csv, precision.csv and summary.csv of runs with random numbers."""
    rng, tables = np.random.default_rng(0), ([], [], [])
    keys = [(p, r, s, g, d) for p in protocols for r in runs for s in range(seeds) for g in range(gens) for d in (8, 4)]
    for protocol, run, seed, gen, dim in keys:
        key = {"dataset": "city", "protocol": protocol, "radius": 10.0, "unit": "m", "run": run, "seed": seed}
        key |= {"gen": gen, "descriptor": {8: "raw", 4: "whitened"}[dim], "dim": dim, "rerank": "none"}
        share = np.sort(rng.uniform(0.1, 0.9, 100))
        curve = {"threshold": np.arange(1, 101), "recall": share, "low": share - 0.05, "high": share + 0.05}
        sizes = {"queries": 1300, "places": 54, "groups": 54, "design_effect": 1.5}
        tables[0].append(pd.DataFrame(curve).assign(**key, **sizes))
        for by in ("score", "distance_ratio"):
            points = {"precision": np.sort(rng.uniform(0.5, 1, 9))[::-1], "recall": np.sort(rng.uniform(0, 0.6, 9))}
            tables[1].append(pd.DataFrame(points).assign(**key, by=by))
            key |= {f"average_precision_{by}": rng.uniform(), f"recall_at_100_{by}": rng.uniform()}
        key |= {"queries": 1300, "answerable": 1234}
        tables[2].append(pd.DataFrame([key]))
    return tuple(pd.concat(parts, ignore_index=True) for parts in tables)


def test_thresholds_show_the_table(tmp_path):
    table, _, summary = details(seeds=3, gens=2)
    (first, again), fig = written(tmp_path, lambda out: plot_thresholds(out, table, summary))
    assert first == again
    ax = fig.axes[0]
    lines = data_lines(ax)
    for (run, form, dim), rows in table[table.gen == 1].groupby(["run", "descriptor", "dim"]):
        line = lines[f"{run}, gen 1, {form} {dim}-D"]
        np.testing.assert_allclose(line.get_ydata(), 100 * rows.groupby("threshold").recall.mean())
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 101))
        assert line.get_label().startswith(f"{line.get_ydata()[9]:.1f}")
    assert len(ax.lines) == 4 + 1
    assert ax.lines[-1].get_xdata()[0] == 10
    shown = [float(text.get_text().split()[0]) for text in fig.subfigs[0].legends[0].get_texts()]
    assert shown == sorted(shown, reverse=True)
    assert "1,300 queries; 10 m" in fig.subfigs[0].get_suptitle()
    legend = fig.subfigs[0].legends[0].get_title().get_text()
    assert legend == "recall@1 (%) at 10 m; bands: 95 % intervals of the solid lines"


def test_precision_shows_the_tables(tmp_path):
    _, points, summary = details(seeds=2, protocols=("10 m", "all views"))
    (first, again), fig = written(tmp_path, lambda out: plot_precision(out, points, summary))
    assert first == again
    panels = [(protocol, by) for protocol in ("10 m", "all views") for by in ("score", "distance_ratio")]
    for ax, (protocol, by) in zip(fig.axes, panels, strict=True):
        row = fig.subfigs[["10 m", "all views"].index(protocol)]
        assert f"1,300 queries, 1,234 with a positive; {protocol}" in row.get_suptitle().replace("\n", " ")
        assert len(ax.lines) == 2 * 2 * 2  # runs, kinds, seeds
        some = summary[(summary.protocol == protocol) & (summary.run == "vlad") & (summary.descriptor == "raw")]
        means = 100 * some[["average_precision_score", "average_precision_distance_ratio"]].mean()
        texts = [text.get_text().replace("\n", " ") for text in row.legends[0].get_texts()]
        assert len(texts) == 2 * 2
        assert f"{means.iloc[0]:.1f}  {means.iloc[1]:.1f}  vlad, raw 8-D" in texts
        curve = points[(points.protocol == protocol) & (points.run == "vlad") & (points.by == by) & (points.dim == 8)]
        curve = curve[curve.seed == 0]
        line = next(line for line in ax.lines if line.get_label().endswith("  vlad, raw 8-D"))
        assert line.get_drawstyle() == "steps-pre"
        np.testing.assert_allclose(line.get_xdata(), 100 * curve.recall)
        usual = [100 * curve.precision[curve.recall >= recall].max() for recall in curve.recall]
        np.testing.assert_allclose(line.get_ydata(), usual)


def test_conditions_are_not_drawn(tmp_path):
    table = recalls()
    more = pd.concat([table, table.assign(condition="light=night", recall=0.01, queries=5)])
    pictures = [tmp_path / name for name in ("a.svg", "b.svg", "c.svg", "d.svg")]
    for path, shown in zip(pictures[:2], (table, more), strict=True):
        plot_recalls(path, shown)
    for path, shown in zip(pictures[2:], (table, more), strict=True):
        plot_comparison(path, [shown], NONE)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert pictures[2].read_bytes() == pictures[3].read_bytes()


def test_comparison_shows_the_tables_and_published_numbers_of_the_same_protocol(tmp_path):
    tables = [recalls("city"), recalls("night", runs=[f"run{i}" for i in range(12)], seeds=3)]
    known = {
        "origin": "published",
        "dataset": "night",
        "protocol": "10 m",
        "run": "theirs",
        "dim": 512,
        "k": 1,
        "train_set": "a",
    }
    known = pd.DataFrame([known | {"recall": 0.77}, known | {"recall": 0.5, "protocol": "99 m"}])
    (first, again), fig = written(tmp_path, lambda out: plot_comparison(out, tables, known))
    assert first == again
    for ax, table in zip(fig.axes, tables, strict=True):
        best = table[table.k == 1].groupby(["run", "descriptor"], sort=False).recall.mean() * 100
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], best)
        values = [text.get_text() for text in ax.texts if text.get_text() != "not evaluated"]
        assert values[: len(best)] == [f"{value:.1f}" for value in best]
        assert values[len(best) :] == (["77.0"] if table.dataset[0] == "night" else [])
        assert table.dataset[0] in ax.get_title("left")
        assert "10 m" in ax.get_title("left")
        assert ax.get_xlim() == fig.axes[0].get_xlim()
        assert ax.get_xlim()[1] > max(100 * table.high[table.k == 1].max(), 77)
    night = fig.axes[1]
    (diamond,) = [line for line in night.lines if line.get_marker() == "D"]
    assert diamond.get_xdata()[0] == 77
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names[:2] == ["vlad", "netvlad"]
    assert names[-1] == "theirs, 512-D, on a"
    assert len(names) == 2 + 12 + 1
    assert [text.get_text() for text in fig.axes[0].texts].count("not evaluated") == 12
    legend = fig.subfigs[-1].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["raw, 256-D", "whitened, 256-D"]
    assert legend.get_title().get_text() == "black lines: 95 % intervals; dotted: chance; diamonds: published"


def test_comparison_gives_most_of_its_width_to_the_bars(tmp_path):
    tables = [recalls(name, runs=("tiny_vlad", "tiny_sare_joint"), gens=2) for name in ("city", "city_night")]
    for style in STYLES.values():
        fig = plot_comparison(tmp_path / "a.png", tables, NONE, style)
        assert fig.get_size_inches()[0] <= style.page
        assert sum(ax.get_position().width for ax in fig.axes) > 0.55
        low, high = fig.axes[0].get_xlim()
        assert low == 0
        assert high < 1.6 * max(100 * table.high[table.k == 1].max() for table in tables)


def test_a_paper_has_no_titles_and_captions_and_legible_type_in_a_column(tmp_path):
    table = recalls(seeds=2, gens=2)
    thresholds, points, summary = details(seeds=2)
    sampled = np.random.default_rng(0).standard_normal((4, 3)), np.random.default_rng(1).standard_normal((50, 3))
    figures = [
        plot_recalls(tmp_path / "a.svg", table, PAPER),
        plot_comparison(tmp_path / "a.svg", [table, recalls("night"), recalls("dusk")], NONE, PAPER),
        plot_thresholds(tmp_path / "a.svg", thresholds, summary, PAPER),
        plot_precision(tmp_path / "a.svg", points, summary, PAPER),
        plot_generations(tmp_path / "a.svg", table, PAPER),
        plot_seeds(tmp_path / "a.svg", table, PAPER),
        plot_conditions(tmp_path / "a.svg", table, PAPER),
        plot_training(tmp_path / "a.svg", {f"a seed 0 gen {gen}": history(3) for gen in range(4)}, ["a"], PAPER),
        plot_centroids(tmp_path / "a.svg", *sampled, PAPER),
    ]
    for fig in figures:
        parts = [fig, *fig.subfigs]
        assert not any(part.get_suptitle() for part in parts)
        texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text()]
        assert texts
        assert not [text.get_text() for text in texts if "interval" in text.get_text() or "queries" in text.get_text()]
        assert min(text.get_fontsize() for text in texts) * 8.5 / 2.54 / fig.get_size_inches()[0] >= 6


def test_what_does_not_fit_abreast_gets_a_second_row_of_panels(tmp_path):
    fig = plot_comparison(tmp_path / "a.png", [recalls(f"set{i}") for i in range(6)], NONE)
    assert fig.get_size_inches()[0] <= PAGE
    shown = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title("left").split("\n")[0] for ax in shown] == [f"set{i}" for i in range(6)]
    assert len(fig.subfigs) == 3


def test_training_shows_the_histories(tmp_path):
    histories = {f"a seed {seed} gen {gen}": history(3 + gen) for seed in range(2) for gen in range(2)}
    histories |= {"untrained seed 0 gen 0": history(0), "no_val seed 0 gen 0": history(4, val=False)}
    (first, again), fig = written(
        tmp_path, lambda out: plot_training(out, histories, ["published", "a", "untrained", "no_val"])
    )
    assert first == again
    labels = ["loss", "violating\nnegatives (%)", "val recall@1 (%)", "val recall@5 (%)", "learning rate"]
    grid = np.array(fig.axes).reshape(len(labels), 2)
    loss, recall = grid[0, 1].lines[0], grid[2, 1].lines[0]
    np.testing.assert_array_equal(loss.get_ydata(), history(4).loss)
    np.testing.assert_allclose(recall.get_ydata(), 100 * history(4)["val_recall@1"])
    np.testing.assert_array_equal(recall.get_xdata(), range(5))
    level = data_lines(grid[2, 0])["untrained"]
    np.testing.assert_allclose(level.get_ydata(), 100 * history(0)["val_recall@1"][0])
    assert level.get_linestyle() == "--"
    assert [line.get_color() for line in (loss, level)] == [line_style(1)["color"], line_style(2)["color"]]
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["a", "untrained", "no_val (no val split)"]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == labels
    assert "epoch" in grid[-1, 0].get_xlabel()


def test_the_soft_loss_has_a_panel_where_there_is_one(tmp_path):
    taught = history(3).assign(loss_soft=[np.nan, 3, 2, 1])
    fig = plot_training(tmp_path / "a.svg", {"sfrs seed 0 gen 0": history(1), "sfrs seed 0 gen 1": taught}, ["sfrs"])
    grid = np.array(fig.axes).reshape(6, 2)
    np.testing.assert_array_equal(grid[1, 1].lines[0].get_ydata(), taught.loss_soft)
    assert grid[1, 0].texts[0].get_text() == "no values"


def test_training_says_where_nothing_was_measured(tmp_path):
    fig = plot_training(tmp_path / "a.svg", {"vlad seed 0 gen 0": history(0, val=False)}, ["vlad"])
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["no values"] * 5


def test_clusters_counts_the_nearest_words(tmp_path):
    centroids = np.array([[2, 0], [0, 0.5]], np.float32)
    descriptors = np.array([[1, 0.1], [1, 0.2], [0.1, 1], [1, 0]], np.float32)
    (first, again), fig = written(tmp_path, lambda out: plot_centroids(out, centroids, descriptors))
    assert first == again
    top, bottom = fig.axes
    assert [bar.get_height() for bar in top.patches] == [75, 25]
    assert top.lines[0].get_ydata()[0] == 50
    assert sum(bar.get_height() for bar in bottom.patches) == pytest.approx(100)
    gaps = np.abs(np.subtract(*(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).T))
    assert bottom.lines[0].get_xdata()[0] == pytest.approx(gaps.mean(), rel=1e-5)
    assert fig.get_suptitle() == "2 visual words of 4 sampled 2-D features"


def test_clusters_takes_a_single_word(tmp_path):
    plot_centroids(tmp_path / "a.svg", np.ones((1, 4), np.float32), np.ones((5, 4), np.float32))
    assert (tmp_path / "a.svg").stat().st_size


def captions(fig):
    return [ax.get_xlabel() for ax in fig.axes]


def searched(photos, tmp_path, kinds, views=None):
    """6 queries that have their own place first, then the next one, then nothing; the later ones are the surer."""
    place = np.arange(12, 18) % 4
    ranking = np.stack([place, place + 4, (place + 1) % 4, np.full(6, -1)], axis=1)
    write_csv(tmp_path / "images.csv", photos)
    arrays = {f"all/{kind}/ranking": np.roll(ranking, n, axis=0) for n, kind in enumerate(kinds)}
    scores = np.repeat(np.linspace(0.1, 0.9, 6, dtype=np.float32)[:, None], 4, axis=1)
    arrays |= {f"all/{kind}/score": scores for kind in kinds}
    write_h5(tmp_path / "ranking.h5", arrays | {f"all/{kind}/dim": 2 for kind in kinds})
    protocol = Protocol("10 m", radius=10, views_per_place=views)
    return load_predictions(images=tmp_path / "images.csv", ranking=tmp_path / "ranking.h5", protocol=protocol)


def test_gallery_has_the_best_the_worst_and_random_ones(photos, tmp_path):
    found, options = searched(photos, tmp_path, ["raw"]), {"title": "city", "protocol": Protocol("10 m", radius=10)}
    figures = [plot_gallery(tmp_path / name, found, **options) for name in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    shown = captions(figures[0])
    assert shown[:5] == ["query 4", "✓ 0.0 m", "✓ 0.0 m", "✗ 100.0 m", "query 3"]  # 5 is surer, and wrong
    assert shown[12] == "query 5\nhas no positive"
    assert all(caption.startswith("✗") for caption in shown[13:16])
    frames = [ax.spines["left"].get_edgecolor() for ax in figures[0].axes]
    assert same_color(frames[1], RIGHT)
    assert same_color(frames[3], WRONG)
    assert len(shown) == (3 + 1 + 3) * 4  # a query and three candidates; the padding and what is beyond it stay empty
    texts = [text.get_text().replace("\n", " ") for text in figures[0].texts]
    assert texts[0] == "city; 10 m: 5 of 6 queries right at rank 1, 1 wrong, 1 of these without a positive"
    headings = [text for text in texts if " of " in text][1:]
    assert [heading.split(",")[-1] for heading in headings] == [" 3 of 5", " 1 of 1", " 3 of 6"]


@pytest.mark.parametrize("right", [0, 1, 6])
def test_gallery_fills_up_with_what_there_is(photos, tmp_path, right):
    found = searched(photos, tmp_path, ["raw"])
    found = found._replace(
        positives=[found.default_ranking[q, :1] if q < right else np.empty(0, int) for q in range(6)]
    )
    fig = plot_gallery(tmp_path / "a.png", found, title="city", protocol=Protocol("10 m", 10), rows=4, top=2)
    marks = captions(fig)[1::3]
    assert len(marks) == min(right, 4) + min(6 - right, 4) + 4
    headings = [text.get_text() for text in fig.texts][1:]
    assert headings[0].startswith("Best")
    assert headings[0].endswith(f", {min(right, 4)} of {right}")


def test_gallery_prefers_whitened_and_suppresses_views(photos, tmp_path):
    raw = searched(photos, tmp_path, ["raw"])
    both = searched(photos, tmp_path, ["raw", "whitened"])
    assert (raw.default_descriptor, both.default_descriptor) == ("raw", "whitened")
    np.testing.assert_array_equal(both.default_ranking, np.roll(raw.default_ranking, 1, axis=0))
    suppressed = searched(photos, tmp_path, ["raw"], views=3).default_ranking
    np.testing.assert_array_equal(suppressed[0], [0, 1, -1, -1])  # 4 is another view of the place of 0


def test_contact_shows_all_kinds_of_groups(photos, tmp_path):
    boxes = {photos.path[2]: [(1, 2, 3, 4, "car")], photos.path[5]: [(0, 0, 2, 2, "person"), (1, 1, 2, 2, "car")]}
    figures = [plot_contact_sheet(tmp_path / name, photos, title="city", boxes=boxes) for name in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    headings = [text.get_text() for text in figures[0].texts if text.get_text()]
    assert headings[:3] == ["city", "test, database: some of 12 photos", "test, query: some of 6 photos"]
    assert headings[3].endswith("3 of 3 views, in order")
    assert headings[-1] == "annotated: car (solid), person (dashed)"
    assert [len(ax.patches) for ax in figures[0].axes[-2:]] == [1, 2]
    assert figures[0].axes[-2].patches[0].get_bbox().bounds == (1, 2, 3, 4)
    nearest = captions(figures[0])[captions(figures[0]).index("query") + 1 : -2]
    metres = [float(caption.split()[0].replace(",", "")) for caption in nearest]
    assert len(metres) == 11
    assert metres == sorted(metres)


def test_contact_tells_distances_in_the_unit_of_the_dataset(photos, tmp_path):
    fig = plot_contact_sheet(tmp_path / "a.png", photos, title="own", unit="frames")
    assert "100 frames" in captions(fig)


def test_contact_without_places_or_boxes(photos, tmp_path):
    fig = plot_contact_sheet(tmp_path / "a.png", photos.assign(place=None), title="own")
    assert not any("place" in text.get_text() or "annotated" in text.get_text() for text in fig.texts)


def test_coco(tmp_path):
    content = {"images": [{"id": 7, "file_name": "a/b.jpg"}], "categories": [{"id": 1, "name": "car"}]}
    content["annotations"] = [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert read_coco_boxes(tmp_path / "annotations.json") == {str(tmp_path / "a/b.jpg"): [(1, 2, 3, 4, "car")]}
