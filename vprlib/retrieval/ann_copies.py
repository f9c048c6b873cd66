"""Put equal database rows into an HNSW graph once.

Copies of one photo (Street View's grey tile, black frames of a tunnel) are each other's nearest neighbours, so in a
graph they link to each other only, and what lies behind them is no longer reached: with 4,000 copies beside 1,000
places, the right neighbour was found for one query in ten.

Axes: Q queries, N database images, C candidates, D dimensions.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vprlib.retrieval.descriptor_reader import PIECE, Descriptors, iter_blocks

if TYPE_CHECKING:
    import faiss

SPARE = 8  # rows beyond k whose exact scores may put them among the first k


class DistinctRowsIndex:
    """A graph of the distinct rows of a database, searched as if it held all rows.

    Args:
        graph: faiss index of the distinct rows, in the order of their first occurrence.
        nodes_N: the graph's number of every database row, from `distinct_rows`.
    """

    def __init__(self, graph: Any, nodes_N: NDArray[np.int64]) -> None:
        self.graph, self.d = graph, graph.d
        self._set_nodes(nodes_N)

    def _set_nodes(self, nodes_N: NDArray[np.int64]) -> None:
        self.ntotal = len(nodes_N)
        self.rows_N = np.argsort(nodes_N, kind="stable")  # grouped by node, each group in the database's order
        self.starts = np.searchsorted(nodes_N[self.rows_N], np.arange(1 + nodes_N.max(initial=-1) + 1))

    def add(self, database_ND: Descriptors) -> None:
        """Add the rows of a database that the index lacks, the last ones.

        Raises:
            InputError: if a value is not finite.
        """
        nodes_N, before = distinct_rows(database_ND), self.ntotal
        new = np.zeros(len(nodes_N), bool)
        new[np.unique(nodes_N, return_index=True)[1][self.graph.ntotal :]] = True
        for start, rows in iter_blocks(database_ND, "the database", first=before):
            self.graph.add(rows[new[start : start + len(rows)]])
        self._set_nodes(nodes_N)

    def search(self, query_QD: NDArray[np.float32], k: int, **options: Any) -> tuple[None, NDArray[np.int64]]:
        """Return candidates for the k nearest rows, as faiss does: (None, (Q, C) row numbers, -1 pads)."""
        _, nodes_QK = self.graph.search(query_QD, k, **options)
        if self.graph.ntotal == self.ntotal:
            return None, nodes_QK
        rows = [self._rows_of(nodes[nodes >= 0], k) for nodes in nodes_QK]
        candidates_QC = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
        for candidates, found in zip(candidates_QC, rows, strict=True):
            candidates[: len(found)] = found
        return None, candidates_QC

    def _rows_of(self, nodes: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """The rows of some nodes, the nearest first, until there are a few more than k; of a node, its first k."""
        first = self.starts[nodes]
        counts = np.minimum(self.starts[nodes + 1] - first, k)
        enough = np.cumsum(counts) - counts < k + SPARE
        parts = [self.rows_N[start : start + count] for start, count in zip(first[enough], counts[enough], strict=True)]
        return np.concatenate([np.empty(0, np.int64), *parts])


AnnIndex: TypeAlias = "faiss.Index | DistinctRowsIndex"


def distinct_rows(database_ND: Descriptors) -> NDArray[np.int64]:
    """Number the distinct rows of a database in the order of their first occurrence.

    Rows are told apart by a hash of 64 bits of their bytes. Two different rows that share one (which is not to be
    expected below 10^9 rows) would be one node, whose rows are still scored each by its own values.

    Returns:
        (N,) the number of every row; equal rows share one.
    """
    count, width = database_ND.shape
    words = np.dtype(f"u{database_ND.dtype.itemsize}")
    factors = np.random.default_rng(0).integers(0, 2**63, width, np.uint64) * np.uint64(2) + np.uint64(1)
    hashes, step = np.empty(count, np.uint64), max(1, PIECE // width)
    for start in range(0, count, step):
        rows = np.ascontiguousarray(database_ND[start : min(start + step, count)])
        hashes[start : start + len(rows)] = rows.view(words).astype(np.uint64) @ factors
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse]
