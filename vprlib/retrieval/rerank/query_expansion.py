"""Alpha query expansion: Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation" (2019).

Axes: Q queries, N database images, K candidates, D dimensions.
"""

from typing import Annotated

import numpy as np
from scipy import sparse

from vprlib.retrieval.descriptor_reader import Descriptors, as_finite_float32, iter_blocks
from vprlib.retrieval.exact_search import Ranking, nearest


def alpha_qe(
    query_QD: Descriptors,
    database_ND: Descriptors,
    k: int,
    *,
    neighbours: Annotated[int, ">= 1"] = 10,
    alpha: Annotated[float, ">= 0"] = 3.0,
) -> Ranking:
    """Search again with q + sum_i max(q.x_i, 0)^alpha x_i over the query's nearest images x_i, normalised.

    The paper's power is not defined for a negative similarity, which counts as zero here.

    Args:
        query_QD: (Q, D), unit rows.
        database_ND: (N, D), unit rows, an array or an HDF5 dataset; it is read by block, in two searches and
            once in between.
        k: number of candidates per query; at most N are returned.
        neighbours: number of nearest images that expand a query.
        alpha: power of the similarity that weights them.

    Returns:
        (ranking_QK int64, score_QK float32): scores are dot products with the expanded queries.

    Raises:
        InputError: as `nearest`.
    """
    ranking, score = nearest(query_QD, database_ND, neighbours)
    count, near = ranking.shape
    weights = np.maximum(score, 0) ** np.float32(alpha)
    weights_QN = sparse.csr_matrix(
        (weights.ravel(), ranking.ravel(), np.arange(0, count * near + 1, near)), (count, len(database_ND))
    ).tocsc()
    expanded_QD = as_finite_float32(query_QD[:], "the queries").copy()
    for start, rows in iter_blocks(database_ND, "the database"):
        expanded_QD += weights_QN[:, start : start + len(rows)] @ rows
    expanded_QD /= np.maximum(np.linalg.norm(expanded_QD, axis=1, keepdims=True), 1e-12)
    return nearest(expanded_QD, database_ND, k)
