"""Compressed storage of descriptors, from four bytes per value to one bit, each with its own search.

A storage is made from unit rows (N, D). It has `name`, `bytes` (of one image), rows that slicing decodes to float32,
and `nearest(query_QD, k)` with the contract of `vprlib.retrieval.exact_search.nearest`. Only `binary` compresses the
queries too.

Axes: Q queries, N database images, K candidates, D dimensions.
"""

from collections.abc import Callable
from math import ceil, log2
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.retrieval.descriptor_reader import Descriptors, as_finite_float32
from vprlib.retrieval.exact_search import Ranking, nearest

PIECE = 8  # values per code of PQ


class Storage(Protocol):
    """Interface of every storage."""

    name: str
    bytes: int
    shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> NDArray[np.float32]: ...

    def nearest(self, query_QD: NDArray, k: int) -> Ranking:
        """Return the k nearest rows of each query."""


class Float32:
    """Store the values unchanged. Rows are decoded as float32, whatever the type of their codes."""

    name: str = "float32"
    kind: ClassVar[type[np.generic]] = np.float32
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, x_ND: NDArray) -> None:
        self.code: NDArray = np.asarray(x_ND, self.kind)
        self.shape: tuple[int, ...] = x_ND.shape
        self.bytes: int = x_ND.shape[1] * self.code.itemsize

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return self.code[rows].astype(np.float32, copy=False)

    def nearest(self, query_QD: Descriptors, k: int) -> Ranking:
        """Rank by dot products of queries and decoded rows."""
        return nearest(query_QD, self, k)


class Float16(Float32):
    """Store the nearest half-precision values."""

    name = "float16"
    kind = np.float16


class Int8(Float32):
    """Store one byte per value and one float32 per row.

    code = round(x / s) with s = max |x| / 127; a row is decoded as code * s.
    """

    name = "int8"
    kind = np.int8

    def __init__(self, x_ND: NDArray) -> None:
        x_ND = np.asarray(x_ND, np.float32)
        self.scale_N1 = np.abs(x_ND).max(1, keepdims=True) / np.float32(127)
        super().__init__(np.rint(x_ND / np.where(self.scale_N1 > 0, self.scale_N1, 1)))
        self.bytes += 4

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return self.code[rows] * self.scale_N1[rows]


class PQ:
    """Store one byte per 8 values, the number of the nearest of 256 centres (product quantisation, Jegou et al. 2011).

    The centres are k-means centroids of the rows themselves (at most 65,536 of them), as is usual in retrieval: nothing
    but the database is used. For fewer than 256 rows, the number of centres is the largest power of two not above the
    number of rows. Decoded rows are not normalised again; scores are their dot products with float32 queries.

    Args:
        x_ND: unit rows.
        seed: seed of the k-means.
    """

    name: str = "pq"

    def __init__(self, x_ND: NDArray, seed: int = 0) -> None:
        import faiss

        x_ND = as_finite_float32(x_ND, "the database")
        self.shape: tuple[int, ...] = x_ND.shape
        bits = min(8, int(log2(len(x_ND))))
        self.index = faiss.IndexPQ(self.shape[1], self.shape[1] // PIECE, bits, faiss.METRIC_INNER_PRODUCT)
        self.index.pq.cp.seed = seed
        self.index.pq.cp.min_points_per_centroid = 1  # otherwise faiss warns of a small database
        self.index.train(x_ND)
        self.index.add(x_ND)
        self.bytes: int = self.index.pq.code_size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return self.index.reconstruct_n(0, len(self))[rows]

    def nearest(self, query_QD: NDArray, k: int) -> Ranking:
        """Rank by sums over a table of each query's dot products with all centres."""
        query_QD = as_finite_float32(query_QD, "the queries")
        score, index = break_ties(self.index.search, query_QD, len(self), min(k, len(self)))
        return index, score


class Binary:
    """Store one bit per value, its sign, decoded as +-1 / sqrt(D). Queries are binarised alike."""

    name: str = "binary"

    def __init__(self, x_ND: NDArray) -> None:
        import faiss

        self.shape: tuple[int, ...] = x_ND.shape
        self.bytes: int = ceil(x_ND.shape[1] / 8)
        self.code = sign_bits(x_ND)
        self.index = faiss.IndexBinaryFlat(8 * self.bytes)
        self.index.add(self.code)

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        bits = np.unpackbits(self.code[rows], axis=1, count=self.shape[1])
        return (2 * bits.astype(np.float32) - 1) / np.float32(np.sqrt(self.shape[1]))

    def nearest(self, query_QD: NDArray, k: int) -> Ranking:
        """Rank by the Hamming distance h of the bits: the dot product of the decoded rows is 1 - 2 h / D.

        Many distances are equal; faiss' heap orders them by distance and index, so no ties need to be broken.
        """
        distance, index = self.index.search(sign_bits(as_finite_float32(query_QD, "the queries")), min(k, len(self)))
        return index, (1 - 2 * distance / self.shape[1]).astype(np.float32)


STORAGES: dict[str, Callable[..., Storage]] = {
    storage.name: storage for storage in (Float32, Float16, Int8, PQ, Binary)
}


def sign_bits(x_ND: ArrayLike) -> NDArray[np.uint8]:
    """Return one bit per value, set where it is positive, packed by row: (N, ceil(D / 8)) uint8.

    >>> sign_bits([[0.5, -0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.1]]).tolist()
    [[161]]
    """
    return np.packbits(np.asarray(x_ND) > 0, axis=1)


def leading_dimensions(x_ND: Descriptors, dim: int) -> NDArray[np.float32]:
    """Return the first `dim` values of whitened rows, normalised again: what a whitening to `dim` dimensions gives.

    Raises:
        InputError: if a value is not finite.
    """
    x_ND = as_finite_float32(x_ND[:, :dim], "the files")
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)


def break_ties(
    search: Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], NDArray[np.int64]]],
    query_QD: NDArray[np.float32],
    count: int,
    k: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Search the k best of `count` rows with faiss, and order equal scores by index.

    faiss defines neither the order of equal scores nor which of them it keeps at the cut. Queries with equal scores
    are sorted here, and searched again, deeper, where the scores at the cut are equal.

    Args:
        search: (queries, depth) -> scores and indices (Q, depth), by falling score.
        query_QD: the queries.
        count: number of rows.
        k: number of candidates, at most `count`.

    Returns:
        (scores, indices), (Q, k), by falling score, then rising index.
    """
    deep = min(k + 1, count)
    score, index = search(query_QD, deep)
    tied = np.flatnonzero((score[:, 1:] == score[:, :-1]).any(1))
    if len(tied):
        order = np.lexsort((index[tied], -score[tied]))
        index[tied] = np.take_along_axis(index[tied], order, 1)
        cut = tied[score[tied, k - 1] == score[tied, -1]] if deep > k else tied[:0]
        if len(cut):
            deeper = break_ties(search, query_QD[cut], count, min(2 * k, count))
            score[cut, :k], index[cut, :k] = deeper[0][:, :k], deeper[1][:, :k]
    return score[:, :k], index[:, :k]
