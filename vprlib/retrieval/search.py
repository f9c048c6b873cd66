"""Exact nearest neighbours, on a CPU or a GPU, and the rankings of whole files.

Matrix products sum in an order that depends on the processor, the library and even on where a row lies in a block, so
their last digits differ. They choose candidates only; scores are dot products in float64, rounded to float32. Of
descriptors stored as float16 these are exact, so the same files give the same ranking, to the bit, on every machine,
in one block or many, in one job or many.
"""

import itertools
from contextlib import ExitStack

import numpy as np

from vprlib.compute.threads import in_shares
from vprlib.data.dataset import EVERYWHERE, read_table, select
from vprlib.io import files
from vprlib.io.files import BadInput
from vprlib.retrieval.descriptor_reader import BLOCK, Rows, blocks

QUERIES, ROWS = 1024, 1024  # multiplied at once by a thread: 4 MB of products
TURN = 1 << 23  # values of queries held as float32 by all threads at most: 32 MB
SPARE = 8  # candidates above k
ERROR = 2e-5  # of a float32 product, with room to spare, where the product of the lengths is 1; 7e-6 was seen
PRODUCTS = 1 << 26  # float32 values held at once on a device: 256 MB
TOGETHER, GATHERED = 256, 1 << 19  # queries, and values of rows, that a thread scores at once


