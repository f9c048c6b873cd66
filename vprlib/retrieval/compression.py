"""How a descriptor is stored, from four bytes a value to one bit; each storage with its own search.

A storage is made from unit rows (N, D) and has `name`, `bytes` (of one image), rows that slicing decodes to float32,
and `nearest(query_QD, k)` with the contract of `nearest`. Queries are compressed by `binary` only.
"""

from math import ceil, log2

import numpy as np

from vprlib.retrieval.descriptor_reader import as_finite_float32
from vprlib.retrieval.exact_search import nearest

PIECE = 8  # values that one code of PQ stands for


class Float32:
    """The values as they are. Rows are decoded as float32, whatever the kind of their codes."""

    name, kind, dtype = "float32", np.float32, np.dtype(np.float32)

    def __init__(self, x_ND):
        self.code = np.asarray(x_ND, self.kind)
        self.shape, self.bytes = x_ND.shape, x_ND.shape[1] * self.code.itemsize

    def __len__(self):
        return len(self.code)

    def __getitem__(self, rows) -> np.ndarray:
        return self.code[rows].astype(np.float32, copy=False)

    def nearest(self, query_QD, k: int) -> tuple:
        """By dot products of queries and decoded rows."""
        return nearest(query_QD, self, k)


class Float16(Float32):
    """The nearest half-precision values."""

    name, kind = "float16", np.float16


class Int8(Float32):
    """One byte a value and a float32 a row: code = round(x / s) with s = max |x| / 127, decoded as code * s."""

    name, kind = "int8", np.int8

    def __init__(self, x_ND):
        x_ND = np.asarray(x_ND, np.float32)
        self.scale_N1 = np.abs(x_ND).max(1, keepdims=True) / np.float32(127)
        super().__init__(np.rint(x_ND / np.where(self.scale_N1 > 0, self.scale_N1, 1)))
        self.bytes += 4

    def __getitem__(self, rows) -> np.ndarray:
        return self.code[rows] * self.scale_N1[rows]


class PQ:
    """Product quantisation (Jegou et al. 2011): each 8 values are the number of the nearest of 256 centres.

    The centres are k-means of the rows themselves (at most 65,536 of them), as is usual in retrieval: nothing but the
    database is seen. Of fewer than 256 rows the largest power of two not above their number is taken. Decoded rows are
    not normalised again; scores are dot products of float32 queries with them.
    """

    name = "pq"

    def __init__(self, x_ND, seed: int = 0):
        import faiss

        x_ND = as_finite_float32(x_ND, "the database")
        self.shape = x_ND.shape
        bits = min(8, int(log2(len(x_ND))))
        self.index = faiss.IndexPQ(self.shape[1], self.shape[1] // PIECE, bits, faiss.METRIC_INNER_PRODUCT)
        self.index.pq.cp.seed = seed
        self.index.pq.cp.min_points_per_centroid = 1  # or a small database is warned of
        self.index.train(x_ND)
        self.index.add(x_ND)
        self.bytes = self.index.pq.code_size

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        return self.index.reconstruct_n(0, len(self))[rows]

    def nearest(self, query_QD, k: int) -> tuple:
        """By sums over a table of each query's dot products with all centres."""
        score, index = break_ties(
            self.index.search, as_finite_float32(query_QD, "the queries"), len(self), min(k, len(self))
        )
        return index, score


class Binary:
    """One bit a value: its sign, decoded as +-1 / sqrt(D); queries are binarised alike."""

    name = "binary"

    def __init__(self, x_ND):
        import faiss

        self.shape, self.bytes = x_ND.shape, ceil(x_ND.shape[1] / 8)
        self.code = sign_bits(x_ND)
        self.index = faiss.IndexBinaryFlat(8 * self.bytes)
        self.index.add(self.code)

    def __len__(self):
        return len(self.code)

    def __getitem__(self, rows) -> np.ndarray:
        bits = np.unpackbits(self.code[rows], axis=1, count=self.shape[1])
        return (2 * bits.astype(np.float32) - 1) / np.float32(np.sqrt(self.shape[1]))

    def nearest(self, query_QD, k: int) -> tuple:
        """By the Hamming distance h of the bits: the dot product of the decoded rows is 1 - 2 h / D.

        Most distances are equal; faiss' heap takes them by distance and index, so nothing is left to settle.
        """
        distance, index = self.index.search(sign_bits(as_finite_float32(query_QD, "the queries")), min(k, len(self)))
        return index, (1 - 2 * distance / self.shape[1]).astype(np.float32)


STORAGES = {storage.name: storage for storage in (Float32, Float16, Int8, PQ, Binary)}


def sign_bits(x_ND) -> np.ndarray:
    """The bits of positive values, packed by rows, uint8."""
    return np.packbits(np.asarray(x_ND) > 0, axis=1)


def leading_dimensions(x_ND, dim: int) -> np.ndarray:
    """The first values of whitened rows, normalised again: what a whitening to `dim` dimensions would have given."""
    x_ND = as_finite_float32(x_ND[:, :dim], "the files")
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)


def break_ties(find, query_QD, count: int, k: int) -> tuple:
    """(scores, indices) of the k best of `count` rows, by falling score, then rising index, from faiss' answers.

    faiss leaves open the order of equal scores and which of them it keeps at the cut: queries with such scores are
    sorted here, and asked again, deeper, where they lie at the cut.

    Args:
        find: (queries, depth) -> scores and indices (Q, depth), by falling score.
    """
    deep = min(k + 1, count)
    score, index = find(query_QD, deep)
    tied = np.flatnonzero((score[:, 1:] == score[:, :-1]).any(1))
    if len(tied):
        order = np.lexsort((index[tied], -score[tied]))
        index[tied] = np.take_along_axis(index[tied], order, 1)
        cut = tied[score[tied, k - 1] == score[tied, -1]] if deep > k else tied[:0]
        if len(cut):
            deeper = break_ties(find, query_QD[cut], count, min(2 * k, count))
            score[cut, :k], index[cut, :k] = deeper[0][:, :k], deeper[1][:, :k]
    return score[:, :k], index[:, :k]
