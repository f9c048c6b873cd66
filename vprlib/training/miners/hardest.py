"""Select the positives that a query is pulled towards and the negatives that it is pushed away from.

Axes: Q queries, N database images, D dimensions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.exceptions import InputError


def select_tuples(
    query_QD: NDArray,
    database_ND: ArrayLike,
    positives: Sequence[NDArray[np.int64]],
    excluded: Sequence[NDArray[np.int64]],
    *,
    negatives: int,
    pool: int,
    cache: NDArray[np.int64] | None = None,
    generator: np.random.Generator,
    block: int = 1024,
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """Select each query's nearest positive and hardest negatives (NetVLAD; OpenIBL, `ibl/utils/data/sampler.py`).

    Args:
        query_QD: (Q, D) float, unit rows.
        database_ND: (N, D) float, unit rows.
        positives: Q arrays of database indices, each with at least one: the candidates for the positive (within 10 m).
        excluded: Q arrays of increasing database indices: images that are never negatives of the query (within 25 m).
        negatives: number of negatives per query, the nearest ones first.
        pool: number of candidates drawn at random, without replacement, from all that are not excluded.
        cache: (Q, negatives) int, each query's previous negatives, -1 for none; they join the candidates.
        generator: source of randomness.
        block: number of queries whose similarities are kept in memory.

    Returns:
        Q tuples (query number, positive, (negatives,) int64 array). Equally near images are ordered by index.

    Raises:
        InputError: if a query has no positive, or too few candidates for its negatives.
    """
    database_ND = np.asarray(database_ND, np.float32)
    count, tuples = len(database_ND), []
    for start in range(0, len(query_QD), block):
        products = np.asarray(query_QD[start : start + block], np.float32) @ database_ND.T
        for query, product_N in enumerate(products, start):
            if not len(positives[query]):
                raise InputError(f"mining: query {query} has no positive")
            candidates = draw_negatives(count, excluded[query], pool, generator)
            if cache is not None:
                candidates = np.union1d(candidates, cache[query][cache[query] >= 0])
            else:
                candidates = np.sort(candidates)
            if len(candidates) < negatives:
                raise InputError(
                    f"mining: query {query} has {len(candidates)} candidates for {negatives} negatives; lower "
                    f"train.negatives_per_query or train.negative_radius_m, or raise train.negative_pool_size"
                )
            ordered = np.sort(positives[query])
            nearest = ordered[np.argmax(product_N[ordered])]
            hardest = candidates[np.argsort(-product_N[candidates], kind="stable")[:negatives]]
            tuples.append((query, int(nearest), hardest))
    return tuples


def draw_negatives(
    count: int, excluded: NDArray[np.int64], size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `size` numbers below `count` without replacement, or all there are; none of `excluded`, which increases."""
    left = count - len(excluded)
    ranks = generator.choice(left, min(size, left), replace=False, shuffle=False)
    return ranks + np.searchsorted(excluded - np.arange(len(excluded)), ranks, side="right")


def difficult_positives(
    query_QD: NDArray,
    database_ND: NDArray,
    positives: Sequence[NDArray[np.int64]],
    jaccard_QN: NDArray,
    *,
    pool: int,
    count: int,
) -> list[NDArray[np.int64]]:
    """Select SFRS's positives for soft labels: those that the Jaccard distance ranks higher than the distance alone.

    Among a query's `pool` nearest positives, those whose rank by `jaccard_QN` is better than by distance come first,
    the largest gain first, then those of unchanged rank; `count` at most (OpenIBL, DistributedRandomDiffTupleSampler).

    Args:
        query_QD, database_ND, positives: as in `select_tuples`.
        jaccard_QN: (Q, N) float.
        pool: number of nearest positives considered.
        count: number of positives selected at most.

    Returns:
        Q int64 arrays of database indices, none empty. Equally near images are ordered by index, equal gains by the
        rank by `jaccard_QN`.
    """
    selected = []
    for query, unordered in enumerate(positives):
        ordered = np.sort(unordered)
        product = database_ND[ordered] @ query_QD[query]
        nearest = ordered[np.argsort(-product, kind="stable")[:pool]]
        before = np.argsort(jaccard_QN[query, nearest], kind="stable")  # the old rank at each new rank
        gain = before - np.arange(len(nearest))
        promoted = np.argsort(-gain, kind="stable")
        selected.append(nearest[before[promoted[gain[promoted] >= 0]]][:count])
    return selected
