from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from vprlib.data.geometry import within
from vprlib.evaluation import comparison
from vprlib.evaluation.comparison import THRESHOLDS, paired_differences, precision_recall_tables, recall_by_threshold
from vprlib.evaluation.correlated_queries import position_groups
from vprlib.evaluation.intervals import mean_recall_interval, paired_difference, recall_intervals
from vprlib.evaluation.published_recalls import PUBLISHED, compare_with_published
from vprlib.evaluation.recall import recall_at
from vprlib.evaluation.recall_table import read_results
from vprlib.evaluation.statistics import (
    average_precision,
    holm_adjust,
    precision_recall,
    recall_at_full_precision,
    recall_by_radius,
)
from vprlib.registry import load_object

COUNT, VIEWS = 60, 3  # queries, of each place


def answers(runs=("a", "b", "c"), seeds=(0, 1), gens=(0,), protocols=("10 m",)):
    """The answers of some runs to 60 queries, 3 a place: the first 3 have no positive, the next no candidate."""
    rng, parts = np.random.default_rng(0), []
    for protocol, run, seed, gen in [(p, r, s, g) for p in protocols for r in runs for s in seeds for g in gens]:
        part = pd.DataFrame({"query": [f"{number}.jpg" for number in range(COUNT)]})
        part["east"], part["north"] = 100.0 * (np.arange(COUNT) // VIEWS), 0.0
        error = np.where(rng.random(COUNT) < 0.6, rng.integers(1, 11, COUNT), rng.integers(11, 80, COUNT)).astype(float)
        error[:3] += 20
        part["positives"] = np.where(np.arange(COUNT) < 3, 0, 5)
        part["rank"] = pd.Series(np.where(error <= 10, 1, rng.integers(2, 30, COUNT))).astype("Int64")
        part["error@1"], part["score"] = error, rng.random(COUNT).astype(np.float32)
        part["distance_ratio"] = rng.random(COUNT)
        part.loc[3, ["rank", "error@1", "score", "distance_ratio"]] = pd.NA
        form = {"dataset": "city", "protocol": protocol, "radius": 10.0, "unit": "m", "descriptor": "raw", "dim": 8}
        parts.append(part.assign(**form, rerank="none", run=run, seed=seed, gen=gen))
    return pd.concat(parts, ignore_index=True)


def test_every_two_runs_are_compared_on_the_same_queries():
    table = answers(gens=(0, 1), protocols=("10 m", "all views"))
    found = paired_differences(table)
    assert len(found) == 2 * 3  # protocols, pairs
    place = np.arange(COUNT) // VIEWS
    assert set(found.gen) == set(found.other_gen) == {1}
    for row in found.itertuples():
        parts = []
        for run in (row.run, row.other):
            same = (table.protocol == row.protocol) & (table.gen == 1) & (table.run == run)
            ranks = [table[same & (table.seed == seed)]["rank"] for seed in (0, 1)]
            parts.append(np.array([[not pd.isna(rank) and rank == 1 for rank in some] for some in ranks]))
        only, only_other = (parts[0] & ~parts[1]).sum() / 2, (parts[1] & ~parts[0]).sum() / 2
        assert (row.run_only_correct, row.other_only_correct, row.queries, row.k) == (only, only_other, COUNT, 1)
        assert (row.seeds, row.places) == (2, COUNT // VIEWS)
        assert (row.recall, row.other_recall) == pytest.approx([part.mean() for part in parts])
        assert row.difference == pytest.approx(row.recall - row.other_recall)
        assert row.low <= row.difference <= row.high
        assert (row.low <= 0 <= row.high) == (row.p > 0.05)
        expected = paired_difference(place, *parts)
        assert (row.low, row.high, row.p, row.design_effect) == (
            expected.low, expected.high, expected.p, expected.design_effect
        )  # fmt: skip
    for _, family in found.groupby("protocol"):
        np.testing.assert_array_equal(family.p_holm, holm_adjust(family.p))
    pairs = found[found.protocol == "10 m"]
    assert list(zip(pairs.run, pairs.other, strict=True)) == list(combinations("abc", 2))


def test_a_run_alone_is_compared_with_none_and_other_queries_are_refused(refused):
    found = paired_differences(answers(runs=("a",)))
    assert found.empty
    assert {"difference", "p_holm"} <= set(found.columns)
    table = answers(runs=("a", "b"))
    with refused("a and b", "different queries"):
        paired_differences(table.drop(index=table[table.run == "b"].index[0]))
    with refused("a and b", "no seed in common"):
        paired_differences(pd.concat([table[table.run == "a"], table[table.run == "b"].assign(seed=table.seed + 5)]))


def test_a_network_of_one_seed_is_compared_with_every_seed_of_the_other():
    table = answers(runs=("a", "b"), seeds=(0, 1, 2))
    [alone] = paired_differences(table[(table.run == "a") | (table.seed == 1)]).to_dict("records")
    one = table[(table.run == "b") & (table.seed == 1)]
    [repeated] = paired_differences(
        pd.concat([table[table.run == "a"], *(one.assign(seed=seed) for seed in (0, 1, 2))])
    ).to_dict("records")
    assert alone == repeated
    assert alone["seeds"] == 3


def test_recall_at_the_protocols_radius_is_recall_at_1():
    table = answers()
    found = recall_by_threshold(table)
    assert len(found) == 3 * 2 * 100
    for (run, seed), rows in found.groupby(["run", "seed"]):
        some = table[(table.run == run) & (table.seed == seed)]
        rows = rows.set_index("threshold")
        assert rows.recall[10] == pytest.approx(some["rank"].eq(1).fillna(False).mean())
        assert rows.recall[100] == pytest.approx((COUNT - 1) / COUNT)  # the query without a candidate stays a miss
        error_Q = some["error@1"].to_numpy(float)
        groups = position_groups(some[["east", "north"]].to_numpy())
        low, high, effect = recall_intervals(groups, error_Q[:, None] <= THRESHOLDS)
        assert (rows.low[10], rows.high[10], rows.design_effect[10]) == (low[9], high[9], effect[9])
        assert (rows.places[10], rows.queries[10]) == (COUNT // VIEWS, COUNT)
        assert rows.recall.is_monotonic_increasing


def test_the_threshold_curve_is_recall_by_radius():
    """Against judging the same ranking by every radius."""
    rng = np.random.default_rng(1)
    query, database = rng.uniform(0, 60, (40, 2)), rng.uniform(0, 60, (30, 2))
    ranking = np.stack([rng.permutation(30)[:5] for _ in query])
    error = np.hypot(*(database[ranking[:, 0]] - query).T)
    slow = [recall_at([1], ranking, within(query, database, radius))[1] for radius in THRESHOLDS]
    np.testing.assert_allclose(recall_by_radius(THRESHOLDS, error), slow)


def test_confident_answers_are_summed_up(monkeypatch):
    monkeypatch.setattr(comparison, "POINTS", 20)
    table = answers()
    points, summary = precision_recall_tables(table)
    assert len(summary) == 3 * 2
    for row in summary.to_dict("records"):
        some = table[(table.run == row["run"]) & (table.seed == row["seed"])]
        right = some["rank"].eq(1).fillna(False).to_numpy(bool)
        for name, sure in (("score", some.score), ("distance_ratio", 1 - some.distance_ratio)):
            curve = precision_recall(sure.to_numpy(float), right, COUNT - 3)
            assert row[f"average_precision_{name}"] == average_precision(curve)
            assert row[f"recall_at_100_{name}"] == recall_at_full_precision(curve)
            kept = points[(points.run == row["run"]) & (points.seed == row["seed"]) & (points.by == name)]
            assert 20 <= len(kept) <= 21
            assert kept.answered.iloc[[0, -1]].tolist() == [1, COUNT - 1]
            assert (
                kept[kept.precision == 1].recall.max() == row[f"recall_at_100_{name}"]
                or not row[f"recall_at_100_{name}"]
            )
            assert set(zip(kept.precision, kept.recall, strict=True)) <= set(
                zip(curve["precision"], curve["recall"], strict=True)
            )
        assert row["error_50%"] == sorted(some["error@1"].fillna(np.inf))[COUNT // 2 - 1]


def recalls(dataset, seeds):
    rows = [
        {"dataset": dataset, "protocol": "25 m", "run": run, "seed": seed, "gen": 0, "train_set": "city", "dim": 8}
        | {"descriptor": "raw", "rerank": "none", "k": k, "condition": condition, "recall": 0.1 * k + 0.01 * seed}
        | {"low": 0.1, "high": 0.9, "queries": 100, "places": 30, "groups": 20, "design_effect": 1.5}
        | {"epoch_selected_on": "last epoch"}
        for run in "ab"
        for seed in range(seeds)
        for k in (1, 5)
        for condition in ("all", "light=night")
    ]
    return pd.DataFrame(rows)


def test_ours_and_published_recalls_stay_apart():
    table = compare_with_published([recalls("pitts30k", 3), recalls("city", 1)])
    ours, theirs = table[table.origin == "ours"], table[table.origin == "published"]
    assert len(ours) == 2 * 2 * 2
    assert len(ours) + len(theirs) == len(table)
    several = ours[(ours.dataset == "pitts30k") & (ours.k == 1)].iloc[0]
    expected = (0.11, 0.01, *mean_recall_interval([0.1, 0.11, 0.12], 100, [1.5] * 3, 20))
    assert (several.recall, several["std"], several.low, several.high) == pytest.approx(expected)
    assert (several.seeds, several.places, several.groups, several.design_effect) == (3, 30, 20, 1.5)
    single = ours[(ours.dataset == "city") & (ours.k == 5)].iloc[0]
    assert (single.recall, single.low, single.high, single.seeds) == (0.5, 0.1, 0.9, 1)
    assert ours.source.isna().all()
    assert set(theirs.dataset) == {"pitts30k"}
    assert theirs.source.notna().all()
    assert theirs[["low", "high", "seeds", "queries"]].isna().all(axis=None)
    vgg = theirs[(theirs.run == "CosPlace VGG16") & (theirs.k == 1)].iloc[0]
    assert (vgg.recall, vgg.dim, vgg.train_set) == (0.885, 512, "SF-XL")


def test_published_recalls_are_percents_that_grow_with_k():
    table = pd.read_csv(PUBLISHED)
    assert ((table.r1 < table.r5) & (table.r5 < table.r10)).all()
    assert table[["r1", "r5", "r10"]].to_numpy().min() > 10
    assert table[["r1", "r5", "r10"]].to_numpy().max() <= 100
    assert table[["method", "train_set", "dataset", "protocol", "source"]].notna().all(axis=None)
    assert not table.duplicated(["method", "dim", "dataset", "protocol"]).any()


def test_tables_survive_a_file(tmp_path):
    table = answers()
    table.to_csv(tmp_path / "queries.csv", index=False)
    pd.testing.assert_frame_equal(paired_differences(read_results(tmp_path / "queries.csv")), paired_differences(table))


def test_published_recalls_stand_beside_datasets_and_protocols_of_ours():
    table = pd.read_csv(PUBLISHED)
    for row in table.itertuples():
        assert row.protocol in {one.name for one in load_object("dataset", row.dataset).protocols}, row
