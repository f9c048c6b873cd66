from math import dist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.training.miners.hardest import difficult_positives, draw_negatives, select_tuples


@st.composite
def scenes(draw):
    """Unit descriptors with exact products and many equal distances; who is near whom."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, count = draw(st.integers(1, 5)), draw(st.integers(12, 40))
    query, database = (rng.choice([-0.25, 0.25], (n, 16)).astype(np.float32) for n in (queries, count))
    near = [np.sort(rng.choice(count, rng.integers(1, 7), replace=False)) for _ in range(queries)]
    positives = [rng.permutation(one)[: rng.integers(1, len(one) + 1)] for one in near]
    return query, database, positives, near


def by_scanning_lists(query, database, positives, excluded, negatives):
    tuples = []
    for number, descriptor in enumerate(query.tolist()):
        distance = [dist(descriptor, other) for other in database.tolist()]
        gallery = sorted(range(len(database)), key=lambda i: (distance[i], i))
        positive = next(i for i in gallery if i in list(positives[number]))
        hardest = [i for i in gallery if i not in list(excluded[number])][:negatives]
        tuples.append((number, positive, hardest))
    return tuples


@settings(deadline=None, derandomize=True)
@given(scenes(), st.integers(1, 6), st.sampled_from([1, 2, 1024]))
def test_a_pool_of_everything_is_full_mining(scene, negatives, block):
    rng = np.random.default_rng(0)
    mined = select_tuples(*scene, negatives=negatives, pool=10**6, generator=rng, block=block)
    assert [(q, p, n.tolist()) for q, p, n in mined] == by_scanning_lists(*scene, negatives)


@settings(deadline=None, derandomize=True)
@given(scenes(), st.integers(3, 12))
def test_a_small_pool_keeps_every_promise(scene, pool):
    query, database, positives, excluded = scene
    cache = -np.ones((len(query), 3), int)
    for generation in range(2):
        mined = select_tuples(*scene, negatives=3, pool=pool, cache=cache, generator=np.random.default_rng(generation))
        rng = np.random.default_rng(generation)
        for number, (asked, positive, hardest) in enumerate(mined):
            assert asked == number
            assert positive in positives[number]
            assert len(set(hardest)) == 3
            assert not set(hardest) & set(excluded[number])
            candidates = {
                *draw_negatives(len(database), excluded[number], pool, rng),
                *cache[number][cache[number] >= 0],
            }
            nearest = sorted(candidates, key=lambda i: (dist(query[number], database[i]), i))[:3]
            assert hardest.tolist() == nearest
        cache = np.array([hardest for _, _, hardest in mined])


def test_a_draw_is_uniform_over_what_is_not_excluded_and_repeats_nothing():
    rng = np.random.default_rng(0)
    draws = np.array([draw_negatives(9, np.array([0, 4, 5, 8]), 2, rng) for _ in range(4000)])
    assert np.all(draws[:, 0] != draws[:, 1])
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [1, 2, 3, 6, 7]
    assert np.abs(counts / 4000 - 2 / 5).max() < 0.04  # five standard deviations
    assert sorted(draw_negatives(6, np.array([2]), 100, rng)) == [0, 1, 3, 4, 5]
    assert sorted(draw_negatives(3, np.array([], int), 3, rng)) == [0, 1, 2]


def test_the_same_generator_mines_the_same_tuples():
    rng = np.random.default_rng(0)
    query, database = rng.normal(size=(4, 8)), rng.normal(size=(200, 8))
    near = [np.array([number]) for number in range(4)]

    def mined(seed):
        generator = np.random.default_rng(seed)
        return [
            n.tolist()
            for *_, n in select_tuples(query, database, near, near, negatives=5, pool=20, generator=generator)
        ]

    assert mined(1) == mined(1)
    assert mined(1) != mined(2)


@pytest.mark.parametrize("excluded", [[1, 2, 3], [0, 1, 2, 3, 4]])
def test_too_few_negatives_or_no_positive_is_refused(excluded, refused):
    x, rng = np.eye(5, dtype=np.float32), np.random.default_rng(0)
    with refused("query 0", "3 negatives", "train.negative_pool_size"):
        select_tuples(x[:1], x, [np.array([1])], [np.array(excluded)], negatives=3, pool=10, generator=rng)
    with refused("query 1", "no positive"):
        nothing = np.array([], int)
        select_tuples(x[:2], x, [np.array([1]), nothing], [nothing, nothing], negatives=1, pool=9, generator=rng)


@settings(deadline=None, derandomize=True)
@given(scenes(), st.integers(1, 20), st.integers(1, 10), st.integers(0, 2**32))
def test_difficult_positives_are_promoted_first_and_then_unchanged(scene, pool, count, seed):
    """By the definition: list positions before and after, one photo at a time."""
    query, database, positives, _ = scene
    jaccard = np.random.default_rng(seed).choice([0.0, 0.25, 0.5, 1.0], (len(query), len(database)))
    chosen = difficult_positives(query, database, positives, jaccard, pool=pool, count=count)
    for number, own in enumerate(positives):
        near = sorted(sorted(own), key=lambda i: dist(query[number], database[i]))[:pool]
        after = sorted(near, key=lambda i: jaccard[number, i])
        gain = {i: near.index(i) - after.index(i) for i in near}
        promoted = sorted((i for i in after if gain[i] > 0), key=lambda i: -gain[i])
        unchanged = [i for i in after if gain[i] == 0]
        assert chosen[number].tolist() == (promoted + unchanged)[:count]
        assert len(chosen[number])


def test_without_another_ranking_the_difficult_positives_are_the_nearest():
    """Generation 0 of the published code, where Jaccard is Euclid."""
    rng = np.random.default_rng(0)
    query, database = rng.standard_normal((3, 8)), rng.standard_normal((50, 8))
    own = [rng.choice(50, 30, replace=False) for _ in range(3)]
    chosen = difficult_positives(query, database, own, -query @ database.T, pool=20, count=10)
    for number, found in enumerate(chosen):
        assert found.tolist() == sorted(own[number], key=lambda i: -query[number] @ database[i])[:10]
