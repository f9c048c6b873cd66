import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.evaluation.correlated_queries import (
    block_length,
    correlated_groups,
    count_groups,
    group_variance,
    position_groups,
)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30))
def test_queries_of_one_position_have_one_number(positions):
    groups = position_groups(np.array(positions, float) * 10)
    names = list(dict.fromkeys(positions))
    assert groups.tolist() == [names.index(position) for position in positions]


def test_a_centimetre_is_the_same_position_and_a_metre_is_not():
    assert position_groups(np.array([[500_000.001, 0], [500_000.002, 0], [500_001.0, 0]])).tolist() == [0, 0, 1]


def test_places_apart_are_groups_of_their_own():
    """24 views of each of 30 positions, 100 m apart and in any order."""
    rng = np.random.default_rng(0)
    place = rng.permutation(np.repeat(np.arange(30), 24))
    groups = correlated_groups(np.stack([100.0 * place, 0 * place], 1), 25, rng.random((720, 3)) < 0.5)
    assert len(set(groups)) == 30
    assert len(set(zip(groups, place, strict=True))) == 30


def autoregressive(count, memory, rng):
    noise, value = rng.normal(size=count), np.zeros(count)
    for number in range(1, count):
        value[number] = memory * value[number - 1] + noise[number]
    return value


def test_blocks_along_a_traverse_grow_with_the_memory_of_the_outcomes():
    rng = np.random.default_rng(1)
    frames = np.stack([np.arange(1000.0), np.zeros(1000)], 1)
    sizes = []
    for memory in (0.0, 0.6, 0.95):
        hits = (autoregressive(1000, memory, rng) > 0)[:, None]
        groups = correlated_groups(frames, 1, hits)
        assert (np.diff(groups) >= 0).all(), "blocks are stretches of the traverse"
        counts = np.bincount(groups)
        assert counts.max() <= 2 * counts.min(), "blocks are about equally long"
        sizes.append(counts.mean())
    assert sizes[0] == 1
    assert 5 < sizes[1] < sizes[2] < 300


def test_blocks_end_where_a_traverse_ends():
    """Two walks a kilometre apart, one after the other in the table."""
    along = np.concatenate([np.arange(300.0), 1000 + np.arange(300.0)])
    hits = np.repeat([True, False] * 6, 50)[:, None]
    groups = correlated_groups(np.stack([along, 0 * along], 1), 1, hits)
    assert not set(groups[:300]) & set(groups[300:])
    assert len(set(groups)) < 100


def test_the_variance_of_blocks_is_that_of_the_mean():
    """An autoregressive process of memory 0.7 has a mean of variance (1 / (1 - 0.7))^2 / n."""
    rng, estimates = np.random.default_rng(2), []
    for _ in range(60):
        value = autoregressive(2000, 0.7, rng)
        length = block_length(value[:, None], np.zeros(2000, int))
        estimates.append(group_variance(np.arange(2000) // length, value[:, None])[0])
    assert np.mean(estimates) == pytest.approx((1 / 0.3) ** 2 / 2000, rel=0.2)


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0, 0.0], [1.0, 0.0], [1.0, 2.0, 4.0]])
def test_few_or_equal_values_need_no_blocks(values):
    assert block_length(np.array(values)[:, None], np.zeros(len(values), int)) == 1


def test_the_variance_of_groups_by_definition():
    """Of one query a group: the variance of a mean, n - 1 in the denominator; of one group: unknown."""
    values = np.array([0.0, 1, 1, 0, 1])
    assert group_variance(np.arange(5), values[:, None])[0] == pytest.approx(values.var(ddof=1) / 5)
    assert np.isnan(group_variance(np.zeros(5, int), values[:, None])).all()


def test_the_order_of_the_table_does_not_matter_along_a_street():
    """Names sorted by easting, or shuffled rows: neighbours on the ground are still neighbours."""
    rng = np.random.default_rng(3)
    turn = np.linspace(0, 1.9 * np.pi, 400)
    street = 2000 * np.stack([np.cos(turn), np.sin(turn)], 1)
    hits = (autoregressive(400, 0.95, rng) > 0)[:, None]
    driven = correlated_groups(street, 25, hits)
    assert len(set(driven)) < 30
    places = len(set(position_groups(street, 12.5)))
    assert count_groups(street, 25, driven) == {"places": places, "groups": len(set(driven))}
    for order in (np.argsort(street[:, 0]), rng.permutation(400)):
        groups = correlated_groups(street[order], 25, hits[order])
        assert abs(len(set(groups)) - len(set(driven))) <= 10
        spans = [np.ptp(order[groups == group]) for group in set(groups)]
        assert np.median(spans) <= 2 * 400 / len(set(groups)), "a block is a stretch of the street"


def test_queries_without_a_position_are_one_group_and_no_query_is_none():
    nowhere = [np.nan, np.nan]
    groups = correlated_groups(np.array([[0.0, 0], nowhere, [500, 0], nowhere]), 25, np.ones((4, 1)))
    assert groups[1] == groups[3]
    assert len(set(groups)) == 3
    assert not len(correlated_groups(np.empty((0, 2)), 25, np.empty((0, 3))))


def test_queries_near_each_other_are_of_one_place():
    """GPS that scatters by two metres: 8 queries at each of 40 places, 30 m apart."""
    rng = np.random.default_rng(4)
    place = rng.permutation(np.repeat(np.arange(40), 8))
    position = np.stack([30.0 * (place % 8), 30.0 * (place // 8)], 1) + rng.uniform(-2, 2, (320, 2))
    groups = correlated_groups(position, 25, rng.random((320, 1)) < 0.5)
    assert len(set(zip(groups, place, strict=True))) == len(set(groups)) == 40
