"""Compute 95 % intervals and p-values of recalls and their differences, for queries that depend on each other.

Axes: Q queries, G groups of dependent queries (`correlated_queries`), C outcomes of a query, S seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.evaluation.correlated_queries import group_deviations, group_variance

LEVEL = 0.95
EDGE = 1e-3  # share of the score by which an end is moved across 0
SMALLEST = 1e-300  # p-value, so that its logarithm is a number
ROUNDING = 1e-12  # a smaller sum of probabilities has no exact digit
PRIOR_EVENTS = 2.0  # weight of the pooled design effect in that of one outcome, in events


class Difference(NamedTuple):
    """The difference of two recalls on the same queries, its 95 % interval and its two-sided p-value."""

    value: float
    low: float
    high: float
    p: float
    design_effect: float


def student_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's distribution; at least one degree of freedom is assumed."""
    from scipy.special import ndtri, stdtrit

    upper = (1 + LEVEL) / 2
    return float(ndtri(upper) if np.isinf(freedom) else stdtrit(max(freedom, 1), upper))


def design_effects(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Compute how many times as large as with independent queries the variance of each mean outcome is.

    An outcome of few events, a few misses for example, tells little of its own design effect. The design effect of all
    outcomes together therefore counts as PRIOR_EVENTS events in that of each.

    Args:
        group_Q: the group of each query.
        outcome_QC: whether each query is a hit, by outcome.

    Returns:
        (C,) design effects, at least 1. A single group is worth one query, so its design effect is Q.
    """
    outcome_QC = np.asarray(outcome_QC, bool)
    hits_C = outcome_QC.sum(0)
    events_C = np.minimum(hits_C, len(outcome_QC) - hits_C)
    return _design_effects(group_Q, outcome_QC, events_C, _pooled_design_effect(group_Q, outcome_QC))


def _plain_variance(outcome_QC: NDArray) -> NDArray[np.float64]:
    """Estimate the variance of each mean outcome as if queries were independent, (C,)."""
    return outcome_QC.var(0) / max(len(outcome_QC) - 1, 1)


def _pooled_design_effect(group_Q: NDArray[np.int64], outcome_QC: NDArray) -> float:
    grouped, plain = group_variance(group_Q, outcome_QC).sum(), _plain_variance(outcome_QC).sum()
    return float(len(group_Q)) if np.isnan(grouped) else float(grouped / plain) if plain else 1.0


def _design_effects(group_Q: NDArray, outcome_QC: NDArray, events_C: NDArray, pooled: float) -> NDArray[np.float64]:
    grouped_C, plain_C = group_variance(group_Q, outcome_QC), _plain_variance(outcome_QC)
    known_C = (plain_C > 0) & ~np.isnan(grouped_C)
    ratio_C = np.where(known_C, grouped_C, pooled) / np.where(known_C, plain_C, 1)
    return np.maximum((events_C * ratio_C + PRIOR_EVENTS * pooled) / (events_C + PRIOR_EVENTS), 1)


def wilson_interval(share: ArrayLike, trials: ArrayLike, quantile: float) -> tuple[NDArray, NDArray]:
    """Compute the Wilson score interval of a share (Wilson 1927, eq. 3).

    Args:
        share: observed shares in [0, 1].
        trials: numbers of independent trials; fractions are effective numbers.
        quantile: of the distribution of the standardised error, 1.96 for 95 % and many trials.

    Returns:
        (low, high), of the shape of `share`.
    """
    share, trials = np.asarray(share, float), np.asarray(trials, float)
    centre = share + quantile**2 / (2 * trials)
    half = quantile * np.sqrt(share * (1 - share) / trials + quantile**2 / (4 * trials**2))
    low, high = (centre - half) / (1 + quantile**2 / trials), (centre + half) / (1 + quantile**2 / trials)
    return np.maximum(low, 0), np.minimum(high, 1)  # rounding can exceed [0, 1]


def recall_intervals(
    group_Q: NDArray[np.int64], hit_QC: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson intervals of recalls whose queries depend on each other within groups.

    The number of trials is the number of queries divided by the design effect, and by the square of Student's quantile
    over the normal one (Korn and Graubard 1998, who take the exact interval). The degrees of freedom are those of the
    variance between groups, so that a few misses in a few groups are not trusted much. Queries of a group are never
    worth less than one: if there is no miss at all, each group is one trial. If every group has one query, this is
    Wilson's own interval.

    Returns:
        (low, high, design effect), each (C,).
    """
    normal, share_C = student_quantile(np.inf), hit_QC.mean(0)
    effect_C = design_effects(group_Q, hit_QC)
    sizes = np.bincount(group_Q)
    trials_C = np.full(len(share_C), float(len(group_Q)))
    if sizes.max() > 1:
        least = len(group_Q) ** 2 / float((sizes**2).sum())
        quantile_C = np.array([student_quantile(freedom) for freedom in variance_freedom(group_Q, hit_QC)])
        trials_C = np.maximum(len(group_Q) / effect_C * (normal / quantile_C) ** 2, least)
        trials_C = np.where((share_C == 0) | (share_C == 1), least, trials_C)
    low, high = wilson_interval(share_C, trials_C, normal)
    return low, high, effect_C


def variance_freedom(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Compute the degrees of freedom of the variance between groups, (C,): Satterthwaite's of the groups' squares.

    G equally large deviations have G - 1; if few groups deviate much, there are about as many as these.
    """
    square_GC = group_deviations(group_Q, outcome_QC) ** 2
    total_C, spread_C = square_GC.sum(0) ** 2, (square_GC**2).sum(0)
    count_C = np.where(spread_C > 0, total_C / np.where(spread_C > 0, spread_C, 1), 1)
    return np.clip(count_C - 1, 1, max(len(square_GC) - 1, 1))


def mean_recall_interval(
    recall_S: ArrayLike, queries: int, design_effect_S: ArrayLike, groups: ArrayLike
) -> tuple[float, float]:
    """Compute the interval of the mean recall of several trainings over other seeds and other queries.

    Its variance is that of the queries, as for one training, plus that of the mean over the seeds. Seeds that happen to
    agree thus never look surer than one of them. The degrees of freedom are Satterthwaite's (1946).

    Args:
        recall_S: the recall of each seed.
        queries: Q.
        design_effect_S: the design effect of each.
        groups: G, of each or of all.
    """
    recall_S, effect_S = np.asarray(recall_S, float), np.asarray(design_effect_S, float)
    mean, effect, count = recall_S.mean(), effect_S.mean(), float(np.mean(np.asarray(groups, float)))
    of_queries = float(np.mean(effect_S * recall_S * (1 - recall_S)) / queries)
    of_seeds = float(recall_S.var(ddof=1) / len(recall_S)) if len(recall_S) > 1 else 0.0
    total = of_queries + of_seeds
    trials = mean * (1 - mean) / total if total > 0 and 0 < mean < 1 else queries / effect
    freedom = degrees_of_freedom([(of_queries, count - 1), (of_seeds, len(recall_S) - 1)])
    low, high = wilson_interval(mean, trials, student_quantile(min(freedom, count - 1)))
    return float(low), float(high)


def degrees_of_freedom(parts: list[tuple[float, float]]) -> float:
    """Return Satterthwaite's degrees of freedom (1946) of a sum of variances, given as (variance, its own degrees)."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / max(freedom, 1) for variance, freedom in parts)
    return total**2 / spread if spread > 0 else max(parts[0][1], 1)


def sign_flip_test(difference_G: ArrayLike) -> float:
    """Compute the exact two-sided p-value of a sum of differences under flips of the sign of each.

    If two networks were equally good, the differences of a group would have either sign with probability 1/2. The
    distribution of the sum over all 2^G flips is a product of binomial ones. With groups of one query this is McNemar's
    exact test (1947).

    Args:
        difference_G: whole numbers: hits of one network less those of the other in each group.

    Examples:
        >>> sign_flip_test([1, 1, 1]), sign_flip_test([3])
        (0.25, 1.0)
    """
    from scipy.signal import convolve
    from scipy.special import gammaln, ndtr

    difference_G = np.asarray(difference_G, np.int64)
    total, sizes = abs(int(difference_G.sum())), np.abs(difference_G[difference_G != 0])
    if total == 0:
        return 1.0
    chances = np.ones(1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        flips = np.arange(count + 1)
        log_chances = gammaln(count + 1) - gammaln(flips + 1) - gammaln(count - flips + 1) - count * np.log(2)
        spread = np.zeros(size * count + 1)
        spread[::size] = np.exp(log_chances)
        chances = convolve(chances, spread)
    sums = 2 * np.arange(len(chances)) - sizes.sum()
    p = float(chances[np.abs(sums) >= total].sum())
    return (
        min(round(p, 15), 1.0) if p > ROUNDING else max(float(2 * ndtr(-total / np.sqrt((sizes**2).sum()))), SMALLEST)
    )


def paired_difference(
    group_Q: NDArray[np.int64], correct_SQ: NDArray[np.bool_], other_correct_SQ: NDArray[np.bool_]
) -> Difference:
    """Compare two methods on the same queries, each trained with the same number of seeds.

    With one seed, the p-value is that of `sign_flip_test` over the groups. The interval is Tango's score interval
    (1998); the number of queries is divided by the design effect. With several seeds both hold for other seeds, too:
    the variance between the seeds is added, as far as that of the queries does not explain it. Where interval and
    p-value disagree whether 0 is plausible, the nearer end of the interval follows the p-value, which is exact.

    Args:
        group_Q: the group of each query.
        correct_SQ: whether the first method answers each query, by seed.
        other_correct_SQ: the same of the other method.
    """

    difference_SQ = correct_SQ.astype(np.int64) - other_correct_SQ
    seeds, queries = difference_SQ.shape
    groups, mean_Q = len(np.unique(group_Q)), difference_SQ.mean(0)
    value, share = float(mean_Q.mean()), float(np.abs(difference_SQ).mean())
    pooled = _pooled_design_effect(group_Q, np.concatenate([correct_SQ, other_correct_SQ]).T)
    effect = float(_design_effects(group_Q, mean_Q[:, None], np.array([share * seeds * queries]), pooled)[0])
    of_queries = effect * float(mean_Q.var()) / queries
    freedom, total_G = groups - 1.0, np.bincount(group_Q, difference_SQ.sum(0)).astype(float).round()
    of_seeds, p = 0.0, sign_flip_test(total_G)
    if seeds > 1:
        sampled = float(difference_SQ.mean(1).var(ddof=1)) / seeds
        explained = float(group_variance(group_Q, (difference_SQ - mean_Q).T).mean()) / seeds
        of_seeds = max(sampled - explained, 0.0) if groups > 1 else sampled
        if of_seeds > ROUNDING * (of_queries + of_seeds):
            freedom = min(freedom, degrees_of_freedom([(of_queries, freedom), (sampled, seeds - 1)]))
            p = _p_over_seeds(value, p, total_G, of_queries, of_seeds, freedom)
    variance = of_queries + of_seeds
    trials = (share - value**2) / variance if variance else queries / effect
    low, high = _interval_that_agrees(value, share, trials, freedom, p)
    return Difference(value, low, high, p, effect)


def _p_over_seeds(
    value: float, p: float, total_G: NDArray[np.floating], of_queries: float, of_seeds: float, freedom: float
) -> float:
    """Return the p-value over queries and seeds.

    Args:
        value: the difference.
        p: the p-value over the queries alone.
        total_G: the sum of the differences of each group.
        of_queries, of_seeds: variance of the difference due to each.
        freedom: degrees of freedom of their sum.
    """
    from scipy.special import ndtri, stdtr

    if of_queries == 0:  # all queries agree
        standardised = abs(value) / np.sqrt(of_seeds)
    else:
        alone = min(-float(ndtri(p / 2)), abs(float(total_G.sum())) / np.sqrt(float((total_G**2).sum())))
        standardised = alone * np.sqrt(of_queries / (of_queries + of_seeds))
    return max(float(2 * stdtr(freedom, -standardised)), SMALLEST)


def _interval_that_agrees(value: float, share: float, trials: float, freedom: float, p: float) -> tuple[float, float]:
    """Compute Tango's interval; if it disagrees with p whether 0 is plausible, move the nearer end just across 0."""
    low, high = score_interval(value, share, trials, student_quantile(freedom))
    plausible = p > 1 - LEVEL
    if (low <= 0 <= high) != plausible:
        of_zero = abs(_score(0.0, value, share)) * np.sqrt(trials)
        ends = score_interval(value, share, trials, of_zero * (1 + (EDGE if plausible else -EDGE)))
        low, high = (ends[0], high) if value > 0 else (low, ends[1])
    return low, high


def score_interval(value: float, share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Compute the score interval of a difference of two paired shares (Tango 1998).

    Args:
        value: the difference.
        share: the share of the trials on which the two disagree.
        trials: the number of independent trials; a fraction is an effective number.
        quantile: of the distribution of the standardised error, 1.96 for 95 % and many trials.

    Returns:
        (low, high), in [-1, 1].
    """
    from scipy.optimize import brentq

    def solve(sign: int) -> float:
        far, near = -float(sign), value - sign * 1e-12
        if far == np.clip(near, -1, 1):
            return far
        return float(brentq(lambda delta: _score(delta, value, share) - sign * quantile / np.sqrt(trials), far, near))

    return solve(1), solve(-1)


def _score(delta: float, value: float, share: float) -> float:
    """Standardise the error of a difference of paired shares for one trial, if `delta` were the true difference."""
    first, other = (share + value) / 2, (share - value) / 2  # only one of the two is right
    b = (2 - first + other) * delta - first - other
    c = -other * delta * (1 - delta)
    of_other = (np.sqrt(max(b**2 - 8 * c, 0)) - b) / 4  # the likeliest share, given delta
    variance = 2 * of_other + delta * (1 - delta)
    return (value - delta) / np.sqrt(max(variance, 1e-300))
