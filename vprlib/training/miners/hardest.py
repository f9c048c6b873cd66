"""Training tuples: which photos a query is pulled to and pushed from."""

import numpy as np

from vprlib.exceptions import InputError


def select_tuples(
    query_QD, database_DD, positives, excluded, *, negatives: int, pool: int, cache=None, generator, block: int = 1024
) -> list:
    """For each query its nearest positive and its hardest negatives (NetVLAD; OpenIBL, `ibl/utils/data/sampler.py`).

    Args:
        query_QD: (Q, D) float, unit rows.
        database_DD: (N, D) float, unit rows.
        positives: Q arrays of database indices, each with at least one: the candidates for the positive (within 10 m).
        excluded: Q arrays of database indices, increasing, that are never negatives (within 25 m).
        negatives: how many a query gets, the nearest ones first.
        pool: how many candidates are drawn at random, without replacement, from all that are not excluded.
        cache: (Q, negatives) int of each query's previous negatives, -1 for none; they join the candidates.
        generator: numpy Generator.
        block: queries whose distances are held at once.

    Returns:
        Q tuples (query number, positive, (negatives,) int64 array). Of equal distances the lower index comes first.

    Raises:
        InputError: if a query has no positive, or the database too few negatives for it.
    """
    database_DD = np.asarray(database_DD, np.float32)
    count, tuples = len(database_DD), []
    for start in range(0, len(query_QD), block):
        products = np.asarray(query_QD[start : start + block], np.float32) @ database_DD.T
        for query, product in enumerate(products, start):
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
                    f"train.negatives or train.negative_m, or raise train.negative_pool"
                )
            near = np.sort(positives[query])
            best = near[np.argmax(product[near])]
            hardest = candidates[np.argsort(-product[candidates], kind="stable")[:negatives]]
            tuples.append((query, int(best), hardest))
    return tuples


def draw_negatives(count: int, excluded, size: int, generator) -> np.ndarray:
    """Draw `size` numbers below `count`, or all there are, without replacement; none of `excluded`, which increases."""
    left = count - len(excluded)
    ranks = generator.choice(left, min(size, left), replace=False, shuffle=False)
    return ranks + np.searchsorted(excluded - np.arange(len(excluded)), ranks, side="right")


def difficult_positives(query_QD, database_DD, positives, jaccard_QN, *, pool: int, count: int) -> list:
    """SFRS's positives for soft labels: those that shared neighbourhoods rank higher than distance alone does.

    Of a query's `pool` nearest positives, those whose rank by `jaccard_QN` is better than by distance, the largest
    gain first, then those of unchanged rank; `count` at most (OpenIBL, DistributedRandomDiffTupleSampler).

    Args:
        query_QD, database_DD, positives: as `select_tuples`.
        jaccard_QN: (Q, N) float.

    Returns:
        Q int64 arrays of database indices, none empty. Of equal distances the lower index, of equal gains the better
        rank by `jaccard_QN` comes first.
    """
    chosen = []
    for query, own in enumerate(positives):
        own = np.sort(own)
        product = database_DD[own] @ query_QD[query]
        nearest = own[np.argsort(-product, kind="stable")[:pool]]
        before = np.argsort(jaccard_QN[query, nearest], kind="stable")  # of each new rank the old one
        gain = before - np.arange(len(nearest))
        promoted = np.argsort(-gain, kind="stable")
        chosen.append(nearest[before[promoted[gain[promoted] >= 0]]][:count])
    return chosen
