"""Alpha query expansion: Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation" (2019)."""

import numpy as np
from scipy import sparse

from vprlib.config import RerankConfig
from vprlib.retrieval.descriptor_reader import as_finite_float32, iter_blocks
from vprlib.retrieval.exact_search import nearest


def alpha_qe(query_QD, database_ND, k: int, *, settings: RerankConfig) -> tuple:
    """Search again with q + sum_i max(q.x_i, 0)^alpha x_i over the query's nearest images x_i, normalised.

    A negative similarity, which the paper's power leaves open, counts as none.

    Args:
        query_QD: (Q, D), unit rows.
        database_ND: (N, D), unit rows, an array or an HDF5 dataset; read by block, twice and once more.
        k: at most N are returned.
        settings: its `neighbours` and `alpha`.

    Returns:
        (ranking_QK int64, score_QK float32): dot products with the expanded queries.

    Raises:
        InputError: as `nearest`.
    """
    ranking, score = nearest(query_QD, database_ND, settings.neighbours)
    count, near = len(ranking), ranking.shape[1]
    weights = np.maximum(score, 0) ** np.float32(settings.alpha)
    weights_QN = sparse.csr_matrix(
        (weights.ravel(), ranking.ravel(), np.arange(0, count * near + 1, near)), (count, len(database_ND))
    ).tocsc()
    expanded_QD = as_finite_float32(query_QD[:], "the queries").copy()
    for start, rows in iter_blocks(database_ND, "the database"):
        expanded_QD += weights_QN[:, start : start + len(rows)] @ rows
    expanded_QD /= np.maximum(np.linalg.norm(expanded_QD, axis=1, keepdims=True), 1e-12)
    return nearest(expanded_QD, database_ND, k)
