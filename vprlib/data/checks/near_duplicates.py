"""Find photos that are the same, or look the same, where a dataset should have different ones.

Axes: N photos, 8 bytes of a hash, 2 = (east, north).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

BLOCK = 256  # hashes per search; bounds the memory if thousands of photos look alike
LISTED = 1000  # pairs that are listed; all pairs are counted


def near_pairs(
    hash_N: ArrayLike, max_hash_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield all pairs of 64-bit hashes that differ in at most `max_hash_distance` bits.

    The search is exact: faiss computes the distances of all pairs, so its time does not depend on how alike the photos
    are. Each block of hashes is searched among the earlier blocks and itself. 290,000 hashes (Pitts250k) take half a
    minute on two idle cores, and 0.2 GB.

    Yields:
        (earlier, later, bits): arrays of the two photos' numbers and of the number of differing bits.
    """
    import faiss

    code_N8 = np.asarray(hash_N, np.uint64).reshape(-1, 1).view(np.uint8)
    index = faiss.IndexBinaryFlat(64)
    for start in range(0, len(code_N8), BLOCK):
        block = code_N8[start : start + BLOCK]
        index.add(block)
        ends, bits, earlier = index.range_search(block, max_hash_distance + 1)  # faiss excludes its radius itself
        end_positions: NDArray[np.int64] = ends.astype(np.int64)
        later = start + np.repeat(np.arange(len(block)), np.diff(end_positions))
        once = earlier < later
        yield earlier[once], later[once], bits[once].astype(np.int64)


def count_near_duplicates(
    table: pd.DataFrame, digests: Sequence[str] | pd.Series, hash_N: ArrayLike, *, max_hash_distance: int, radius: float
) -> dict[str, Any]:
    """Count pairs of photos that look the same though they should not.

    Views of one place rightly look alike, so within a split a pair counts only if its positions are farther apart than
    the hit radius: a wrong position, a place that repeats, photos without content (a dark tunnel). Between splits every
    pair counts, because the test set would then contain training photos. Pairs with the same bytes are left out; they
    are exact duplicates.

    Args:
        table: N rows with path, split, east, north.
        digests: N SHA-256.
        hash_N: (N,) 64-bit perceptual hashes.
        max_hash_distance: bits in which a pair may differ.
        radius: in the unit of the positions.

    Returns:
        `max_hash_distance`; `pairs`: {split or "one and other": count} with splits in the table's order, without
        zeros; `listed`: [path, path, bits, distance] of the `LISTED` pairs with the fewest bits.
    """
    split_N, splits = pd.factorize(table.split)
    same_N = np.unique(np.asarray(digests), return_inverse=True)[1]
    place_N2 = table[["east", "north"]].to_numpy(np.float64)
    counts, best = np.zeros((len(splits), len(splits)), np.int64), np.empty((0, 3), np.int64)
    for earlier, later, bits in near_pairs(hash_N, max_hash_distance):
        distance = np.hypot(*(place_N2[earlier] - place_N2[later]).T)
        wrong = (same_N[earlier] != same_N[later]) & ((split_N[earlier] != split_N[later]) | (distance > radius))
        earlier, later, bits = earlier[wrong], later[wrong], bits[wrong]
        np.add.at(counts, (split_N[earlier], split_N[later]), 1)
        best = np.concatenate([best, np.stack([bits, earlier, later], axis=1)])
        best = best[np.lexsort(best.T[::-1])[:LISTED]]
    distance = np.hypot(*(place_N2[best[:, 1]] - place_N2[best[:, 2]]).T)
    path = table.path.to_numpy()
    pairs = {}
    for (a, b), count in np.ndenumerate(np.triu(counts + np.tril(counts, -1).T)):
        if count:
            pairs[splits[a] if a == b else f"{splits[a]} and {splits[b]}"] = int(count)
    return {
        "max_hash_distance": max_hash_distance,
        "pairs": pairs,
        "listed": [
            [path[earlier], path[later], int(bits), round(float(metres), 3)]
            for (bits, earlier, later), metres in zip(best, distance, strict=True)
        ],
    }
