"""Exact nearest neighbours, on a CPU by faiss or on a GPU, and the rankings of whole files.

Matrix products sum in an order that depends on the processor, the library and even on where a row lies in a block, so
their last digits differ. They choose candidates only; scores are dot products in float64, rounded to float32. Of
descriptors stored as float16 these are exact, so the same files give the same ranking, to the bit, on every machine,
in one block or many, in one job or many.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from vprlib import files
from vprlib.datasets.base import EVERYWHERE, read_table, select
from vprlib.files import BadInput
from vprlib.rows import BLOCK, Rows, blocks, finite

QUERIES = 1024  # ranked at once
SPARE = 8  # candidates above k
ERROR = 4e-6  # of a float32 product of unit rows, with room to spare
PRODUCTS = 1 << 26  # float32 values held at once on a device: 256 MB
TOGETHER, GATHERED = 64, 1 << 15  # queries, and values, that a thread scores at once: these fit into its cache


def nearest(query_QD, database_ND, k: int, *, block: int | None = None, device=None) -> tuple:
    """The k database rows with the largest dot product with each query: for unit rows, the nearest.

    Args:
        query_QD: (Q, D) float16 or float32.
        database_ND: (N, D), an array, an HDF5 dataset or `rows.Rows`, read `block` rows at a time as float32, twice
            if they are more than that.
        k: at most N are returned.
        block: rows; by default 128 MB of them.
        device: of torch, to choose candidates there; by default faiss does it on the CPU.

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
    if count <= block:
        database_ND = finite(database_ND[:], "the database")
    place, top = on_device(device) if device else (lambda rows: rows, top_of_faiss)
    ranking, rough = shortlist(query_QD, database_ND, min(k + SPARE, count), block, place, top)
    score = scores(query_QD, database_ND, ranking, block)
    order = np.lexsort((ranking, -score))[:, :k]
    last, lowest = np.take_along_axis(score, order, 1)[:, -1:], rough[:, -1:]
    ranking, score = np.take_along_axis(ranking, order, 1), np.take_along_axis(score, order, 1)
    # a row that was left out may belong to these if the last candidate's product is not clearly below the k-th score
    unsure = np.flatnonzero(lowest > last - ERROR) if rough.shape[1] < count else []
    if len(unsure):
        ranking[unsure], score[unsure] = by_sorting(query_QD[unsure], database_ND, k, block)
    return ranking, score


def shortlist(query_QD, database_ND, deep: int, block: int, place, top) -> tuple:
    """(ranking, product), (Q, deep): the rows with the largest float32 products, in falling order."""
    ranking = np.empty((len(query_QD), 0), np.int64)
    score = np.empty((len(query_QD), 0), np.float32)
    for start, rows in blocks(database_ND, "the database", block):
        held, placed = (ranking, score), place(rows)
        ranking, score = (np.empty((len(query_QD), min(deep, start + len(rows))), x.dtype) for x in held)
        for first, query in blocks(query_QD, "the queries", QUERIES):
            some = slice(first, first + len(query))
            more, index = top(query, placed, min(deep, len(rows)))
            parts = [(held[0][some], held[1][some]), (index + start, more)]
            ranking[some], score[some] = merge_rankings(parts if start else parts[1:], deep)
    return ranking, score


def top_of_faiss(query_QD, rows_ND, k: int) -> tuple:
    """(products, indices) of the k rows with the largest products with each query, in falling order."""
    import faiss

    # faiss' own threshold (queries x D) sends small batches down a path 10 times slower than its matrix product
    faiss.cvar.distance_compute_blas_threshold = 20
    faiss.cvar.distance_compute_blas_database_bs = 4096
    return faiss.knn(query_QD, rows_ND, k, metric=faiss.METRIC_INNER_PRODUCT)


