"""Group queries that are not independent: those taken at one position, and blocks along a traverse.

Queries of one place succeed and fail together, so they are worth fewer independent ones: an interval that ignores this
is too narrow by the square root of the design effect (Kish 1965).

Axes: Q queries, G groups of queries, C outcomes of a query (a cut-off, a threshold, a seed).
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME_POSITION = 0.01  # metres (or frames) within which two positions are one
NOWHERE = 1e12  # metres: stands for a missing coordinate
MOST_POSITIONS = 20_000  # of which the path from neighbour to neighbour is looked for
FEWEST_BLOCKS = 6  # with fewer, no flip of signs could reach a p-value of 0.05
GAP = 10.0  # median steps that end a traverse
CAUTION = 3.0  # blocks are this many times as long as the best length for the variance
NOTED = 1.4  # threshold of a correlation, in units of sqrt(log10(G) / G)


def position_groups(position_Q2: NDArray[np.floating], apart: float = 0.0) -> NDArray[np.int64]:
    """Number the distinct positions of queries in the order in which they come first.

    Args:
        position_Q2: east and north of each query.
        apart: positions up to this far from the first one of a group belong to it.

    Returns:
        (Q,) the number of each query's position, from 0.

    Examples:
        >>> position_groups(np.array([[5.0, 0], [7, 0], [5, 0]])).tolist()
        [0, 1, 0]
        >>> position_groups(np.array([[5.0, 0], [7, 0], [5, 0]]), apart=3).tolist()
        [0, 0, 0]
    """
    from scipy.spatial import cKDTree

    position_Q2 = np.asarray(position_Q2, float)
    group_Q = np.full(len(position_Q2), -1)
    tree, count = cKDTree(position_Q2), 0
    for number, position in enumerate(position_Q2):
        if group_Q[number] < 0:
            near = np.array(tree.query_ball_point(position, max(apart, SAME_POSITION)))
            group_Q[near[group_Q[near] < 0]] = count
            count += 1
    return group_Q


def correlated_groups(position_Q2: NDArray[np.floating], radius: float, outcome_QC: ArrayLike) -> NDArray[np.int64]:
    """Group queries whose outcomes depend on each other.

    Queries of one place, within half the hit radius, are one group. If the outcomes of neighbouring places are
    correlated, as along a traverse, blocks of neighbours are one group. The length of the blocks follows from the
    autocorrelation of all outcomes together; it is 1 where neighbours are independent. Neighbours are consecutive in
    the table, or consecutive on a path from each place to the nearest one that is left, if that path is much shorter.

    Args:
        position_Q2: east and north of each query, in the order of the image table. Queries without a position are one
            group.
        radius: the hit radius, in the unit of the positions.
        outcome_QC: what is averaged over the queries, hits for example.

    Returns:
        (Q,) the number of each query's group, from 0 to G - 1.
    """
    position_Q2 = np.nan_to_num(np.asarray(position_Q2, float), nan=NOWHERE)
    group_Q = position_groups(position_Q2, radius / 2)
    if not len(group_Q):
        return group_Q
    first_G = np.unique(group_Q, return_index=True)[1]
    path_G, traverse_G = _path(position_Q2[first_G].tobytes())
    rank_G = np.argsort(path_G)  # of each position along the path
    sums_GC = group_deviations(rank_G[group_Q], outcome_QC)
    length = block_length(sums_GC, traverse_G)
    start = np.flatnonzero(np.diff(traverse_G, prepend=-1))
    along_G = np.arange(len(path_G)) - np.repeat(start, np.diff(np.append(start, len(path_G))))
    sizes = np.bincount(traverse_G)[traverse_G]
    blocks = np.maximum(np.round(sizes / length), 1).astype(int)  # of about equal lengths
    _, block_G = np.unique(np.stack([traverse_G, along_G * blocks // sizes]), axis=1, return_inverse=True)
    return block_G.ravel()[rank_G[group_Q]]


def count_groups(position_Q2: NDArray[np.floating], radius: float, group_Q: NDArray[np.int64]) -> dict[str, int]:
    """Count the places of queries, which follow from positions alone, and their independent groups.

    Args:
        position_Q2, radius: as in `correlated_groups`.
        group_Q: what it returned.
    """
    position_Q2 = np.nan_to_num(np.asarray(position_Q2, float), nan=NOWHERE)
    return {"places": len(np.unique(position_groups(position_Q2, radius / 2))), "groups": len(np.unique(group_Q))}


@cache
def _path(positions: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order positions (G, 2 float64 as bytes) along a path; return it, and the number of the traverse of each stop.

    A traverse ends where a step is GAP times as long as the median step.
    """
    position_G2 = np.frombuffer(positions).reshape(-1, 2)
    path_G = np.arange(len(position_G2))
    if 2 < len(path_G) <= MOST_POSITIONS:
        nearest_G = _nearest_neighbour_path(position_G2)
        lengths = [np.median(_steps(position_G2[path])) for path in (path_G, nearest_G)]
        path_G = nearest_G if lengths[1] < lengths[0] / 2 else path_G
    step = _steps(position_G2[path_G])
    cut = step > GAP * np.median(step) if len(step) else step > 0
    return path_G, np.concatenate([[0], np.cumsum(cut)])[: len(path_G)].astype(np.int64)


