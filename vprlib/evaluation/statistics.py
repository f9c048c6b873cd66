"""Confidence intervals, tests and curves over the queries of an evaluation. Shares are in [0, 1]; Q queries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959964  # the 97.5 % quantile of the normal distribution
DRAWS = 10_000  # bootstrap resamples


def wilson_interval(successes: ArrayLike, trials: int, z: float = Z95) -> tuple[NDArray, NDArray]:
    """Compute the Wilson score interval of a share (Wilson 1927, eq. 3); 95 % by default.

    Args:
        successes: a number, or an array of numbers, of successes.
        trials: the number of trials.
        z: the quantile of the normal distribution that sets the level.

    Returns:
        (low, high), of the shape of `successes`.
    """
    share = np.asarray(successes) / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    low, high = (centre - half) / (1 + z**2 / trials), (centre + half) / (1 + z**2 / trials)
    return np.maximum(low, 0), np.minimum(high, 1)  # rounding can exceed [0, 1]


def bootstrap_difference(
    run_only: int, other_only: int, queries: int, *, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """Compute the 95 % bootstrap interval (percentiles) of the difference of two runs' recalls on the same queries.

    A resampled query is one that only the first run got right, only the other, or one on which they agree. The counts
    of a resample are thus multinomial, and no query needs to be drawn (Efron and Tibshirani 1993, chapter 13).

    Args:
        run_only: number of queries that only the first run got right.
        other_only: number of queries that only the other run got right.
        queries: number of all queries.
        seed: of the resampling.
        draws: number of resamples.

    Returns:
        (low, high) of the first recall minus the other.
    """
    shares = np.array([run_only, other_only, queries - run_only - other_only]) / queries
    counts = np.random.default_rng(seed).multinomial(queries, shares, draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / queries, [0.025, 0.975])
    return float(low), float(high)


def mcnemar_test(run_only: int, other_only: int) -> float:
    """Compute the two-sided p-value of McNemar's exact test (1947).

    Under the null hypothesis each discordant query is equally likely to be one that only the first run got right.

    Args:
        run_only: number of queries that only the first run got right.
        other_only: number of queries that only the other run got right.

    Examples:
        >>> mcnemar_test(0, 3)
        0.25
    """
    from scipy.special import bdtr

    discordant = run_only + other_only
    return float(min(1.0, 2 * bdtr(min(run_only, other_only), discordant, 0.5))) if discordant else 1.0


def holm_adjust(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p-values of a family of tests so that the level bounds the chance of any false positive (Holm 1979).

    Examples:
        >>> holm_adjust([0.01, 0.5, 0.02]).tolist()
        [0.03, 0.5, 0.04]
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1)
    return result


def mean_over_seeds(values: ArrayLike) -> dict[str, float]:
    """Compute mean, standard deviation (n - 1) and Student's 95 % interval of the mean.

    Returns:
        `mean`, `std`, `low` and `high`; the last three are NaN for a single value.
    """
    from scipy.special import stdtrit

    values = np.asarray(values, float)
    count, mean = len(values), float(np.mean(values))
    if count == 1:
        return {"mean": mean, "std": np.nan, "low": np.nan, "high": np.nan}
    std = float(np.std(values, ddof=1))
    half = float(stdtrit(count - 1, 0.975)) * std / np.sqrt(count)
    return {"mean": mean, "std": std, "low": mean - half, "high": mean + half}


def recall_by_radius(thresholds: ArrayLike, error_Q: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute recall@k as a function of the hit radius: the share of queries whose error is at most each threshold.

    Args:
        thresholds: (T,) in the unit of the errors.
        error_Q: (Q,) distance of a query from the nearest of its first k candidates. NaN (no candidate) is a miss.

    Returns:
        (T,) shares.
    """
    error_Q = np.sort(np.where(np.isnan(error_Q), np.inf, error_Q))
    return np.searchsorted(error_Q, thresholds, side="right") / len(error_Q)


def error_quantiles(error_Q: NDArray[np.floating], shares: Sequence[float] = (0.25, 0.5, 0.75, 0.9)) -> list[float]:
    """Compute quantiles of the error; the error of a query without a candidate (NaN) is infinite."""
    error_Q = np.where(np.isnan(error_Q), np.inf, error_Q)
    return [float(value) for value in np.quantile(error_Q, shares, method="inverted_cdf")]


def precision_recall(confidence_Q: NDArray[np.floating], correct_Q: ArrayLike, answerable: int) -> dict[str, NDArray]:
    """Compute precision and recall of the first candidates if only those with at least some confidence are accepted.

    Args:
        confidence_Q: (Q,) larger is more confident. NaN where a query has no candidate; such a query is never accepted.
        correct_Q: (Q,) bool, whether the first candidate is a hit.
        answerable: number of queries that have a positive at all. The other queries have no right answer: accepting
            one costs precision, and rejecting it costs no recall.

    Returns:
        Arrays with one value per distinct confidence, in falling order: `confidence`; `answered`, the number of queries
        with at least that confidence; `precision`, the share of these that are correct; `recall`, the number of correct
        ones divided by `answerable`. The last recall is recall@1 of the answerable queries. (scikit-learn divides by
        the number of correct candidates instead: its recall ends at 1.)
    """
    has_candidate_Q = ~np.isnan(confidence_Q)
    confidence, correct = np.asarray(confidence_Q)[has_candidate_Q], np.asarray(correct_Q, bool)[has_candidate_Q]
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], np.cumsum(correct[order])
    last = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True)) if len(confidence) else order
    answered = last + 1
    curve = {"confidence": confidence[last], "answered": answered, "precision": right[last] / answered}
    return curve | {"recall": right[last] / max(answerable, 1)}


def average_precision(curve: dict[str, NDArray]) -> float:
    """Compute the area below a `precision_recall` curve by steps, sum of (R_n - R_n-1) P_n; at most recall@1."""
    return float(np.sum(np.diff(curve["recall"], prepend=0) * curve["precision"]))


def recall_at_full_precision(curve: dict[str, NDArray]) -> float:
    """Return the largest recall at 100 % precision: the share of queries accepted before the first error."""
    return float(curve["recall"][curve["precision"] == 1].max(initial=0))
