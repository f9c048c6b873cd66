import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from vprlib import files
from vprlib.datasets.base import Protocol, read_table, select
from vprlib.evaluate import chance, hits, join, judge, recall_at, searched, suppress_views, wilson
from vprlib.geometry import within
from vprlib.search import search


@st.composite
def rankings(draw, least=1):
    """(ranking with -1 at the ends of some rows, positives, database size)."""
    database, queries = draw(st.integers(least, 12)), draw(st.integers(1, 5))
    depth = draw(st.integers(1, database))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ranking = np.stack([rng.permutation(database)[:depth] for _ in range(queries)])
    for row in ranking:
        row[rng.integers(0, depth + 1) :] = -1
    positives = [np.flatnonzero(rng.random(database) < 0.2) for _ in range(queries)]
    return ranking, positives, database


def slow_recall(k, ranking, positives):
    found = [
        any(candidate in set(right) for candidate in row[:k]) for row, right in zip(ranking, positives, strict=True)
    ]
    return sum(found) / len(found)


@settings(deadline=None, derandomize=True)
@given(rankings())
def test_hits_and_recall_agree_with_the_definition(case):
    ranking, positives, _ = case
    ks = range(1, ranking.shape[1] + 1)
    slow = [[candidate in set(right) for candidate in row] for row, right in zip(ranking, positives, strict=True)]
    assert hits(ranking, positives).tolist() == slow
    recalls = recall_at(ks, ranking, positives)
    assert recalls == {k: slow_recall(k, ranking, positives) for k in ks}
    assert sorted(recalls.values()) == list(recalls.values())


def test_a_query_without_positives_is_a_miss_and_padding_never_a_hit():
    assert recall_at([1, 2], [[0, 1], [1, -1]], [np.array([], int), np.array([0])]) == {1: 0, 2: 0}
    assert not hits([[-1, -1]], [np.array([0, 1])]).any()


@settings(deadline=None, derandomize=True)
@given(rankings(), st.randoms(use_true_random=False))
def test_renumbering_the_database_changes_no_recall(case, random):
    ranking, positives, database = case
    new = np.array(random.sample(range(database), database))
    renumbered = np.where(ranking >= 0, new[ranking], -1)
    moved = [np.sort(new[right]) for right in positives]
    np.testing.assert_array_equal(hits(renumbered, moved), hits(ranking, positives))


def test_recall_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="2 rows of ranking, but positives of 1"):
        recall_at([1], [[0], [0]], [np.array([0])])
    for k in (0, 3):
        with pytest.raises(ValueError, match=f"recall@{k}"):
            recall_at([1, k], [[0, 1]], [np.array([0])])


@settings(deadline=None, derandomize=True)
@given(rankings(), st.integers(1, 5), st.data())
def test_suppression_keeps_the_first_view_of_each_place(case, places, data):
    ranking, _, database = case
    place = np.array(data.draw(st.lists(st.integers(0, places), min_size=database, max_size=database)))
    depth = data.draw(st.integers(1, ranking.shape[1]))
    expected = []
    for row in ranking:
        seen, kept = set(), []
        for candidate in row[:depth]:
            if candidate >= 0 and place[candidate] not in seen:
                seen.add(place[candidate])
                kept.append(candidate)
        expected.append(kept + [-1] * (depth - len(kept)))
    assert suppress_views(ranking, place, depth).tolist() == expected


def test_suppression_of_one_view_a_place_changes_nothing_and_of_twelve_keeps_recall_at_1():
    rng = np.random.default_rng(0)
    ranking = np.stack([rng.permutation(60) for _ in range(50)])
    np.testing.assert_array_equal(suppress_views(ranking, np.arange(60), 60), ranking)
    positives = [np.arange(12) + 12 * (number % 5) for number in range(50)]
    before = recall_at([1, 5], ranking, positives)
    after = recall_at([1, 5], suppress_views(ranking, np.arange(60) // 12, 60), positives)
    assert after[1] == before[1]
    assert after[5] == 1 > before[5]
    with pytest.raises(ValueError, match="looks at 61"):
        suppress_views(ranking, np.arange(60), 61)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 315), (7, 10), (200, 315), (6816, 6816)])
