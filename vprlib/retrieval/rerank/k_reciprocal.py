"""k-reciprocal re-ranking: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding" (2017).

OpenIBL re-ranks with k1 25, k2 1, weight 0 and distances squared twice (`squarings: 2`), on dense matrices of (Q + N)^2
floats (34 GB for Pitts250k); the matrices here are sparse. It departs from OpenIBL in one undefined case: images that
share no neighbour with a query are all at Jaccard distance 1, and OpenIBL's sort leaves their order open. Here they
keep the order by descriptors.

Axes: Q queries, N database images, M = Q + N images, K candidates, D dimensions, B queries of a block.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vprlib.retrieval.descriptor_reader import Descriptors
from vprlib.retrieval.exact_search import Ranking, nearest
from vprlib.retrieval.k_reciprocal_graph import (
    ConcatenatedDescriptors,
    Matrix,
    neighbourhoods,
    pair_distances,
    relative_distance,
    shared_members,
)

ROWS = 256  # queries of a block, whose shared neighbours are in memory
MEMORY = 1 << 30


def k_reciprocal(
    query_QD: Descriptors,
    database_ND: Descriptors,
    k: int,
    *,
    k1: Annotated[int, ">= 1"] = 25,
    k2: Annotated[int, ">= 1"] = 1,
    weight: Annotated[float, ">= 0", "<= 1"] = 0.0,
    squarings: Literal[1, 2] = 1,
    memory: int = MEMORY,
) -> Ranking:
    """Rank by (1 - weight) Jaccard distance of k-reciprocal neighbours + weight original distance (eq. 12).

    The original distance is the squared Euclidean one over its largest in the query's row, as in the authors' code.
    Only two kinds of images can be among the first k: those that share a neighbour with the query, and its k nearest.

    Args:
        query_QD: (Q, D), unit rows.
        database_ND: (N, D), unit rows, an array or an HDF5 dataset. Queries and database are kept as float32 if they
            take no more than `memory`; otherwise they are read by block, once for each block of rows that fits.
        k: number of candidates per query; at most N are returned.
        k1: number of neighbours of an image, itself not counted.
        k2: number of images that a neighbourhood is averaged over, the image itself counted.
        weight: of the original distance; the Jaccard distance has 1 - weight.
        squarings: how often the Euclidean distance is squared: 1 as the authors' code, 2 as OpenIBL calls that code.
        memory: bytes of the working set, beyond descriptors that are kept and the neighbour lists.

    Returns:
        (ranking_QK int64, score_QK float32): scores are 1 - distance. Equal scores are ordered by the descriptors if
        the images are among the k nearest, then by index.

    Raises:
        InputError: as `nearest`.
    """
    near_QK, _ = nearest(query_QD, database_ND, k)
    queries, k = near_QK.shape
    x_MD: Matrix = ConcatenatedDescriptors(query_QD, database_ND)
    if 4 * len(x_MD) * x_MD.shape[1] <= memory:
        x_MD = x_MD[:]
    weights_MM, largest_M = neighbourhoods(x_MD, k1, k2, squarings=squarings, memory=memory)
    stored = weights_MM[queries:].tocsc()
    ranking, score = np.empty((queries, k), np.int64), np.empty((queries, k), np.float32)
    for start in range(0, queries, ROWS):
        part = slice(start, min(start + ROWS, queries))
        row, column, rank, shared = candidate_pairs(weights_MM[part], stored, near_QK[part], memory)
        distance = (1 - weight) * (1 - shared / (2 - shared))
        if weight:
            squared = pair_distances(x_MD, start + row, queries + column, memory)
            distance += weight * relative_distance(squared, largest_M[start + row], squarings)
        order = np.lexsort((column, rank, distance, row))
        first = np.searchsorted(row[order], np.arange(part.stop - start))
        best = order[first[:, None] + np.arange(k)]  # each row has at least its k nearest
        ranking[part], score[part] = column[best], 1 - distance[best]
    return ranking, score


def candidate_pairs(
    weights_BM: sparse.csr_matrix, stored_NM: sparse.csc_matrix, near_BK: NDArray[np.int64], memory: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the database images that may be among the first k of some queries.

    These are the images that share a neighbour with a query, and its k nearest images.

    Args:
        weights_BM: neighbourhoods of the queries.
        stored_NM: neighbourhoods of the database images, by columns.
        near_BK: the k nearest database images of each query.
        memory: bytes of the working set.

    Returns:
        Arrays of equal length: row, column (each pair once, ordered by row and column), rank among the k nearest (k if
        it is not among them), and sum_l min(v_query[l], v_column[l]).
    """
    height, k = near_BK.shape
    shape = height, stored_NM.shape[0]
    shared = sparse.csr_matrix(shape)
    for row, column, least in shared_members(weights_BM, stored_NM, memory):
        shared = shared + sparse.coo_matrix((least, (row, column)), shape).tocsr()
    shared = shared.tocoo()
    near = np.arange(height)[:, None] * shape[1] + near_BK
    sharing = shared.row.astype(np.int64) * shape[1] + shared.col
    key, place = np.unique(np.concatenate([sharing, near.ravel()]), return_inverse=True)
    value, rank = np.zeros(len(key)), np.full(len(key), k)
    value[place[: shared.nnz]] = shared.data
    rank[place[shared.nnz :]] = np.tile(np.arange(k), height)
    return key // shape[1], key % shape[1], rank, value