def nearest(query_QD, database_ND, k: int, *, block: int | None = None, device=None) -> tuple:
    """The k database rows with the largest dot product with each query: for unit rows, the nearest.

    Args:
        query_QD: (Q, D) float16 or float32.
        database_ND: (N, D), an array, an HDF5 dataset or `rows.Rows`, read `block` rows at a time as float32, twice
            if they are more than that.
        k: at most N are returned.
        block: rows; by default 128 MB of them.
        device: of torch, to choose candidates there; by default on the CPU, by as many threads as faiss may use.

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
        _, database_ND = next(blocks(database_ND, "the database", block))
    ranking, rough = shortlist(query_QD, database_ND, min(k + SPARE, count), block, device)
    ranking, score = scored(query_QD, database_ND, ranking, block)
    ranking, score = ranking[:, :k], score[:, :k]
    # a row that was left out may belong to these if the least candidate's product is not clearly below the k-th score
    unsure = []
    if k and len(rough) and rough.shape[1] < count:
        last = score[:, -1].astype(np.float64)
        unsure = np.flatnonzero(rough.min(1) > last - ERROR * np.maximum(1, np.abs(last)))
    if len(unsure):
        ranking[unsure], score[unsure] = by_sorting(query_QD[unsure], database_ND, k, block)
    return ranking, score


def shortlist(query_QD, database_ND, deep: int, block: int, device=None) -> tuple:
    """(ranking, product), (Q, deep), in no order: the rows with the largest float32 products with each query."""
    import faiss

    ranking = np.full((len(query_QD), deep), -1)
    product = np.full((len(query_QD), deep), -np.inf, np.float32)
    most = min(QUERIES, max(1, TURN // query_QD.shape[1] // faiss.omp_get_max_threads()))
    for start, rows in blocks(database_ND, "the database", block):
        improve = on_device(rows, start, device) if device else on_cpu(rows, start)

        def search(first, last, improve=improve):
            turns = max(1, -(-(last - first) // most))
            size = max(1, -(-(last - first) // turns))
            for query, query_BD in blocks(query_QD, "the queries", size, first=first, last=last):
                some = slice(query, query + len(query_BD))
                improve(query_BD, ranking[some], product[some])

        in_shares(search, len(query_QD), 1 if device else None)
    return ranking, product


def on_cpu(rows_ND, start: int):
    """What keeps the largest products of queries with these rows, and those before: in heaps, by faiss."""
    import faiss

    def improve(query_QD, ranking_QK, product_QK):
        heaps = faiss.float_minheap_array_t()
        heaps.nh, heaps.k = product_QK.shape
        heaps.ids, heaps.val = faiss.swig_ptr(ranking_QK), faiss.swig_ptr(product_QK)
        held = np.empty(len(query_QD) * min(ROWS, len(rows_ND)), np.float32)
        for first in range(0, len(rows_ND), ROWS):
            some = rows_ND[first : first + ROWS]
            product_QN = held[: len(query_QD) * len(some)].reshape(len(query_QD), len(some))
            np.matmul(query_QD, some.T, out=product_QN)
            heaps.addn(len(some), faiss.swig_ptr(product_QN), start + first)

    return improve


def on_device(rows_ND, start: int, device):
    """As `on_cpu`, on a torch device, with 256 MB of products at once."""
    import torch

    placed = torch.from_numpy(rows_ND).to(device)

    def improve(query_QD, ranking_QK, product_QK):
        parts = torch.from_numpy(query_QD).to(device).split(max(1, PRODUCTS // len(placed)))
        found = [torch.topk(part @ placed.T, min(ranking_QK.shape[1], len(placed))) for part in parts]
        more, index = (torch.cat(column).cpu().numpy() for column in zip(*found, strict=True))
        held = (ranking_QK.copy(), product_QK.copy())
        ranking_QK[:], product_QK[:] = merge_rankings([held, (index + start, more)], ranking_QK.shape[1])

    return improve


def scored(query_QD, database_ND, ranking_QK, block: int) -> tuple:
    """(ranking, score), (Q, K): the same rows by falling dot product with their query, then rising index."""
    ranking_QK = np.sort(ranking_QK, axis=1)
    score_QK = np.full(ranking_QK.shape, -np.inf, np.float32)
    for start, rows in blocks(database_ND, "the database", block):

        def score(first, last, start=start, rows=rows):
            held = gathering(rows)
            for one in range(first, last, TOGETHER):
                some = slice(one, min(one + TOGETHER, last))
                inside_QK = (ranking_QK[some] >= start) & (ranking_QK[some] < start + len(rows))
                pairs = inside_QK.nonzero()[0], ranking_QK[some][inside_QK] - start
                score_QK[some][inside_QK] = products(query_QD[some], rows, *pairs, held)

        in_shares(score, len(query_QD))
    order = np.argsort(-score_QK, axis=1, kind="stable")
    return np.take_along_axis(ranking_QK, order, 1), np.take_along_axis(score_QK, order, 1)


def products(query_QD, rows_ND, query_P, row_P, held_MD) -> np.ndarray:
    """The dot products of pairs, in the order of their queries, (P,) float32, as precise as the module's text says.

    They are sums in one order whatever the pairs: equal rows have equal products. `held_MD` is what `gathering` gives.
    """
    product_P = np.empty(len(row_P), np.float32)
    for start in range(0, len(row_P), len(held_MD)):
        part = slice(start, start + len(held_MD))
        row_MD = held_MD[: len(row_P[part])]
        row_MD[:] = rows_ND[row_P[part]]
        runs = np.flatnonzero(np.diff(query_P[part], prepend=-1, append=-1))
        for first, last in itertools.pairwise(runs):
            query_D = query_QD[query_P[start + first]].astype(np.float64)
            product_P[start + first : start + last] = np.vecdot(row_MD[first:last], query_D)
    return product_P


def gathering(rows_ND) -> np.ndarray:
    """Memory for some rows as float64, whose pages are touched once and not for each query."""
    return np.empty((max(1, GATHERED // rows_ND.shape[1]), rows_ND.shape[1]))


def by_sorting(query_QD, database_ND, k: int, block: int) -> tuple:
    """As `nearest`, by sorting all scores: of queries for which too many rows are alike to choose candidates."""
    block = min(block, max(1, BLOCK // 8 // database_ND.shape[1]))
    parts, size = [], max(1, PRODUCTS // 16 // block)
    for first in range(0, len(query_QD), size):
        query, found = query_QD[first : first + size].astype(np.float64), None
        for start, rows in blocks(database_ND, "the database", block):
            score, rows_ND = np.empty((len(query), len(rows)), np.float32), rows.astype(np.float64)

            def fill(first, last, query=query, rows_ND=rows_ND, score=score):
                score[first:last] = np.vecdot(query[first:last, None], rows_ND)  # sums as those of `products` above

            in_shares(fill, len(query))
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
