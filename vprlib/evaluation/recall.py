"""From a ranking to recalls. A recall is a share in [0, 1]; percent is for plots."""

import numpy as np


def hits(ranking_QK, positives) -> np.ndarray:
    """Which candidates are correct: (Q, K) bool; the -1 that pads a short row never is.

    Raises:
        ValueError: if `ranking` and `positives` differ in length.
    """
    ranking_QK = np.asarray(ranking_QK, np.int64)
    if len(ranking_QK) != len(positives):
        raise ValueError(f"{len(ranking_QK)} rows of ranking, but positives of {len(positives)} queries")
    flat = np.concatenate([np.empty(0, np.int64), *positives])
    size = 1 + max(flat.max(initial=0), ranking_QK.max(initial=0))
    owner = np.repeat(np.arange(len(positives)), [len(p) for p in positives])
    right = np.sort(owner * size + flat)
    asked = np.arange(len(ranking_QK))[:, None] * size + ranking_QK
    place = np.searchsorted(right, asked)
    found = np.zeros(asked.shape, bool)
    inside = place < len(right)
    found[inside] = right[place[inside]] == asked[inside]
    return found & (ranking_QK >= 0)


def recall_at(ks, ranking_QK, positives) -> dict:
    """Share of queries with a correct place among their first k candidates.

    Args:
        ks: cut-offs, each at least 1 and at most K.
        ranking_QK: (Q, K) int, database indices, nearest first; -1 pads a short row.
        positives: Q arrays of database indices within the hit radius.

    Returns:
        {k: recall in [0, 1]}. A query without any positive counts as a miss.

    Raises:
        ValueError: if `ranking` and `positives` differ in length, or a k is out of range.
    """
    depth = np.shape(ranking_QK)[1]
    bad = [k for k in ks if not 1 <= k <= depth]
    if bad:
        raise ValueError(f"recall@{bad[0]} needs {bad[0]} candidates a query, the ranking has {depth}")
    found = hits(np.asarray(ranking_QK)[:, : max(ks)], positives)
    return {k: float(found[:, :k].any(1).mean()) for k in ks}


def suppress_views(ranking_QK, place_N, depth: int) -> np.ndarray:
    """Keep the first candidate of each place among the first `depth` (Tokyo 24/7's protocol; OpenIBL, evaluators.py).

    Args:
        ranking_QK: (Q, K) int, nearest first, -1 pads.
        place_N: (N,) int, the place of each database image.
        depth: how many candidates of a row are looked at, at most K.

    Returns:
        (Q, depth) int64, the kept candidates in their order, padded with -1.
    """
    ranking = np.asarray(ranking_QK, np.int64)[:, :depth]
    if ranking.shape[1] < depth:
        raise ValueError(f"suppression looks at {depth} candidates, the ranking has {ranking.shape[1]}")
    front, kept = first_views(ranking, place_N)
    return np.where(kept, np.take_along_axis(ranking, front, 1), -1)


def first_views(ranking_QK, place_N) -> tuple:
    """(order, kept), both (Q, K): each row's columns with its places' first views in front, and which these are."""
    place = np.where(ranking_QK >= 0, np.asarray(place_N)[ranking_QK], -1)
    order = np.argsort(place, axis=1, kind="stable")
    grouped = np.take_along_axis(place, order, 1)
    first = np.ones_like(grouped, bool)
    first[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    keep = np.empty_like(first)
    np.put_along_axis(keep, order, first, 1)
    keep &= ranking_QK >= 0
    front = np.argsort(~keep, axis=1, kind="stable")
    return front, np.take_along_axis(keep, front, 1)


def random_recall(ks, positives, database: int) -> dict:
    """Expected recall@k of a random ranking: 1 - prod_{i<k} (N - p - i) / (N - i), averaged over the queries."""
    counts = np.array([len(p) for p in positives], float)
    missed, result = np.ones_like(counts), {}
    for k in range(1, max(ks) + 1):
        share = np.maximum(database - counts - (k - 1), 0) / max(database - (k - 1), 1)
        missed = missed * np.where(counts > 0, share, 1)
        if k in ks:
            result[k] = float(1 - missed.mean())
    return result
