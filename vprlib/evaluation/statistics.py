"""Intervals, tests and curves over the queries of an evaluation. Shares are in [0, 1]."""

import numpy as np

Z95 = 1.959964  # the normal distribution's 97.5 % quantile
DRAWS = 10_000


def wilson_interval(successes, trials: int, z: float = Z95) -> tuple:
    """The Wilson score interval of a share (Wilson 1927, eq. 3); 95 % by default. Returns (low, high)."""
    share = np.asarray(successes) / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    low, high = (centre - half) / (1 + z**2 / trials), (centre + half) / (1 + z**2 / trials)
    return np.maximum(low, 0), np.minimum(high, 1)  # rounding leads beyond them


def bootstrap_difference(only_one: int, only_other: int, queries: int, *, seed: int = 0, draws: int = DRAWS) -> tuple:
    """The 95 % percentile interval of a difference of two recalls, by resampling the queries that both answered.

    A resampled query is one that only the first run got right, only the other, or one on which they agree; the counts
    of a resample are thus multinomial, and no query needs to be drawn (Efron and Tibshirani 1993, chapter 13).

    Args:
        only_one: queries that only the first run got right.
        only_other: queries that only the other one did.
        queries: all of them.

    Returns:
        (low, high) of the first recall minus the other.
    """
    shares = np.array([only_one, only_other, queries - only_one - only_other]) / queries
    counts = np.random.default_rng(seed).multinomial(queries, shares, draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / queries, [0.025, 0.975])
    return float(low), float(high)


def mcnemar_test(only_one: int, only_other: int) -> float:
    """The two-sided p-value of McNemar's exact test (1947): were the discordant queries tossed by a fair coin?"""
    from scipy.special import bdtr

    discordant = only_one + only_other
    return float(min(1.0, 2 * bdtr(min(only_one, only_other), discordant, 0.5))) if discordant else 1.0


def holm_adjust(p) -> np.ndarray:
    """p-values of a family of tests, adjusted so that any false alarm is as rare as the level says (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1)
    return result


def mean_over_seeds(values) -> dict:
    """Mean, standard deviation (n - 1) and Student's 95 % interval of the mean; NaN where one value has none."""
    from scipy.special import stdtrit

    values = np.asarray(values, float)
    count, mean = len(values), float(np.mean(values))
    if count == 1:
        return {"mean": mean, "std": np.nan, "low": np.nan, "high": np.nan}
    std = float(np.std(values, ddof=1))
    half = float(stdtrit(count - 1, 0.975)) * std / np.sqrt(count)
    return {"mean": mean, "std": std, "low": mean - half, "high": mean + half}


def recall_by_radius(thresholds, error_Q) -> np.ndarray:
    """Share of queries whose error is at most each threshold: recall@k by radius, the distribution of the error.

    Args:
        thresholds: (T,) in the unit of the errors.
        error_Q: (Q,) distance of a query from the nearest of its first k candidates; NaN, without any, is a miss.
    """
    errors = np.sort(np.where(np.isnan(error_Q), np.inf, error_Q))
    return np.searchsorted(errors, thresholds, side="right") / len(errors)


def error_quantiles(error_Q, shares=(0.25, 0.5, 0.75, 0.9)) -> list:
    """Quantiles of the error; a query without a candidate is infinitely far off."""
    errors = np.where(np.isnan(error_Q), np.inf, error_Q)
    return [float(value) for value in np.quantile(errors, shares, method="inverted_cdf")]


def precision_recall(confidence_Q, correct_Q, answerable: int) -> dict:
    """Precision and recall when only the queries with at least some confidence are answered, by their first candidate.

    Args:
        confidence_Q: (Q,) larger is surer; NaN where a query has no candidate: it is never answered.
        correct_Q: (Q,) bool, whether the first candidate is a hit.
        answerable: number of queries that have a positive at all. The others have no right answer: answering one costs
            precision, and not answering it costs no recall.

    Returns:
        Arrays, a value for each distinct confidence, falling: `confidence`; `answered`, the number of queries at least
        so sure; `precision`, the share of these that are right; `recall`, right answers by `answerable`, of which the
        last is recall@1 of the answerable queries. (The recall of scikit-learn is by the right answers: it ends at 1.)
    """
    known = ~np.isnan(confidence_Q)
    confidence, correct = np.asarray(confidence_Q)[known], np.asarray(correct_Q, bool)[known]
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], np.cumsum(correct[order])
    last = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)) if len(confidence) else order
    answered = last + 1
    curve = {"confidence": confidence[last], "answered": answered, "precision": right[last] / answered}
    return curve | {"recall": right[last] / max(answerable, 1)}


def average_precision(curve: dict) -> float:
    """The area below a `precision_recall` curve by steps, sum of (R_n - R_n-1) P_n; at most recall@1."""
    return float(np.sum(np.diff(curve["recall"], prepend=0) * curve["precision"]))


def recall_at_full_precision(curve: dict) -> float:
    """The largest recall at 100 % precision: how many queries are answered before the first error."""
    return float(curve["recall"][curve["precision"] == 1].max(initial=0))
