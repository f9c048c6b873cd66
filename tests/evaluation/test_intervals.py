"""Intervals and tests against other libraries, by enumeration, and by simulation with known truths."""

from itertools import product

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binomtest
from statsmodels.stats import contingency_tables, proportion

from vprlib.evaluation.correlated_queries import correlated_groups
from vprlib.evaluation.intervals import (
    design_effects,
    mean_recall_interval,
    paired_difference,
    recall_intervals,
    score_interval,
    sign_flip_test,
    wilson_interval,
)

Z95 = 1.959963984540054
PLACES, VIEWS = 100, 10  # of a simulated test set
QUERIES = PLACES * VIEWS


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 315), (7, 10), (200, 315), (6816, 6816)])
def test_wilson_agrees_with_scipy_and_statsmodels(successes, trials):
    found = wilson_interval(successes / trials, trials, Z95)
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found == pytest.approx(proportion.proportion_confint(successes, trials, method="wilson"), abs=1e-9)
    assert 0 <= found[0] <= found[1] <= 1


@pytest.mark.parametrize(("only", "other"), [(0, 0), (0, 5), (5, 0), (3, 3), (46, 47), (53, 12), (400, 600)])
def test_flips_of_single_queries_are_mcnemar_s_exact_test(only, other):
    expected = contingency_tables.mcnemar([[7, only], [other, 9]], exact=True).pvalue if only + other else 1
    assert sign_flip_test([1] * only + [-1] * other + [0] * 20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("differences", [[2, 1, -1, 3], [5], [4, 4, -4], [1, -2, 3, -4, 5, 6], [0, 0], [7, 0, 2, 2, 1]])
def test_flips_of_places_agree_with_enumeration(differences):
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in product([1, -1], repeat=len(differences))]  # fmt: skip
    expected = np.mean([value >= abs(sum(differences)) for value in sums])
    assert sign_flip_test(differences) == pytest.approx(expected, rel=1e-12)
    assert sign_flip_test([-value for value in differences]) == sign_flip_test(differences)


def test_flips_of_many_places_are_fast_and_tiny_p_values_have_their_size():
    rng = np.random.default_rng(0)
    assert 0 < sign_flip_test(rng.integers(0, 24, 3000)) < 1e-100
    assert 1e-100 < sign_flip_test(np.ones(200, int)) < 1e-40


@pytest.mark.parametrize(("only", "other", "queries"), [(12, 5, 60), (0, 5, 40), (3, 3, 50), (0, 0, 30), (40, 0, 41)])
def test_the_score_interval_inverts_the_score_test(only, other, queries):
    """Against maximising the likelihood numerically for each hypothesised difference."""

    def score(delta):
        shares = np.linspace(max(0, -delta), (1 - delta) / 2, 200_001)[1:-1]  # of only the other, given delta
        with np.errstate(divide="ignore"):
            same = np.log(np.maximum(1 - 2 * shares - delta, 1e-300))
            likelihood = only * np.log(shares + delta) + other * np.log(shares) + (queries - only - other) * same
        best = shares[np.argmax(likelihood)]
        return (only - other - queries * delta) / np.sqrt(queries * (2 * best + delta - delta**2))

    low, high = score_interval((only - other) / queries, (only + other) / queries, queries, Z95)
    assert score(low) == pytest.approx(Z95, rel=2e-3)
    assert score(high) == pytest.approx(-Z95, rel=2e-3)
    assert score_interval((other - only) / queries, (only + other) / queries, queries, Z95) == pytest.approx(
        (-high, -low)
    )


def test_the_score_interval_of_one_discordant_pair():
    """One discordant pair of 43: a pinned value; the score test itself is inverted numerically above."""
    low, high = score_interval(-1 / 43, 1 / 43, 43, Z95)
    assert (low, high) == pytest.approx((-0.1206, 0.0624), abs=2e-3)


def test_the_design_effect_of_equal_views_is_their_number():
    rng = np.random.default_rng(1)
    hits = np.repeat(rng.random((PLACES, 2)) < 0.5, VIEWS, axis=0)
    assert design_effects(np.repeat(np.arange(PLACES), VIEWS), hits) == pytest.approx([VIEWS, VIEWS], rel=0.02)
    independent = rng.random((QUERIES, 5)) < 0.5
    effects = design_effects(np.repeat(np.arange(PLACES), VIEWS), independent)
    assert (effects >= 1).all()
    assert effects.max() < 1.5


def test_without_misses_the_design_effect_is_that_of_the_other_cut_offs():
    place = np.repeat(np.arange(PLACES), VIEWS)
    some = place % 3 > 0
    effects = design_effects(place, np.stack([some, np.ones(QUERIES, bool)], 1))
    assert effects == pytest.approx([VIEWS, VIEWS], rel=0.02)
    low, high, _ = recall_intervals(place, np.stack([some, np.ones(QUERIES, bool)], 1))
    assert high[1] == pytest.approx(1)
    assert low[1] == pytest.approx(wilson_interval(1.0, PLACES, Z95)[0]), "worth 100 queries, not 1,000"


