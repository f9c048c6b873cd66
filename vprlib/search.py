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
    ranking = np.empty((len(query_QD), 0), np.int64)
    score = np.empty((len(query_QD), 0), np.float32)
    for start in range(0, count, block):
        rows = finite(database_ND[start : start + block], "the database", start)
        held = ranking, score
        ranking, score = (np.empty((len(query_QD), min(k, start + len(rows))), x.dtype) for x in held)
        for first in range(0, len(query_QD), QUERIES):
            some = slice(first, first + QUERIES)
            more, index = top(finite(query_QD[some], "the queries", first), rows, min(k, len(rows)))
            parts = [(held[0][some], held[1][some]), (index + start, more)]
            ranking[some], score[some] = merge_rankings(parts if start else parts[1:], k)
        del rows  # or the next block is read beside it
    return ranking, score


def merge_rankings(parts: list, k: int) -> tuple:
    """The k best of several rankings of the same queries: those of a database in parts are that of the whole one.

    Args:
        parts: (ranking_QK, score_QK) of each part, as `nearest` gives them but with the indices of the whole database:
            the parts in its order, so that all indices of one lie below those of the next. -1 and -inf pad.
        k: of fewer candidates in all, all are returned.

    Returns:
        (ranking_QK int64, score_QK float32), by falling score, then rising index, padding last.

    Raises:
        ValueError: the parts rank different numbers of queries.
    """
    if len({len(ranking) for ranking, _ in parts}) > 1:
        raise ValueError("rankings of different numbers of queries cannot be merged")
    if len(parts) == 1:
        return tuple(part[:, :k] for part in parts[0])
    ranking, score = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]  # of equals the earlier part comes first
    return np.take_along_axis(ranking, order, 1), np.take_along_axis(score, order, 1)


def top(query_QD, rows_ND, k: int) -> tuple:
    """(scores, indices) of the k best rows of each query, by falling score, then rising index."""
    import faiss

    # faiss' own threshold (queries x D) sends small batches down a path 10 times slower than its matrix product
    faiss.cvar.distance_compute_blas_threshold = 20
    faiss.cvar.distance_compute_blas_database_bs = 4096

    def find(query_QD, deep):
        return faiss.knn(query_QD, rows_ND, deep, metric=faiss.METRIC_INNER_PRODUCT)

    return settled(find, query_QD, len(rows_ND), k)


def settled(find, query_QD, count: int, k: int) -> tuple:
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
            deeper = settled(find, query_QD[cut], count, min(2 * k, count))
            score[cut, :k], index[cut, :k] = deeper[0][:, :k], deeper[1][:, :k]
    return score[:, :k], index[:, :k]


def finite(x_ND, whose: str, first: int = 0) -> np.ndarray:
    """Contiguous float32 rows, of which the first has number `first` in its file.

    Raises:
        BadInput: if a value is not finite, naming the rows.
    """
    x_ND = np.ascontiguousarray(x_ND)
    if x_ND.dtype != np.float32 and x_ND.size:
        # memory of our own: numpy asks the kernel for huge pages, and waiting for them takes longer than converting
        held_ND = np.frombuffer(mmap.mmap(-1, 4 * x_ND.size), np.float32).reshape(x_ND.shape)
        held_ND[:] = x_ND
        x_ND = held_ND
    sums_N = x_ND @ np.ones(x_ND.shape[1], np.float32)  # one pass at memory speed, and no (N, D) mask
    bad = first + np.flatnonzero(~np.isfinite(sums_N))
    if len(bad):
        named = ", ".join(map(str, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise BadInput(
            f"search: descriptors of {whose} are not finite: numbers {named} (from 0); run `snakemake -R extract`"
        )
    return x_ND


def search(out, *, database, queries, images, depth: int, scopes: list, kinds=None, rank=nearest, attributes=()):
    """Rank the database for every query and kind of descriptor; write `<scope>/<kind>/ranking`, `score` and `dim`.

    Args:
        scopes: as `Protocol.scope` names them. EVERYWHERE, or a column of the image table `images`: a query is then
            searched among the database images that agree with it there (MSLS: its city), and -1 and -inf pad the rows
            of those that have fewer than `depth`. Then maybe `@` and how the queries' photos were fitted.
        kinds: of descriptors; by default all that the database file holds.
        rank: what ranks, with the contract of `nearest`: (queries, database, depth) -> (ranking, score).
        attributes: of the file, beside the descriptors' own.
    """
    import h5py

    table = read_table(images)
    asked, stored = select(table, "test", "query"), select(table, "test", "database")
    with h5py.File(database, "r") as file, h5py.File(queries, "r") as wanted:
        arrays = {}
        for kind, scope in itertools.product(kinds or file, scopes):
            column, at, framing = scope.partition("@")
            parts = [] if column == EVERYWHERE else [np.asarray(table[column]) for table in (asked, stored)]
            ranking, score = nearest_crop(wanted[kind + at + framing], file[kind], depth, *parts, rank=rank)
            arrays |= {f"{scope}/{kind}/ranking": ranking, f"{scope}/{kind}/score": score}
            arrays[f"{scope}/{kind}/dim"] = file[kind].shape[1]
        files.write_h5(out, arrays, dict(file.attrs) | dict(attributes))


def nearest_crop(query, database_ND, k: int, *parts, rank=nearest) -> tuple:
    """As `nearest_within`, of queries (Q, D), or of their crops (Q, C, D): a row's score is then its best crop's."""
    if len(query.shape) == 2:
        return nearest_within(query, database_ND, k, *parts, rank=rank)
    found = [nearest_within(query[:, crop], database_ND, k, *parts, rank=rank) for crop in range(query.shape[1])]
    ranking, score = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
    best = np.full_like(ranking, -1), np.full_like(score, -np.inf)
    for q, (rows, scores) in enumerate(zip(ranking, score, strict=True)):
        order = np.lexsort((rows, -scores))
        first = np.sort(np.unique(rows[order], return_index=True)[1])
        kept = order[first][rows[order[first]] >= 0]
        for array, values in zip(best, (rows[kept], scores[kept]), strict=True):
            array[q, : len(kept)] = values
    return tuple(array[:, : min(k, len(database_ND))] for array in best)


def nearest_within(query_QD, database_ND, k: int, query_part=None, database_part=None, *, rank=nearest) -> tuple:
    """As `rank`; with parts, of each query among the database rows whose part equals its own, -1 and -inf pad."""
    if query_part is None:
        return rank(query_QD, database_ND, k)
    k = min(k, len(database_ND))
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for part in np.unique(query_part):
        some, rows = np.flatnonzero(query_part == part), np.flatnonzero(database_part == part)
        if len(rows):
            found, near = rank(query_QD[some], database_ND[rows], k)
            ranking[some, : found.shape[1]] = np.where(found >= 0, rows[found], -1)
            score[some, : found.shape[1]] = near
    return ranking, score
