"""Exact nearest neighbours by faiss."""

import numpy as np

from vprlib import files
from vprlib.files import BadInput


def nearest(query_QD, database_ND, k: int, *, block: int = 65_536) -> tuple:
    """The k database rows with the largest dot product with each query: for unit rows, the nearest.

    Args:
        query_QD: (Q, D) float16 or float32.
        database_ND: (N, D), an array or an HDF5 dataset, read `block` rows at a time as float32.
        k: at most N are returned.

    Returns:
        (ranking_QK int64, score_QK float32), K = min(k, N); of equal scores the lower index comes first.

    Raises:
        BadInput: the database is empty, the widths differ, or a value is not finite.
    """
    import faiss

    query_QD = np.ascontiguousarray(query_QD, np.float32)
    if not len(database_ND):
        raise BadInput("search: the database has no descriptor")
    if database_ND.shape[1] != query_QD.shape[1]:
        raise BadInput(f"search: queries are {query_QD.shape[1]}-D, the database is {database_ND.shape[1]}-D")
    if not np.isfinite(query_QD).all():
        raise BadInput("search: a descriptor of a query is not finite")
    # faiss' own threshold (queries x D) sends small batches down a path 10 times slower than its matrix product
    faiss.cvar.distance_compute_blas_threshold = 20
    k = min(k, len(database_ND))
    score = np.full((len(query_QD), 0), -np.inf, np.float32)
    ranking = np.empty((len(query_QD), 0), np.int64)
    for start in range(0, len(database_ND), block):
        rows = np.ascontiguousarray(database_ND[start : start + block], np.float32)
        if not np.isfinite(rows).all():
            raise BadInput("search: a descriptor of the database is not finite")
        products, numbers = _knn(query_QD, rows, min(k, len(rows)))
        score = np.concatenate([score, products], axis=1)
        ranking = np.concatenate([ranking, numbers + start], axis=1)
        order = np.lexsort((ranking, -score))[:, :k]
        score, ranking = np.take_along_axis(score, order, 1), np.take_along_axis(ranking, order, 1)
    return ranking, score


def _knn(query_QD, rows_ND, k: int) -> tuple:
    """faiss keeps any of the rows that tie for the k-th place: where there are such, take all and the lowest."""
    import faiss

    def knn(queries, k):
        return faiss.knn(queries, rows_ND, k, metric=faiss.METRIC_INNER_PRODUCT)

    more = min(k + 1, len(rows_ND))
    score, ranking = knn(query_QD, more)
    if more > k:
        for tied in np.flatnonzero(score[:, k - 1] == score[:, k]):
            products, numbers = (x[0] for x in knn(query_QD[tied : tied + 1], len(rows_ND)))
            order = np.lexsort((numbers, -products))[:more]
            score[tied], ranking[tied] = products[order], numbers[order]
    return score[:, :k], ranking[:, :k]


def search(out, *, database, queries, depth: int):
    """Rank the database for every query and kind of descriptor; write `<kind>/ranking` and `<kind>/score`."""
    import h5py

    with h5py.File(database, "r") as file, h5py.File(queries, "r") as asked:
        arrays = {}
        for kind in file:
            ranking, score = nearest(asked[kind][:], file[kind], depth)
            arrays |= {f"{kind}/ranking": ranking, f"{kind}/score": score}
            arrays[f"{kind}/dim"] = file[kind].shape[1]
        files.write_h5(out, arrays, dict(file.attrs))