def test_one_place_is_worth_one_query():
    low, high, effect = recall_intervals(np.zeros(24, int), np.arange(24)[:, None] < 12)
    assert effect[0] == 24, "views of one place"
    assert low[0] < 0.06
    assert high[0] > 0.94


def test_seeds_that_agree_are_no_surer_than_one():
    single = mean_recall_interval([0.6], 500, [1.5], 60)
    assert mean_recall_interval([0.6] * 3, 500, [1.5] * 3, 60) == pytest.approx(single)
    apart = mean_recall_interval([0.55, 0.6, 0.65], 500, [1.5] * 3, 60)
    assert apart[0] < single[0]
    assert apart[1] > single[1]
    rng = np.random.default_rng(3)
    correct, other = rng.random((2, 1, QUERIES)) < [[[0.6]], [[0.5]]]
    place = np.repeat(np.arange(PLACES), VIEWS)
    once = paired_difference(place, correct, other)
    again = paired_difference(place, np.repeat(correct, 3, 0), np.repeat(other, 3, 0))
    assert (again.low, again.high, again.p) == pytest.approx((once.low, once.high, once.p), rel=0.02)


@pytest.mark.parametrize(("only", "other"), [(5, 0), (6, 0), (0, 6), (9, 2), (10, 2), (60, 40), (61, 39)])
def test_interval_and_p_value_agree_where_few_queries_decide(only, other):
    correct, other_correct = np.zeros((2, 1, 400), bool)
    correct[0, :only], other_correct[0, only : only + other] = True, True
    found = paired_difference(np.arange(400), correct, other_correct)
    assert (found.low <= 0 <= found.high) == (found.p > 0.05)
    assert found.low < found.value < found.high


def simulate(rng, seeds, rates, sharing, seed_deviation):
    """Answers of two methods to VIEWS queries at each of PLACES places, by seed.

    A latent value decides whether only the first, only the second or neither is better. It has a part of the place and
    parts of the place, the query and the seed; where neither is better, both succeed or both fail.

    Args:
        rng: source of randomness.
        seeds: number of trainings.
        rates: the expected shares of queries that only the first and only the second method gets right.
        sharing: share of the variance that the queries of a place have in common; it sets the design effect.
        seed_deviation: standard deviation of the latent value between seeds.
    """
    place = np.repeat(np.arange(PLACES), VIEWS)
    of_place, of_query = rng.normal(size=PLACES)[place], rng.normal(size=QUERIES)
    of_both, rest = 0.7 * sharing, 1 - sharing
    correct, other_correct = np.empty((2, seeds, QUERIES), bool)
    difficulty, scale = rng.normal(size=PLACES)[place], np.sqrt(1 + seed_deviation**2)
    for seed in range(seeds):
        latent = np.sqrt(of_both) * of_place + np.sqrt(sharing - of_both) * rng.normal(size=PLACES)[place]
        latent += np.sqrt(0.3 * rest) * of_query + np.sqrt(0.7 * rest) * rng.normal(size=QUERIES)
        latent += seed_deviation * rng.normal()
        better, worse = latent > -scale * ndtri(rates[0]), latent < scale * ndtri(rates[1])
        alike = np.sqrt(0.3) * difficulty + np.sqrt(0.7) * rng.normal(size=QUERIES) > 0
        correct[seed], other_correct[seed] = better | (alike & ~worse), worse | (alike & ~better)
    return place, correct, other_correct


# expected discordant queries -> the sharing that makes the design effect of their difference 1, 2 and 3
SHARING = {5: (0, 0.57, 0.73), 20: (0, 0.45, 0.63), 100: (0, 0.26, 0.43), 500: (0, 0.14, 0.28)}


def coverage(discordant, effect, balance, seeds, ratio, draws):
    """Simulate; return the coverage of the interval, the share of p <= 0.05, and the mean design effect.

    Args:
        discordant: expected number of queries that one method alone gets right.
        effect: the design effect.
        balance: share of the discordant queries that the first method gets right.
        seeds: number of trainings.
        ratio: variance between seeds divided by that of the queries' mean.
        draws: number of simulated test sets.
    """
    rates = discordant / QUERIES * np.array([balance, 1 - balance])
    slope = (np.exp(-(ndtri(rates) ** 2) / 2) / np.sqrt(2 * np.pi)).sum()
    deviation = np.sqrt(ratio * effect * rates.sum() / QUERIES) / slope
    rng = np.random.default_rng([discordant, effect, seeds])
    covered, rejected, effects, truth = 0, 0, [], rates[0] - rates[1]
    for _ in range(draws):
        found = paired_difference(*simulate(rng, seeds, rates, SHARING[discordant][effect - 1], deviation))
        covered += found.low <= truth <= found.high
        rejected += found.p <= 0.05
        effects.append(found.design_effect)
        assert (found.low <= 0 <= found.high) == (found.p > 0.05)
    return covered / draws, rejected / draws, float(np.mean(effects))