def on_device(device) -> tuple:
    """What puts rows on a torch device, and what does `top_of_faiss`' work there, with 256 MB of products at once."""
    import torch

    def place(rows_ND):
        return torch.from_numpy(rows_ND).to(device)

    def top(query_QD, rows_ND, k: int) -> tuple:
        parts = place(query_QD).split(max(1, PRODUCTS // len(rows_ND)))
        found = [torch.topk(part @ rows_ND.T, k) for part in parts]
        return tuple(torch.cat(column).cpu().numpy() for column in zip(*found, strict=True))

    return place, top


def scores(query_QD, database_ND, ranking_QK, block: int) -> np.ndarray:
    """The dot products of queries with the rows of their rankings, (Q, K) float32."""
    import faiss

    score_QK = np.empty(ranking_QK.shape, np.float32)
    with ThreadPoolExecutor(faiss.omp_get_max_threads()) as pool:
        for start, rows in blocks(database_ND, "the database", block):
            whole = len(rows) == len(database_ND)

            def score(first, start=start, rows=rows, whole=whole):
                for query, query_D in enumerate(query_QD[first : first + TOGETHER], first):
                    place = ranking_QK[query] - start
                    inside = slice(None) if whole else np.flatnonzero((place >= 0) & (place < len(rows)))
                    score_QK[query, inside] = products(query_D, rows, place[inside])

            for _ in pool.map(score, range(0, len(query_QD), TOGETHER)):
                pass
    return score_QK


def products(query_D, rows_ND, some) -> np.ndarray:
    """The dot products of a query with some rows, (n,) float32, by the precision that the module's text tells of."""
    query_D, size = np.asarray(query_D, np.float64), max(1, GATHERED // len(query_D))
    if len(some) <= size:
        return (rows_ND[some].astype(np.float64) @ query_D).astype(np.float32)
    parts = [some[start : start + size] for start in range(0, len(some), size)]
    found = [np.asarray(rows_ND[part], np.float32).astype(np.float64) @ query_D for part in parts]
    return np.concatenate([np.empty(0), *found]).astype(np.float32)


def by_sorting(query_QD, database_ND, k: int, block: int) -> tuple:
    """As `nearest`, by sorting all scores: of queries for which too many rows are alike to choose candidates."""
    parts, size = [], max(1, PRODUCTS // 16 // block)
    for first in range(0, len(query_QD), size):
        query, found = query_QD[first : first + size].astype(np.float64), None
        for start, rows in blocks(database_ND, "the database", block):
            score = (query @ rows.astype(np.float64).T).astype(np.float32)
            order = np.argsort(-score, axis=1, kind="stable")[:, :k]
            more = order + start, np.take_along_axis(score, order, 1)
            found = merge_rankings([found, more] if found else [more], k)
        parts.append(found)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


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


def search(
    out,
    *,
    database,
    queries,
    images,
    depth: int,
    scopes: list,
    kinds=None,
    rank=nearest,
    attributes=(),
    shard: int = 0,
    shards: int = 1,
):
    """Rank the database for every query and kind of descriptor; write `<scope>/<kind>/ranking`, `score` and `dim`.

    Args:
        scopes: as `Protocol.scope` names them. EVERYWHERE, or a column of the image table `images`: a query is then
            searched among the database images that agree with it there (MSLS: its city), and -1 and -inf pad the rows
            of those that have fewer than `depth`. Then maybe `@` and how the queries' photos were fitted.
        kinds: of descriptors; by default all that the database file holds.
        rank: what ranks, with the contract of `nearest`: (queries, database, depth) -> (ranking, score).
        attributes: of the file, beside the descriptors' own.
        shard, shards: only the part of the database with this number, from 0, is ranked; indices are the whole one's.

    Raises:
        BadInput: there are more shards than photos; and as `rank`.
    """
    import h5py

    table = read_table(images)
    asked, stored = select(table, "test", "query"), select(table, "test", "database")
    if shards > max(1, len(stored)):
        raise BadInput(f"search.shards: {shards} shards of a database of {len(stored)} photos; use at most that many")
    first, last = (len(stored) * number // shards for number in (shard, shard + 1))
    with h5py.File(database, "r") as file, h5py.File(queries, "r") as wanted:
        arrays = {}
        for kind, scope in itertools.product(kinds or file, scopes):
            column, at, framing = scope.partition("@")
            parts = [] if column == EVERYWHERE else [np.asarray(table[column]) for table in (asked, stored[first:last])]
            part = file[kind]
            if shards > 1:
                part = Rows(part, range(first, last), f"{kind}.{shard + 1}-of-{shards}")
            ranking, score = nearest_crop(wanted[kind + at + framing], part, depth, *parts, rank=rank)
            arrays |= {f"{scope}/{kind}/ranking": np.where(ranking < 0, -1, ranking + first)}
            arrays |= {f"{scope}/{kind}/score": score, f"{scope}/{kind}/dim": part.shape[1]}
        files.write_h5(out, arrays, dict(sorted((dict(file.attrs) | dict(attributes)).items())))


def join(out, shards: list, depth: int):
    """Join the rankings that `search` made of the shards of a database, in order, into that of the whole one.

    Raises:
        BadInput: they were made from different descriptors.
    """
    import h5py

    with ExitStack() as stack:
        opened = [stack.enter_context(h5py.File(path, "r")) for path in shards]
        attributes = dict(opened[0].attrs)
        for path, file in zip(shards, opened, strict=True):
            if dict(file.attrs) != attributes:
                raise BadInput(
                    f"{path}: was made from other descriptors than {shards[0]}; run `snakemake -R search_shard`"
                )
        arrays = {}
        for kind, scope in itertools.product(next(iter(opened[0].values())), opened[0]):
            found = [file[scope][kind] for file in opened]
            ranking, score = merge_rankings([(part["ranking"][:], part["score"][:]) for part in found], depth)
            arrays |= {f"{scope}/{kind}/ranking": ranking, f"{scope}/{kind}/score": score}
            arrays[f"{scope}/{kind}/dim"] = int(found[0]["dim"][()])
        files.write_h5(out, arrays, attributes)


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
    """As `rank`; with parts, of each query among the database rows whose part equals its own, -1 and -inf pad.

    A part's rows are read as `rank` reads them, by block: nothing is copied before.
    """
    if query_part is None:
        return rank(query_QD, database_ND, k)
    k = min(k, len(database_ND))
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for part in np.unique(query_part):
        some, rows = np.flatnonzero(query_part == part), np.flatnonzero(database_part == part)
        if len(rows):
            found, near = rank(Rows(query_QD, some), Rows(database_ND, rows), k)
            ranking[some, : found.shape[1]] = np.where(found >= 0, rows[found], -1)
            score[some, : found.shape[1]] = near
    return ranking, score