def test_wilson_agrees_with_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-7)


@pytest.mark.parametrize(("database", "counts"), [(1, [0]), (4, [1]), (5, [0, 1, 3]), (5, [5, 4])])
def test_chance_is_the_mean_recall_over_all_rankings(database, counts):
    ks = range(1, database + 1)
    positives = [np.arange(count) for count in counts]
    every = np.array(list(permutations(range(database))))
    for k in ks:
        mean = np.mean([hits(every, [right] * len(every))[:, :k].any(1).mean() for right in positives])
        assert chance([k], positives, database)[k] == pytest.approx(mean, abs=1e-12)
    assert list(chance(ks, positives, database)) == list(ks)


MODEL = {"epoch": 3, "train": {"margin": 0.3}}
FOUR = Protocol("4 m", radius=4)


@pytest.fixture
def made(tmp_path):
    """A searched test split: 6 places with 2 views, 9 queries of which the last is far from all; other splits too."""
    rng = np.random.default_rng(3)
    rows = [["train", "query", None, 0, 0], ["val", "database", "9", 0, 0]]
    rows += [["test", "database", f"{number // 2:03d}", 10 * (number // 2), 0] for number in range(12)]
    rows += [["test", "query", None, 10 * (number % 6) + 2, 1] for number in range(8)] + [
        ["test", "query", None, 1e3, 0]
    ]
    table = pd.DataFrame(rows, columns=["split", "role", "place", "east", "north"])
    table["city"] = np.where(table.east < 30, "left", "right")
    table["easy"] = table.index % 2
    files.write_csv(tmp_path / "images.csv", table)
    for name, count in (("database", 12), ("queries", 9)):
        arrays = {kind: rng.normal(size=(count, dim)).astype(np.float16) for kind, dim in (("raw", 8), ("whitened", 4))}
        files.write_h5(tmp_path / f"{name}.h5", arrays, {"checkpoint": "f" * 64, "model": json.dumps(MODEL)})
    search(
        tmp_path / "ranking.h5",
        database=tmp_path / "database.h5",
        queries=tmp_path / "queries.h5",
        images=tmp_path / "images.csv",
        depth=10,
        scopes=["all", "city"],
    )
    said = {"recipe": {"train": {"margin": 0.3}}, "config": "12345678e901"}
    return {"images": tmp_path / "images.csv", "ranking": tmp_path / "ranking.h5"} | said


def test_a_network_of_another_recipe_is_refused(made, refused):
    with refused(made["ranking"], "another `train`"):
        judge(**made | {"recipe": {"train": {"margin": 0.2}}}, ks=(1,), protocol=FOUR)


@pytest.mark.parametrize("views", [None, 2])
def test_judged_rows_agree_with_the_definition(made, views):
    rows = judge(**made, ks=(1, 3), protocol=replace(FOUR, views_per_place=views))
    assert rows.descriptor.tolist() == ["raw", "raw", "whitened", "whitened"]
    assert rows.dim.tolist() == [8, 8, 4, 4]
    positives = [[2 * (number % 6), 2 * (number % 6) + 1] for number in range(8)] + [[]]
    for row in rows.itertuples():
        (ranking,) = files.read_h5(made["ranking"], f"all/{row.descriptor}/ranking")
        if views:
            ranking = suppress_views(ranking, np.arange(12) // 2, 10)
        assert row.recall == pytest.approx(slow_recall(row.k, ranking, positives), abs=1e-15)
        interval = binomtest(round(9 * row.recall), 9).proportion_ci(0.95, method="wilson")
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high), abs=1e-7)
        places = [sorted({right // 2 for right in rights}) for rights in positives]
        assert row.chance == (chance([row.k], places, 6) if views else chance([row.k], positives, 12))[row.k]
        assert (row.queries, row.database, row.without_positives, row.radius, row.unit) == (9, 12, 1, 4, "m")
        assert (row.epoch, row.checkpoint, row.config, row.protocol) == (3, "f" * 12, "12345678e901", "4 m")


def test_a_protocol_may_ask_some_queries_only(made):
    table = read_table(made["images"])
    easy = select(table, "test", "query").easy == 1
    rows = judge(**made, ks=(1, 3), protocol=replace(FOUR, name="easy", queries="easy"))
    everything = searched(images=made["images"], ranking=made["ranking"], protocol=FOUR)
    for row in rows.itertuples():
        some = [right for right, one in zip(everything.positives, easy, strict=True) if one]
        ranking = everything.rankings[row.descriptor][easy]
        assert row.recall == pytest.approx(slow_recall(row.k, ranking, some), abs=1e-15)
        assert (row.queries, row.protocol) == (easy.sum(), "easy")


def test_a_protocol_may_search_each_city_alone(made):
    table = read_table(made["images"])
    query, database = select(table, "test", "query"), select(table, "test", "database")
    protocol = replace(FOUR, within="city", radius=11)
    found = searched(images=made["images"], ranking=made["ranking"], protocol=protocol)
    everywhere = searched(images=made["images"], ranking=made["ranking"], protocol=FOUR)
    same = [[row for row in range(12) if database.city[row] == city] for city in query.city]
    for q in range(9):
        (near,) = within(query.loc[[q], ["east", "north"]], database[["east", "north"]], 11)
        assert found.positives[q].tolist() == [row for row in near if row in same[q]]
        shown = [row for row in everywhere.rankings["raw"][q] if row in same[q]]
        kept = [row for row in found.rankings["raw"][q] if row >= 0]
        assert kept[: len(shown)] == shown  # of the 10 nearest of all, those of its city, in their order
        assert sorted(kept) == same[q]
    rows = judge(**made, ks=(1,), protocol=protocol)
    lucky = [chance([1], [found.positives[q]], len(same[q]))[1] for q in range(9)]
    assert rows.chance[0] == pytest.approx(np.mean(lucky), abs=1e-12)


def test_a_split_without_queries_or_a_protocol_without_any_is_refused(made, refused):
    with refused(made["images"], "'hard'"):
        table = read_table(made["images"]).assign(hard=0)
        files.write_csv(made["images"], table)
        judge(**made, ks=(1,), protocol=replace(FOUR, queries="hard"))
    files.write_csv(made["images"], table[~((table.split == "test") & (table.role == "query"))])
    with refused(made["images"], "no query"):
        judge(**made, ks=(1,), protocol=FOUR)


def test_a_ranking_of_other_images_or_too_short_is_refused(made, refused):
    with refused("recall@11", "10"):
        judge(**made, ks=(1, 11), protocol=FOUR)
    table = pd.read_csv(made["images"], dtype={"place": str})
    for fewer in (table.iloc[:-1], table.drop(index=[12, 13])):  # a query less, two database images less
        files.write_csv(made["images"], fewer)
        with refused(made["ranking"], made["images"]):
            judge(**made, ks=(1,), protocol=FOUR)


def test_joined_tables_are_all_of_the_configuration(made, refused, tmp_path):
    one = judge(**made, ks=(1, 3), protocol=FOUR)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, config in zip(paths, ("12345678e901", "000000000012"), strict=True):
        files.write_csv(path, one.assign(config=config, recall=0.1 + 0.2))
    joined = join(paths, ["12345678e901", "000000000012"])
    assert joined.config.tolist() == 4 * ["12345678e901"] + 4 * ["000000000012"]
    assert (joined.recall == 0.1 + 0.2).all()
    with refused(paths[0], "another configuration"):
        join(paths, ["000000000012", "12345678e901"])
