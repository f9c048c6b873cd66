"""k-reciprocal re-ranking: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding" (2017).

OpenIBL re-ranks with k1 25, k2 1 and weight 0, on dense matrices of (Q + N)^2 floats (34 GB for Pitts250k); here they
are sparse. Departs from it in what is left open: images that share no neighbour with a query are all at Jaccard
distance 1, and OpenIBL's sort orders those as it pleases; here they stay in the order of the descriptors.
"""

import numpy as np
from scipy import sparse

from vprlib.config import RerankConfig
from vprlib.retrieval.exact_search import nearest
from vprlib.retrieval.k_reciprocal_graph import ConcatenatedDescriptors, neighbourhoods, pair_distances, shared_members

ROWS = 256  # queries whose shared neighbours are held at once
MEMORY = 1 << 30


def k_reciprocal(query_QD, database_ND, k: int, *, settings: RerankConfig, memory: int = MEMORY) -> tuple:
    """Rank by (1 - weight) Jaccard distance of k-reciprocal neighbours + weight original distance (eq. 12).

    The original distance is the squared Euclidean one over its largest in the query's row, as in the authors' code.
    Only two kinds of images can be among the first k: those that share a neighbour with the query, and its k nearest.

    Args:
        query_QD: (Q, D), unit rows.
        database_ND: (N, D), unit rows, an array or an HDF5 dataset; queries and database are held as float32 if they
            take no more than `memory`, or are read by block, once for each block of rows that fits.
        k: at most N are returned.
        settings: its `k1`, `k2` and `weight`.
        memory: bytes that the working set may take above descriptors that are held and the neighbour lists.

    Returns:
        (ranking_QK int64, score_QK float32): 1 - distance. Of equal scores the one that is nearer by the descriptors
        comes first if it is among the k nearest, then the lower index.

    Raises:
        InputError: as `nearest`.
    """
    near_QK, _ = nearest(query_QD, database_ND, k)
    queries, k = near_QK.shape
    x_MD = ConcatenatedDescriptors(query_QD, database_ND)
    if 4 * len(x_MD) * x_MD.shape[1] <= memory:
        x_MD = x_MD[:]
    v, largest_M = neighbourhoods(x_MD, settings.k1, settings.k2, memory=memory)
    stored = v[queries:].tocsc()
    ranking, score = np.empty((queries, k), np.int64), np.empty((queries, k), np.float32)
    for start in range(0, queries, ROWS):
        some = slice(start, min(start + ROWS, queries))
        row, column, rank, shared = candidate_pairs(v[some], stored, near_QK[some], memory)
        distance = (1 - settings.weight) * (1 - shared / (2 - shared))
        if settings.weight:
            original = pair_distances(x_MD, start + row, queries + column, memory) / largest_M[start + row]
            distance += settings.weight * original
        order = np.lexsort((column, rank, distance, row))
        first = np.searchsorted(row[order], np.arange(some.stop - start))
        chosen = order[first[:, None] + np.arange(k)]  # each row has at least its k nearest
        ranking[some], score[some] = column[chosen], 1 - distance[chosen]
    return ranking, score


def candidate_pairs(asked, stored, near_BK, memory: int) -> tuple:
    """What may be among the first k of some queries: those that share a neighbour, and the k nearest.

    Returns:
        arrays of equal length: row, column (each pair once, by row and column), rank among the k nearest (k if not
        there), and sum_l min(v_query[l], v_column[l]).
    """
    height, k = near_BK.shape
    shape = height, stored.shape[0]
    shared = sparse.csr_matrix(shape)
    for row, column, least in shared_members(asked, stored, memory):
        shared = shared + sparse.coo_matrix((least, (row, column)), shape).tocsr()
    shared = shared.tocoo()
    near = np.arange(height)[:, None] * shape[1] + near_BK
    found = shared.row.astype(np.int64) * shape[1] + shared.col
    key, place = np.unique(np.concatenate([found, near.ravel()]), return_inverse=True)
    value, rank = np.zeros(len(key)), np.full(len(key), k)
    value[place[: shared.nnz]] = shared.data
    rank[place[shared.nnz :]] = np.tile(np.arange(k), height)
    return key // shape[1], key % shape[1], rank, value
