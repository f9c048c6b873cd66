"""Exact nearest neighbours by dot product, on a CPU or a GPU.

Matrix products sum in an order that depends on the processor, the library and even on where a row lies in a block, so
their last digits differ. They choose candidates only; scores are dot products in float64, rounded to float32. Of
descriptors stored as float16 these are exact, so the same files give the same ranking, to the bit, on every machine,
in one block or many, in one job or many.
"""

import itertools

import numpy as np

from vprlib.compute.threads import parallel_over_rows
from vprlib.exceptions import InputError
from vprlib.retrieval.descriptor_reader import BLOCK, iter_blocks

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
        database_ND: (N, D), an array, an HDF5 dataset or `DescriptorView`, read `block` rows at a time as float32,
            twice if they are more than that.
        k: at most N are returned.
        block: rows; by default 128 MB of them.
        device: of torch, to choose candidates there; by default on the CPU, by as many threads as faiss may use.

    Returns:
        (ranking_QK int64, score_QK float32), K = min(k, N); of equal scores the lower index comes first.

    Raises:
        InputError: the database is empty, the widths differ, or a value is not finite.
    """
    if not len(database_ND):
        raise InputError("search: the database has no descriptor")
    if database_ND.shape[1] != query_QD.shape[1]:
        raise InputError(f"search: queries are {query_QD.shape[1]}-D, the database is {database_ND.shape[1]}-D")
    count, width = database_ND.shape
    block, k = block or max(1, BLOCK // width), min(k, count)
    if count <= block:
        _, database_ND = next(iter_blocks(database_ND, "the database", block))
    ranking, rough = candidate_search(query_QD, database_ND, min(k + SPARE, count), block, device)
    ranking, score = rescore(query_QD, database_ND, ranking, block)
    ranking, score = ranking[:, :k], score[:, :k]
    # a row that was left out may belong to these if the least candidate's product is not clearly below the k-th score
    unsure = []
    if k and len(rough) and rough.shape[1] < count:
        last = score[:, -1].astype(np.float64)
        unsure = np.flatnonzero(rough.min(1) > last - ERROR * np.maximum(1, np.abs(last)))
    if len(unsure):
        ranking[unsure], score[unsure] = full_sort(query_QD[unsure], database_ND, k, block)
    return ranking, score


def candidate_search(query_QD, database_ND, deep: int, block: int, device=None) -> tuple:
    """(ranking, product), (Q, deep), in no order: the rows with the largest float32 products with each query."""
    import faiss

    ranking = np.full((len(query_QD), deep), -1)
    product = np.full((len(query_QD), deep), -np.inf, np.float32)
    most = min(QUERIES, max(1, TURN // query_QD.shape[1] // faiss.omp_get_max_threads()))
    for start, rows in iter_blocks(database_ND, "the database", block):
        improve = gpu_topk(rows, start, device) if device else cpu_topk(rows, start)

        def search(first, last, improve=improve):
            turns = max(1, -(-(last - first) // most))
            size = max(1, -(-(last - first) // turns))
            for query, query_BD in iter_blocks(query_QD, "the queries", size, first=first, last=last):
                some = slice(query, query + len(query_BD))
                improve(query_BD, ranking[some], product[some])

        parallel_over_rows(search, len(query_QD), 1 if device else None)
    return ranking, product


def cpu_topk(rows_ND, start: int):
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


def gpu_topk(rows_ND, start: int, device):
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


def rescore(query_QD, database_ND, ranking_QK, block: int) -> tuple:
    """(ranking, score), (Q, K): the same rows by falling dot product with their query, then rising index."""
    ranking_QK = np.sort(ranking_QK, axis=1)
    score_QK = np.full(ranking_QK.shape, -np.inf, np.float32)
    for start, rows in iter_blocks(database_ND, "the database", block):

        def score(first, last, start=start, rows=rows):
            held = score_buffer(rows)
            for one in range(first, last, TOGETHER):
                some = slice(one, min(one + TOGETHER, last))
                inside_QK = (ranking_QK[some] >= start) & (ranking_QK[some] < start + len(rows))
                pairs = inside_QK.nonzero()[0], ranking_QK[some][inside_QK] - start
                score_QK[some][inside_QK] = pair_scores(query_QD[some], rows, *pairs, held)

        parallel_over_rows(score, len(query_QD))
    order = np.argsort(-score_QK, axis=1, kind="stable")
    return np.take_along_axis(ranking_QK, order, 1), np.take_along_axis(score_QK, order, 1)


def pair_scores(query_QD, rows_ND, query_P, row_P, held_MD) -> np.ndarray:
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


def score_buffer(rows_ND) -> np.ndarray:
    """Memory for some rows as float64, whose pages are touched once and not for each query."""
    return np.empty((max(1, GATHERED // rows_ND.shape[1]), rows_ND.shape[1]))


def full_sort(query_QD, database_ND, k: int, block: int) -> tuple:
    """As `nearest`, by sorting all scores: of queries for which too many rows are alike to choose candidates."""
    block = min(block, max(1, BLOCK // 8 // database_ND.shape[1]))
    parts, size = [], max(1, PRODUCTS // 16 // block)
    for first in range(0, len(query_QD), size):
        query, found = query_QD[first : first + size].astype(np.float64), None
        for start, rows in iter_blocks(database_ND, "the database", block):
            score, rows_ND = np.empty((len(query), len(rows)), np.float32), rows.astype(np.float64)

            def fill(first, last, query=query, rows_ND=rows_ND, score=score):
                score[first:last] = np.vecdot(query[first:last, None], rows_ND)  # sums as those of `products` above

            parallel_over_rows(fill, len(query))
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
