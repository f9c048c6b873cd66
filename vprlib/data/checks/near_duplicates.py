"""Photos that are the same, or look the same, where a dataset should have different ones."""

import numpy as np
import pandas as pd

BLOCK = 256  # hashes sought at once: bounds the memory where thousands look alike
LISTED = 1000  # pairs that are named; all are counted


def near_pairs(hash_N, hamming: int):
    """Yield all pairs of 64-bit hashes that differ in at most `hamming` bits, as (earlier, later, bits) arrays.

    Exact, by faiss' popcounts of all pairs, whose time does not depend on how alike photos are: each block is sought
    among those before it and itself. 290,000 hashes (Pitts250k) take half a minute on two idle cores and 0.2 GB.
    """
    import faiss

    code_N8 = np.asarray(hash_N, np.uint64).reshape(-1, 1).view(np.uint8)
    index = faiss.IndexBinaryFlat(64)
    for start in range(0, len(code_N8), BLOCK):
        block = code_N8[start : start + BLOCK]
        index.add(block)
        ends, bits, earlier = index.range_search(block, hamming + 1)  # faiss finds those nearer than its radius
        later = start + np.repeat(np.arange(len(block)), np.diff(ends.astype(np.int64)))
        once = earlier < later
        yield earlier[once], later[once], bits[once].astype(np.int64)


def count_near_duplicates(table, digests, hash_N, *, hamming: int, radius: float) -> dict:
    """Count photos that look the same though they should not, in pairs.

    Views of one place look alike by right, so within a split a pair counts only if its positions are farther apart
    than the hit radius: a wrong position, a place that repeats, photos without content (a dark tunnel). Between
    splits every pair counts: what is tested was trained on. Pairs with the same bytes are left out; they are exact
    duplicates.

    Args:
        table: N rows with path, split, east, north.
        digests: N SHA-256.
        hash_N: (N,) 64-bit perceptual hashes.
        hamming: bits in which a pair may differ.
        radius: in the unit of the positions.

    Returns:
        `pairs`: {split or "one and other": count}, splits in the table's order, those that have any; `listed`: [path,
        path, bits, distance] of the `LISTED` pairs with the fewest bits.
    """
    split_N, splits = pd.factorize(table.split)
    same_N = np.unique(np.asarray(digests), return_inverse=True)[1]
    place_N2 = table[["east", "north"]].to_numpy(np.float64)
    counts, best = np.zeros((len(splits), len(splits)), np.int64), np.empty((0, 3), np.int64)
    for one, other, bits in near_pairs(hash_N, hamming):
        apart = np.hypot(*(place_N2[one] - place_N2[other]).T)
        wrong = (same_N[one] != same_N[other]) & ((split_N[one] != split_N[other]) | (apart > radius))
        one, other, bits = one[wrong], other[wrong], bits[wrong]
        np.add.at(counts, (split_N[one], split_N[other]), 1)
        best = np.concatenate([best, np.stack([bits, one, other], axis=1)])
        best = best[np.lexsort(best.T[::-1])[:LISTED]]
    apart = np.hypot(*(place_N2[best[:, 1]] - place_N2[best[:, 2]]).T)
    path = table.path.to_numpy()
    pairs = {}
    for (a, b), count in np.ndenumerate(np.triu(counts + np.tril(counts, -1).T)):
        if count:
            pairs[splits[a] if a == b else f"{splits[a]} and {splits[b]}"] = int(count)
    return {
        "hamming": hamming,
        "pairs": pairs,
        "listed": [
            [path[one], path[other], int(bits), round(float(distance), 3)]
            for (bits, one, other), distance in zip(best, apart, strict=True)
        ],
    }
