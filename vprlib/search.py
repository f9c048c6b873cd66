"""Exact nearest neighbours by faiss."""

import itertools
import mmap

import numpy as np

from vprlib import files
from vprlib.datasets.base import EVERYWHERE, read_table, select
from vprlib.files import BadInput

BLOCK = 1 << 25  # values of the database held as float32: 128 MB
QUERIES = 1024  # ranked at once


def nearest(query_QD, database_ND, k: int, *, block: int | None = None) -> tuple:
    """The k database rows with the largest dot product with each query: for unit rows, the nearest.

    Args:
        query_QD: (Q, D) float16 or float32.
        database_ND: (N, D), an array or an HDF5 dataset, read `block` rows at a time as float32.
        k: at most N are returned.
        block: rows; by default 128 MB of them.

    Returns:
        (ranking_QK int64, score_QK float32), K = min(k, N); of equal scores the lower index comes first.

    Raises:
        BadInput: the database is empty, the widths differ, or a value is not finite.
    """
    if not len(database_ND):
        raise BadInput("search: the database has no descriptor")
    if database_ND.shape[1] != query_QD.shape[1]:
        raise BadInput(f"search: queries are {query_QD.shape[1]}-D, the database is {database_ND.shape[1]}-D")
    count, width = database_ND.shape
    block, k = block or max(1, BLOCK // width), min(k, count)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    ranking = np.full((len(query_QD), k), -1, np.int64)
    for start in range(0, count, block):
        rows = finite(database_ND[start : start + block], "the database")
        for first in range(0, len(query_QD), QUERIES):
            some = slice(first, first + QUERIES)
            more, index = top(finite(query_QD[some], "a query"), rows, min(k, len(rows)))
            if not start and more.shape[1] == k:
                score[some], ranking[some] = more, index
                continue
            both = np.concatenate([score[some], more], axis=1)
            order = np.argsort(-both, axis=1, kind="stable")[:, :k]  # of equals the earlier block comes first
            score[some] = np.take_along_axis(both, order, 1)
            ranking[some] = np.take_along_axis(np.concatenate([ranking[some], index + start], axis=1), order, 1)
        del rows  # or the next block is read beside it
    return ranking, score


def top(query_QD, rows_ND, k: int) -> tuple:
    """(scores, indices) of the k best rows of each query, by falling score, then rising index.

    faiss leaves open the order of equal scores and which of them it keeps at the cut: queries with such scores are
    sorted here, and asked again, deeper, where they lie at the cut.
    """
    import faiss

    # faiss' own threshold (queries x D) sends small batches down a path 10 times slower than its matrix product
    faiss.cvar.distance_compute_blas_threshold = 20
    faiss.cvar.distance_compute_blas_database_bs = 4096
    deep = min(k + 1, len(rows_ND))
    score, index = faiss.knn(query_QD, rows_ND, deep, metric=faiss.METRIC_INNER_PRODUCT)
    tied = np.flatnonzero((score[:, 1:] == score[:, :-1]).any(1))
    if len(tied):
        order = np.lexsort((index[tied], -score[tied]))
        index[tied] = np.take_along_axis(index[tied], order, 1)
        cut = tied[score[tied, k - 1] == score[tied, -1]] if deep > k else tied[:0]
        if len(cut):
            deeper = top(query_QD[cut], rows_ND, min(2 * k, len(rows_ND)))
            score[cut, :k], index[cut, :k] = deeper[0][:, :k], deeper[1][:, :k]
    return score[:, :k], index[:, :k]


def finite(x_ND, whose: str) -> np.ndarray:
    """Contiguous float32 rows.

    Raises:
        BadInput: if a value is not finite.
    """
    x_ND = np.ascontiguousarray(x_ND)
    if x_ND.dtype != np.float32 and x_ND.size:
        # memory of our own: numpy asks the kernel for huge pages, and waiting for them takes longer than converting
        held_ND = np.frombuffer(mmap.mmap(-1, 4 * x_ND.size), np.float32).reshape(x_ND.shape)
        held_ND[:] = x_ND
        x_ND = held_ND
    sums_N = x_ND @ np.ones(x_ND.shape[1], np.float32)  # one pass at memory speed, and no (N, D) mask
    if not np.isfinite(sums_N).all():
        raise BadInput(f"search: a descriptor of {whose} is not finite")
    return x_ND


def search(out, *, database, queries, images, depth: int, scopes: list):
    """Rank the database for every query and kind of descriptor; write `<scope>/<kind>/ranking`, `score` and `dim`.

    Args:
        scopes: as `Protocol.scope` names them. EVERYWHERE, or a column of the image table `images`: a query is then
            searched among the database images that agree with it there (MSLS: its city), and -1 and -inf pad the rows
            of those that have fewer than `depth`. Then maybe `@` and how the queries' photos were fitted.
    """
    import h5py

    table = read_table(images)
    asked, stored = select(table, "test", "query"), select(table, "test", "database")
    with h5py.File(database, "r") as file, h5py.File(queries, "r") as wanted:
        arrays = {}
        for kind, scope in itertools.product(file, scopes):
            column, at, framing = scope.partition("@")
            parts = [] if column == EVERYWHERE else [np.asarray(table[column]) for table in (asked, stored)]
            ranking, score = nearest_crop(wanted[kind + at + framing], file[kind], depth, *parts)
            arrays |= {f"{scope}/{kind}/ranking": ranking, f"{scope}/{kind}/score": score}
            arrays[f"{scope}/{kind}/dim"] = file[kind].shape[1]
        files.write_h5(out, arrays, dict(file.attrs))


def nearest_crop(query, database_ND, k: int, *parts) -> tuple:
    """As `nearest_within`, of queries (Q, D), or of their crops (Q, C, D): a row's score is then its best crop's."""
    if len(query.shape) == 2:
        return nearest_within(query, database_ND, k, *parts)
    found = [nearest_within(query[:, crop], database_ND, k, *parts) for crop in range(query.shape[1])]
    ranking, score = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
    best = np.full_like(ranking, -1), np.full_like(score, -np.inf)
    for q, (rows, scores) in enumerate(zip(ranking, score, strict=True)):
        order = np.lexsort((rows, -scores))
        first = np.sort(np.unique(rows[order], return_index=True)[1])
        kept = order[first][rows[order[first]] >= 0]
        for array, values in zip(best, (rows[kept], scores[kept]), strict=True):
            array[q, : len(kept)] = values
    return tuple(array[:, : min(k, len(database_ND))] for array in best)


def nearest_within(query_QD, database_ND, k: int, query_part=None, database_part=None) -> tuple:
    """As `nearest`; with parts, of each query among the database rows whose part equals its own, -1 and -inf pad."""
    if query_part is None:
        return nearest(query_QD, database_ND, k)
    k = min(k, len(database_ND))
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for part in np.unique(query_part):
        some, rows = np.flatnonzero(query_part == part), np.flatnonzero(database_part == part)
        if len(rows):
            found, near = nearest(query_QD[some], database_ND[rows], k)
            ranking[some, : found.shape[1]], score[some, : found.shape[1]] = rows[found], near
    return ranking, score