def check_coverage(cells, draws):
    noise = 2.6 * np.sqrt(0.95 * 0.05 / draws)  # of the simulation itself
    for discordant, effect, balance, seeds, ratio in cells:
        covered, rejected, _ = coverage(discordant, effect, balance, seeds, ratio, draws)
        cell = (discordant, effect, balance, seeds, ratio, covered, rejected)
        assert covered >= 0.93 - noise, cell
        assert discordant < 20 or covered <= 0.98 + noise / 2, cell
        assert balance != 0.5 or rejected <= 0.07 + noise, cell


def test_intervals_cover_and_tests_do_not_cry_wolf():
    """A few cells of the whole simulation, the worst ones among them."""
    cells = [(5, 3, 0.8, 1, 0), (20, 1, 0.5, 1, 0), (100, 2, 0.5, 3, 1), (500, 3, 0.5, 1, 0), (500, 3, 0.8, 5, 1)]
    check_coverage(cells, 500)


def test_independent_queries_would_be_surer_than_they_are():
    """What the intervals are for: at a design effect of 3, McNemar's test raises four times as many false alarms."""
    rng, alarms, draws = np.random.default_rng(5), np.zeros(2), 400
    for _ in range(draws):
        place, correct, other = simulate(rng, 1, (0.25, 0.25), SHARING[500][2], 0)
        alarms += [paired_difference(group, correct, other).p <= 0.05 for group in (place, np.arange(QUERIES))]
    assert alarms[0] / draws <= 0.07
    assert alarms[1] / draws >= 0.16


@pytest.mark.slow
@pytest.mark.parametrize("discordant", SHARING)
@pytest.mark.parametrize("effect", [1, 2, 3])
def test_the_whole_simulation(discordant, effect):
    shapes = [(balance, seeds, ratio) for balance in (0.5, 0.8) for seeds in (1, 2, 3, 5) for ratio in (0, 0.5, 1)]
    cells = [(discordant, effect, *shape) for shape in shapes if shape[1] > 1 or not shape[2]]
    check_coverage(cells, 2000)


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("sharing", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("places", "views"), [(35, 9), (100, 10)])
def test_recall_intervals_cover(places, views, sharing, truth):
    rng, covered, draws = np.random.default_rng(7), 0, 500
    place = np.repeat(np.arange(places), views)
    for _ in range(draws):
        latent = np.sqrt(sharing) * rng.normal(size=places)[place] + np.sqrt(1 - sharing) * rng.normal(size=len(place))
        low, high, _ = recall_intervals(place, latent[:, None] < ndtri(truth))
        covered += low[0] <= truth <= high[0]
    assert covered / draws >= 0.93
    assert covered / draws <= 0.998


def test_a_large_test_set_with_several_seeds_has_a_finite_answer():
    rng, place = np.random.default_rng(11), np.repeat(np.arange(284), 24)
    correct, other = rng.random((2, 3, len(place))) < np.array([0.85, 0.3])[:, None, None]
    correct[2] |= rng.random(len(place)) < 0.2
    found = paired_difference(place, correct, other)
    assert 0 < found.p < 0.01
    assert 0.5 < found.low < found.value < found.high < 0.65


def test_three_seeds_are_never_surer_than_one_with_few_places():
    one = mean_recall_interval([0.7], 30, [2.0], 3)
    for seeds in ([0.6, 0.7, 0.8], [0.7, 0.7, 0.7], [0.69, 0.7, 0.71]):
        several = mean_recall_interval(seeds, 30, [2.0] * 3, 3)
        assert several[0] <= one[0] + 1e-12
        assert several[1] >= one[1] - 1e-12


def test_seeds_count_where_all_queries_agree():
    """Two seeds in which only the first method is right, everywhere, and one in which both are."""
    ones, zeros = np.ones(40, bool), np.zeros(40, bool)
    found = paired_difference(np.arange(40), np.stack([ones] * 3), np.stack([zeros, zeros, ones]))
    assert found.p == pytest.approx(0.18, abs=0.01), "Student's test of 1, 1, 0"
    assert found.low <= 0 <= found.high
    assert found.low > -0.9


@pytest.mark.parametrize(("frames", "memory"), [(200, 0.9), (300, 0.5), (1000, 0.95), (300, 0.0)])
def test_intervals_along_a_traverse_cover(frames, memory):
    """The whole way, with blocks that are found in the data; the truth is no difference."""
    rng, position = np.random.default_rng(5), np.stack([np.arange(frames), np.zeros(frames)], 1).astype(float)

    def latent():
        noise, value = rng.normal(size=frames), np.empty(frames)
        value[0] = noise[0] / np.sqrt(1 - memory**2)
        for number in range(1, frames):
            value[number] = memory * value[number - 1] + noise[number]
        return value * np.sqrt(1 - memory**2)

    covered, draws = 0, 150
    for _ in range(draws):
        better = np.sqrt(0.7) * latent() + np.sqrt(0.3) * rng.normal(size=frames)
        alike = latent() > -0.3
        correct, other = (
            ((better > 0.84) | alike & (better > -0.84))[None],
            ((better < -0.84) | alike & (better < 0.84))[None],
        )
        groups = correlated_groups(position, 1, (correct[0].astype(int) - other[0])[:, None])
        found = paired_difference(groups, correct, other)
        covered += found.low <= 0 <= found.high
    assert covered / draws >= 0.9
