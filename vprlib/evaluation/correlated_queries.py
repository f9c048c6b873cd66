"""Group queries that are not independent: those taken at one position, and blocks along a traverse.

Queries of one place succeed and fail together, so they are worth fewer independent ones: an interval that ignores this
is too narrow by the square root of the design effect (Kish 1965, section 8.2).

Axes: Q queries, G groups of queries, C outcomes of a query (a cut-off, a threshold, a seed).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME_POSITION = 0.01  # metres (or frames) within which two positions are one


def position_groups(position_Q2: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number the distinct positions of queries in the order in which they come first.

    Args:
        position_Q2: east and north of each query.

    Returns:
        (Q,) the number of each query's position, from 0.

    Examples:
        >>> position_groups(np.array([[5.0, 0], [7, 0], [5, 0]])).tolist()
        [0, 1, 0]
    """
    rounded_Q2 = np.round(np.asarray(position_Q2, float) / SAME_POSITION)
    _, first, group_Q = np.unique(rounded_Q2, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[group_Q.ravel()]


def correlated_groups(position_Q2: NDArray[np.floating], radius: float, outcome_QC: ArrayLike) -> NDArray[np.int64]:
    """Group queries whose outcomes depend on each other.

    Queries of one position are one group. Where consecutive positions lie within the hit radius of each other, as along
    a traverse, blocks of them are one group. The length of the blocks follows from the autocorrelation of the outcomes;
    it is 1 where neighbours are independent.

    Args:
        position_Q2: east and north of each query, in the order of the image table.
        radius: the hit radius, in the unit of the positions.
        outcome_QC: what is averaged over the queries, hits for example.

    Returns:
        (Q,) the number of each query's group, from 0 to G - 1.
    """
    position_Q2 = np.asarray(position_Q2, float)
    group_Q = position_groups(position_Q2)
    count = group_Q.max(initial=-1) + 1
    first = np.unique(group_Q, return_index=True)[1]
    step = np.hypot(*np.diff(position_Q2[first], axis=0).T)
    traverse_G = np.concatenate([[0], np.cumsum(step > radius)])[:count]
    length = max((block_length(mean_G, traverse_G) for mean_G in group_deviations(group_Q, outcome_QC).T), default=1)
    start = np.flatnonzero(np.diff(traverse_G, prepend=-1))
    along_G = np.arange(count) - np.repeat(start, np.diff(np.append(start, count)))
    sizes = np.bincount(traverse_G)[traverse_G]
    blocks = np.maximum(np.round(sizes / length), 1).astype(int)  # of about equal lengths
    _, block_G = np.unique(np.stack([traverse_G, along_G * blocks // sizes]), axis=1, return_inverse=True)
    return block_G.ravel()[group_Q]


def group_deviations(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Sum the deviations from the mean outcome over each group, (G, C)."""
    outcome_QC = np.asarray(outcome_QC, float).reshape(len(group_Q), -1)
    deviation_QC = outcome_QC - outcome_QC.mean(0)
    return np.stack([np.bincount(group_Q, column) for column in deviation_QC.T], axis=1)


def block_length(value_G: NDArray[np.floating], traverse_G: NDArray[np.int64]) -> int:
    """Choose the length of blocks along traverses (Politis and White 2004, corrected by Patton et al. 2009, section 2).

    Args:
        value_G: a value of each position; neighbours in the array are neighbours on the ground.
        traverse_G: the number of the traverse of each position; values of two traverses are independent.

    Returns:
        The number of positions of a block: 1 if neighbours are uncorrelated.
    """
    count = len(value_G)
    value_G = value_G - value_G.mean()
    variance = float(np.mean(value_G**2))
    longest = int(min(3 * np.sqrt(count), count / 3))
    if variance == 0 or longest < 1:
        return 1
    most_lags = min(int(np.ceil(np.sqrt(count))) + 5, count - 1)
    same = [traverse_G[lag:] == traverse_G[: count - lag] for lag in range(1, most_lags + 1)]
    correlations = np.array([
        np.sum(value_G[lag:] * value_G[: count - lag] * alike) / max(alike.sum(), 1) / variance
        for lag, alike in enumerate(same, 1)
    ])  # fmt: skip
    significant = np.abs(correlations) > 2 * np.sqrt(np.log10(count) / count)
    if not significant.any():
        return 1
    run = max(5, int(np.sqrt(np.log10(count))))  # the correlation is over where so many lags are insignificant
    quiet = [lag for lag in range(most_lags) if not significant[lag : lag + run].any()]
    lags = np.arange(1, min(2 * max(quiet[0] if quiet else most_lags, 1), most_lags) + 1)
    window = np.clip(2 * (1 - lags / (lags[-1] + 1)), 0, 1)  # the flat-top window of Politis and Romano (1995)
    spectrum = 1 + 2 * np.sum(window * correlations[: len(lags)])
    slope = 2 * np.sum(window * lags * correlations[: len(lags)])
    if spectrum <= 0 or slope <= 0:
        return 1
    return int(np.clip(np.ceil((1.5 * slope**2 / spectrum**2 * count) ** (1 / 3)), 1, longest))


def group_variance(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Estimate the variance of each mean outcome from the totals of independent groups, (C,).

    It is NaN for a single group, which tells nothing of others.
    """
    total_GC = group_deviations(group_Q, outcome_QC)
    groups = len(total_GC)
    correction = groups / (groups - 1) if groups > 1 else np.nan
    return correction * (total_GC**2).sum(0) / len(group_Q) ** 2