def _steps(position_G2: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(*np.diff(position_G2, axis=0).T)


def _nearest_neighbour_path(position_G2: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the path from the westernmost position to the nearest one that is left, and so on."""
    left, path = position_G2.copy(), [int(position_G2[:, 0].argmin())]
    for _ in range(len(left) - 1):
        here = position_G2[path[-1]]
        left[path[-1]] = np.inf
        path.append(int(((left - here) ** 2).sum(1).argmin()))
    return np.array(path)


def group_deviations(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Sum the deviations from the mean outcome over each group, (G, C)."""
    outcome_QC = np.asarray(outcome_QC, float).reshape(len(group_Q), -1)
    deviation_QC = outcome_QC - outcome_QC.mean(0)
    return np.stack([np.bincount(group_Q, column) for column in deviation_QC.T], axis=1)


def block_length(value_GC: NDArray[np.floating], traverse_G: NDArray[np.int64]) -> int:
    """Choose the length of blocks along traverses from the autocorrelation of all outcomes together.

    It is CAUTION times the length that estimates the variance of a mean with the smallest error (Politis and White
    2004, corrected by Patton et al. 2009), because blocks that are too short make an interval too narrow,
    and blocks that are too long only make it a little wider.

    Args:
        value_GC: values of each position; neighbours in the array are neighbours on the ground.
        traverse_G: the number of the traverse of each position; values of two traverses are independent.

    Returns:
        The number of positions of a block: 1 if neighbours are uncorrelated.
    """
    count, value_GC = len(value_GC), value_GC - value_GC.mean(0)
    variance = float(np.mean(value_GC**2))
    longest = count // FEWEST_BLOCKS
    if variance == 0 or longest < 1:
        return 1
    most_lags = min(int(np.ceil(np.sqrt(count))) + 5, count - 1)
    correlations = np.empty(most_lags)
    for lag in range(1, most_lags + 1):
        alike = traverse_G[lag:] == traverse_G[:-lag]
        products = (value_GC[lag:] * value_GC[:-lag]).mean(1)
        correlations[lag - 1] = np.sum(products * alike) / max(alike.sum(), 1) / variance
    significant = np.abs(correlations) > NOTED * np.sqrt(np.log10(count) / count)
    if not significant[:5].any():
        return 1
    quiet = [lag for lag in range(most_lags) if not significant[lag : lag + 5].any()]  # five lags in a row
    lags = np.arange(1, min(2 * max(quiet[0] if quiet else most_lags, 1), most_lags) + 1)
    window = np.clip(2 * (1 - lags / (lags[-1] + 1)), 0, 1)  # the flat-top window of Politis and Romano (1995)
    spectrum = 1 + 2 * np.sum(window * correlations[: len(lags)])
    slope = 2 * np.sum(window * lags * correlations[: len(lags)])
    if spectrum <= 0 or slope <= 0:
        return 1
    return int(np.clip(np.ceil(CAUTION * (1.5 * slope**2 / spectrum**2 * count) ** (1 / 3)), 1, longest))


def group_variance(group_Q: NDArray[np.int64], outcome_QC: ArrayLike) -> NDArray[np.float64]:
    """Estimate the variance of each mean outcome from the totals of independent groups, (C,).

    It is NaN for a single group, which tells nothing of others.
    """
    total_GC = group_deviations(group_Q, outcome_QC)
    groups = len(total_GC)
    correction = groups / (groups - 1) if groups > 1 else np.nan
    return correction * (total_GC**2).sum(0) / len(group_Q) ** 2
