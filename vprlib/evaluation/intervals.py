"""Compute 95 % intervals and p-values of recalls and their differences, for queries that depend on each other.

Axes: Q queries, G groups of dependent queries (`correlated_queries`), C outcomes of a query, S seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.evaluation.correlated_queries import group_variance

LEVEL = 0.95
ROUNDING = 1e-12  # a smaller sum of probabilities has no exact digit
PRIOR_EVENTS = 2.0  # weight of the pooled design effect in that of one outcome, in events


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


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

    The number of trials is the number of queries divided by the design effect, and the quantile is Student's with G - 1
    degrees of freedom (Korn and Graubard 1998 do the same with the exact interval). If every group has one query, this
    is Wilson's own interval.

    Returns:
        (low, high, design effect), each (C,).
    """
    effect_C = design_effects(group_Q, hit_QC)
    groups = len(np.unique(group_Q))
    quantile = student_quantile(np.inf if groups == len(group_Q) else groups - 1)
    low, high = wilson_interval(hit_QC.mean(0), len(group_Q) / effect_C, quantile)
    return low, high, effect_C


def mean_recall_interval(
    recall_S: ArrayLike, queries: int, design_effect_S: ArrayLike, places: ArrayLike
) -> tuple[float, float]:
    """Compute the interval of the mean recall of several trainings over other seeds and other queries.

    Its variance is that of the queries, as for one training, plus that of the mean over the seeds. Seeds that happen to
    agree thus never look surer than one of them. The degrees of freedom are Satterthwaite's (1946).

    Args:
        recall_S: the recall of each seed.
        queries: Q.
        design_effect_S: the design effect of each.
        places: G, of each or of all.
    """
    recall_S, effect_S = np.asarray(recall_S, float), np.asarray(design_effect_S, float)
    mean, effect, groups = recall_S.mean(), effect_S.mean(), float(np.mean(np.asarray(places, float)))
    of_queries = float(np.mean(effect_S * recall_S * (1 - recall_S)) / queries)
    of_seeds = float(recall_S.var(ddof=1) / len(recall_S)) if len(recall_S) > 1 else 0.0
    total = of_queries + of_seeds
    trials = mean * (1 - mean) / total if total > 0 and 0 < mean < 1 else queries / effect
    freedom = degrees_of_freedom([(of_queries, groups - 1), (of_seeds, len(recall_S) - 1)])
    low, high = wilson_interval(mean, trials, student_quantile(freedom))
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
    return min(p, 1.0) if p > ROUNDING else float(2 * ndtr(-total / np.sqrt((sizes**2).sum())))


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
    from scipy.special import stdtr, stdtrit

    difference_SQ = correct_SQ.astype(np.int64) - other_correct_SQ
    seeds, queries = difference_SQ.shape
    groups, mean_Q = len(np.unique(group_Q)), difference_SQ.mean(0)
    pooled = _pooled_design_effect(group_Q, np.concatenate([correct_SQ, other_correct_SQ]).T)
    discordant = np.abs(difference_SQ).sum()
    effect = float(_design_effects(group_Q, mean_Q[:, None], np.array([discordant]), pooled)[0])
    of_queries = effect * float(mean_Q.var()) / queries
    of_seeds, freedom, p = 0.0, groups - 1.0, sign_flip_test(np.bincount(group_Q, difference_SQ.sum(0)))
    if seeds > 1:
        sampled = float(difference_SQ.mean(1).var(ddof=1)) / seeds
        explained = float(group_variance(group_Q, (difference_SQ - mean_Q).T).mean()) / seeds
        of_seeds = max(sampled - explained, 0.0) if groups > 1 else sampled
        total = of_queries + of_seeds
        if of_seeds > ROUNDING * total:
            freedom = degrees_of_freedom([(of_queries, groups - 1), (sampled, seeds - 1)])
            standardised = max(float(stdtrit(max(groups - 1, 1), p / 2)), -1e6) * np.sqrt(of_queries / total)
            p = float(2 * stdtr(freedom, standardised))
    value, share = float(mean_Q.mean()), discordant / (seeds * queries)
    trials = (share - value**2) / (of_queries + of_seeds) if of_queries else queries / effect
    low, high = _interval_that_agrees(value, share, trials, freedom, p)
    return Difference(value, low, high, p, effect)


def _interval_that_agrees(value: float, share: float, trials: float, freedom: float, p: float) -> tuple[float, float]:
    """Compute Tango's interval; if it disagrees with p whether 0 is plausible, move the end that is nearer to 0."""
    from scipy.special import stdtrit

    quantile = student_quantile(freedom)
    low, high = score_interval(value, share, trials, quantile)
    if (low <= 0 <= high) != (p > 1 - LEVEL):
        of_zero = abs(_score(0.0, value, share)) * np.sqrt(trials)
        nearer = quantile * of_zero / max(-float(stdtrit(max(freedom, 1), p / 2)), 1e-6)
        ends = score_interval(value, share, trials, nearer)
        low, high = (ends[0], high) if value > 0 else (low, ends[1])
    return low, high


def score_interval(value: float, share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Compute the score interval of a difference of two paired shares (Tango 1998, eq. 3).

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
