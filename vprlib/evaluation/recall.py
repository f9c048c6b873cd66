"""Compute recalls from a ranking. A recall is a share in [0, 1]; only plots show percent.

Axes: Q queries, K candidates of a query, N database images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def hits(ranking_QK: ArrayLike, positives: Sequence[NDArray]) -> NDArray[np.bool_]:
    """Mark the correct candidates, (Q, K). The -1 that pads a short row is never correct.

    Raises:
        ValueError: if `ranking_QK` and `positives` differ in length.

    Examples:
        >>> hits([[2, 0], [1, -1]], [np.array([0]), np.array([1, 2])])
        array([[False,  True],
               [ True, False]])
    """
    ranking_QK = np.asarray(ranking_QK, np.int64)
    if len(ranking_QK) != len(positives):
        raise ValueError(f"{len(ranking_QK)} rows of ranking, but positives of {len(positives)} queries")
    flat = np.concatenate([np.empty(0, np.int64), *positives])
    size = 1 + max(flat.max(initial=0), ranking_QK.max(initial=0))
    owner = np.repeat(np.arange(len(positives)), [len(p) for p in positives])
    positive_pairs = np.sort(owner * size + flat)
    pair_QK = np.arange(len(ranking_QK))[:, None] * size + ranking_QK
    position_QK = np.searchsorted(positive_pairs, pair_QK)
    hit_QK = np.zeros(pair_QK.shape, bool)
    inside = position_QK < len(positive_pairs)
    hit_QK[inside] = positive_pairs[position_QK[inside]] == pair_QK[inside]
    return hit_QK & (ranking_QK >= 0)


def recall_at(ks: Sequence[int], ranking_QK: ArrayLike, positives: Sequence[NDArray]) -> dict[int, float]:
    """Compute the share of queries with a hit among their first k candidates.

    Args:
        ks: cut-offs, each at least 1 and at most K.
        ranking_QK: (Q, K) int, database indices, nearest first; -1 pads a short row.
        positives: Q arrays of database indices within the hit radius.

    Returns:
        {k: recall in [0, 1]}. A query without any positive counts as a miss.

    Raises:
        ValueError: if `ranking_QK` and `positives` differ in length, or a k is out of range.

    Examples:
        >>> recall_at([1, 2], [[2, 0], [1, 3]], [np.array([0]), np.array([1])])
        {1: 0.5, 2: 1.0}
    """
    return dict(zip(ks, hits_at(ks, ranking_QK, positives).mean(0).tolist(), strict=True))


def hits_at(ks: Sequence[int], ranking_QK: ArrayLike, positives: Sequence[NDArray]) -> NDArray[np.bool_]:
    """Mark the queries with a hit among their first k candidates, (Q, one column for each k); see `recall_at`."""
    depth = np.shape(ranking_QK)[1]
    out_of_range = [k for k in ks if not 1 <= k <= depth]
    if out_of_range:
        raise ValueError(
            f"recall@{out_of_range[0]} needs {out_of_range[0]} candidates a query, the ranking has {depth}"
        )
    hit_QK = hits(np.asarray(ranking_QK)[:, : max(ks)], positives)
    return np.stack([hit_QK[:, :k].any(1) for k in ks], axis=1)


def suppress_views(ranking_QK: ArrayLike, place_N: ArrayLike, depth: int) -> NDArray[np.int64]:
    """Keep the first candidate of each place among the first `depth` (Tokyo 24/7's protocol; OpenIBL, evaluators.py).

    Args:
        ranking_QK: (Q, K) int, nearest first, -1 pads.
        place_N: (N,) int, the place of each database image.
        depth: number of candidates per query to consider, at most K.

    Returns:
        (Q, depth) int64, the kept candidates in their order, padded with -1.

    Raises:
        ValueError: if the ranking has fewer than `depth` candidates.

    Examples:
        >>> suppress_views([[3, 2, 0]], [0, 0, 1, 1], depth=3)
        array([[ 3,  0, -1]])
    """
    ranking_QK = np.asarray(ranking_QK, np.int64)[:, :depth]
    if ranking_QK.shape[1] < depth:
        raise ValueError(f"suppression needs {depth} candidates, the ranking has {ranking_QK.shape[1]}")
    order, is_first = first_views(ranking_QK, place_N)
    return np.where(is_first, np.take_along_axis(ranking_QK, order, 1), -1)


def first_views(ranking_QK: NDArray[np.int64], place_N: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the first view of each place in every row of a ranking.

    Returns:
        (order, kept), both (Q, K): the columns of each row with the first views of its places in front, and which of
        the reordered columns are such first views.
    """
    place_QK = np.where(ranking_QK >= 0, np.asarray(place_N)[ranking_QK], -1)
    by_place_QK = np.argsort(place_QK, axis=1, kind="stable")
    grouped_QK = np.take_along_axis(place_QK, by_place_QK, 1)
    starts_QK = np.ones_like(grouped_QK, bool)
    starts_QK[:, 1:] = grouped_QK[:, 1:] != grouped_QK[:, :-1]
    first_QK = np.empty_like(starts_QK)
    np.put_along_axis(first_QK, by_place_QK, starts_QK, 1)
    first_QK &= ranking_QK >= 0
    order_QK = np.argsort(~first_QK, axis=1, kind="stable")
    return order_QK, np.take_along_axis(first_QK, order_QK, 1)


def random_recall(ks: Sequence[int], positives: Sequence[Sequence[int] | NDArray], database: int) -> dict[int, float]:
    """Compute the expected recall@k of a random ranking: 1 - prod_{i<k} (N - p - i) / (N - i), mean over the queries.

    Args:
        ks: cut-offs.
        positives: for each query its p positives; only their number matters.
        database: N, the number of database images (or places).

    Examples:
        >>> random_recall([1], [[0], [1, 2]], database=4)
        {1: 0.375}
    """
    count_Q = np.array([len(p) for p in positives], float)
    missed_Q, result = np.ones_like(count_Q), {}
    for k in range(1, max(ks) + 1):
        share_Q = np.maximum(database - count_Q - (k - 1), 0) / max(database - (k - 1), 1)
        missed_Q = missed_Q * np.where(count_Q > 0, share_Q, 1)
        if k in ks:
            result[k] = float(1 - missed_Q.mean())
    return result
