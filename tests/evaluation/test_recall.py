from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.evaluation.recall import hits, random_recall, recall_at, suppress_views


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
    with pytest.raises(ValueError, match="needs 61"):
        suppress_views(ranking, np.arange(60), 61)


@pytest.mark.parametrize(("database", "counts"), [(1, [0]), (4, [1]), (5, [0, 1, 3]), (5, [5, 4])])
def test_chance_is_the_mean_recall_over_all_rankings(database, counts):
    ks = range(1, database + 1)
    positives = [np.arange(count) for count in counts]
    every = np.array(list(permutations(range(database))))
    for k in ks:
        mean = np.mean([hits(every, [right] * len(every))[:, :k].any(1).mean() for right in positives])
        assert random_recall([k], positives, database)[k] == pytest.approx(mean, abs=1e-12)
    assert list(random_recall(ks, positives, database)) == list(ks)
