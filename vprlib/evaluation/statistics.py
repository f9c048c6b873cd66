"""Adjust p-values, and compute curves over the queries of an evaluation. Shares are in [0, 1]; Q queries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    """Compute the area below a `precision_recall` curve by steps, sum of (R_n - R_n-1) P_n; at most recall@1.

    It is not the mean over the positives of a query that retrieval calls average precision: only first candidates
    count, and recall divides by the queries that have a positive.
    """
    return float(np.sum(np.diff(curve["recall"], prepend=0) * curve["precision"]))


def area_under_curve(curve: dict[str, NDArray]) -> float:
    """Compute AUC-PR as VPR-Bench does (Zaffar et al. 2021), from a `precision_recall` curve.

    Recall divides by the correct first candidates, so that it ends at 1. The curve begins at recall 0 and precision 1,
    and the area is that of trapezoids. It says how well the confidence separates right from wrong first candidates,
    whatever their number. 0 if none is right.
    """
    if not len(curve["recall"]) or not curve["recall"][-1]:
        return 0.0
    recall = np.append(0, curve["recall"] / curve["recall"][-1])
    precision = np.append(1, curve["precision"])
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def recall_at_full_precision(curve: dict[str, NDArray]) -> float:
    """Return the largest recall at 100 % precision: the share of queries accepted before the first error."""
    return float(curve["recall"][curve["precision"] == 1].max(initial=0))


def interpolated_precision(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the largest precision at each recall or a larger one, as PASCAL VOC interpolates it.

    Args:
        recall: of the points of a curve, in any order.
        precision: of the same points.

    >>> interpolated_precision(np.array([0.1, 0.2, 0.3]), np.array([0.5, 1.0, 0.6]))
    array([1. , 1. , 0.6])
    """
    order = np.argsort(-recall, kind="stable")
    values = np.empty_like(precision)
    values[order] = np.maximum.accumulate(precision[order])
    return values
