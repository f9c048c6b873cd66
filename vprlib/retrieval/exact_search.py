"""Exact nearest-neighbour search by dot product, on a CPU or a GPU.

The order in which a matrix product sums depends on the processor, the library and even the position of a row in its
block, so its last digits differ. Matrix products therefore only choose candidates. Scores are dot products in float64,
rounded to float32; of descriptors stored as float16 these are exact. So the same files give a bit-identical ranking on
every machine, in one block or many, in one job or many.

Axes: Q queries, N database images, K candidates, D dimensions, B queries of a block, M rows of a buffer, P pairs.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vprlib.compute.threads import parallel_over_rows
from vprlib.exceptions import InputError
from vprlib.retrieval.descriptor_reader import BLOCK, Descriptors, iter_blocks

if TYPE_CHECKING:
    import torch

QUERIES, ROWS = 1024, 1024  # of a matrix product of one thread: 4 MB of products
TURN = 1 << 23  # values of queries that all threads together hold as float32, at most: 32 MB
SPARE = 8  # candidates beyond k
# error of a float32 dot product where the product of the lengths is 1, with a margin: 7e-6 was the largest measured
ERROR = 2e-5
PRODUCTS = 1 << 26  # float32 products held on a device: 256 MB
TOGETHER, GATHERED = 256, 1 << 19  # queries, and values of database rows, that one thread scores per call

Ranking = tuple[NDArray[np.int64], NDArray[np.float32]]  # (ranking_QK, score_QK)
TopK = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], None]


def nearest(
    query_QD: Descriptors,
    database_ND: Descriptors,
    k: int,
    *,
    block: int | None = None,
    device: "torch.device | str | None" = None,
) -> Ranking:
    """Return the k database rows with the largest dot product with each query: for unit rows, the nearest ones.

    Args:
        query_QD: (Q, D) float16 or float32.
        database_ND: (N, D), an array, an HDF5 dataset or a `DescriptorView`. It is read `block` rows at a time as
            float32, twice if it has more rows than that.
        k: number of rows per query; at most N are returned.
        block: rows per block; by default 128 MB of them.
        device: torch device that chooses the candidates; by default the CPU does, with as many threads as faiss may
            use.

    Returns:
        (ranking_QK int64, score_QK float32), K = min(k, N); rows with equal scores are ordered by index.

    Raises:
        InputError: if the database is empty, the widths differ, or a value is not finite.
    """
    if not len(database_ND):
        raise InputError("search: the database has no descriptors; check the test split of the dataset")
    if database_ND.shape[1] != query_QD.shape[1]:
        raise InputError(f"search: queries are {query_QD.shape[1]}-D, the database is {database_ND.shape[1]}-D")
    count, width = database_ND.shape
    block, k = block or max(1, BLOCK // width), min(k, count)
    if count <= block:
        _, database_ND = next(iter_blocks(database_ND, "the database", block))
    candidates, products = candidate_search(query_QD, database_ND, min(k + SPARE, count), block, device)
    ranking, score = rescore(query_QD, database_ND, candidates, block)
    ranking, score = ranking[:, :k], score[:, :k]
    # a row left out may belong to the first k, unless the smallest candidate product is clearly below the k-th score
    unsure = np.empty(0, np.int64)
    if k and len(products) and products.shape[1] < count:
        last = score[:, -1].astype(np.float64)
        unsure = np.flatnonzero(products.min(1) > last - ERROR * np.maximum(1, np.abs(last)))
    if len(unsure):
        ranking[unsure], score[unsure] = full_sort(query_QD[unsure], database_ND, k, block)
    return ranking, score


def candidate_search(
    query_QD: Descriptors, database_ND: Descriptors, deep: int, block: int, device: "torch.device | str | None" = None
) -> Ranking:
    """Return the rows with the largest float32 products with each query, in no order.

    Args:
        query_QD, database_ND, block, device: as in `nearest`.
        deep: number of rows per query.

    Returns:
        (ranking, product), both (Q, deep).
    """
    import faiss

    ranking = np.full((len(query_QD), deep), -1)
    product = np.full((len(query_QD), deep), -np.inf, np.float32)
    most = min(QUERIES, max(1, TURN // query_QD.shape[1] // faiss.omp_get_max_threads()))
    for start, rows in iter_blocks(database_ND, "the database", block):
        update = gpu_topk(rows, start, device) if device else cpu_topk(rows, start)

        def search(first: int, last: int, update: TopK = update) -> None:
            turns = max(1, -(-(last - first) // most))
            size = max(1, -(-(last - first) // turns))
            for query, query_BD in iter_blocks(query_QD, "the queries", size, first=first, last=last):
                part = slice(query, query + len(query_BD))
                update(query_BD, ranking[part], product[part])

        parallel_over_rows(search, len(query_QD), 1 if device else None)
    return ranking, product


def cpu_topk(rows_ND: NDArray[np.float32], start: int) -> TopK:
    """Return a function that merges this block of database rows into each query's running top k (faiss heaps, CPU).

    Args:
        rows_ND: the block.
        start: index of its first row in the database.
    """
    import faiss

    def update(query_QD: NDArray[np.float32], ranking_QK: NDArray[np.int64], product_QK: NDArray[np.float32]) -> None:
        heaps = faiss.float_minheap_array_t()
        heaps.nh, heaps.k = product_QK.shape
        heaps.ids, heaps.val = faiss.swig_ptr(ranking_QK), faiss.swig_ptr(product_QK)
        buffer = np.empty(len(query_QD) * min(ROWS, len(rows_ND)), np.float32)
        for first in range(0, len(rows_ND), ROWS):
            part_MD = rows_ND[first : first + ROWS]
            product_QM = buffer[: len(query_QD) * len(part_MD)].reshape(len(query_QD), len(part_MD))
            np.matmul(query_QD, part_MD.T, out=product_QM)
            heaps.addn(len(part_MD), faiss.swig_ptr(product_QM), start + first)  # type: ignore[call-arg]  # faiss' stub

    return update


def gpu_topk(rows_ND: NDArray[np.float32], start: int, device: "torch.device | str") -> TopK:
    """Return the same function as `cpu_topk`, computed on a torch device with 256 MB of products per call."""
    import torch

    rows_on_device = torch.from_numpy(rows_ND).to(device)

    def update(query_QD: NDArray[np.float32], ranking_QK: NDArray[np.int64], product_QK: NDArray[np.float32]) -> None:
        parts = torch.from_numpy(query_QD).to(device).split(max(1, PRODUCTS // len(rows_on_device)))
        depth = min(ranking_QK.shape[1], len(rows_on_device))
        topk = [torch.topk(part @ rows_on_device.T, depth) for part in parts]
        product, index = (torch.cat(column).cpu().numpy() for column in zip(*topk, strict=True))
        before = (ranking_QK.copy(), product_QK.copy())
        ranking_QK[:], product_QK[:] = merge_rankings([before, (index + start, product)], ranking_QK.shape[1])

    return update


def rescore(query_QD: Descriptors, database_ND: Descriptors, ranking_QK: NDArray[np.int64], block: int) -> Ranking:
    """Return the same rows with exact scores: (ranking, score), (Q, K), by falling score, then rising index."""
    ranking_QK = np.sort(ranking_QK, axis=1)
    score_QK = np.full(ranking_QK.shape, -np.inf, np.float32)
    for start, rows in iter_blocks(database_ND, "the database", block):

        def score(first: int, last: int, start: int = start, rows: NDArray[np.float32] = rows) -> None:
            buffer_MD = score_buffer(rows)
            for query in range(first, last, TOGETHER):
                part = slice(query, min(query + TOGETHER, last))
                inside_QK = (ranking_QK[part] >= start) & (ranking_QK[part] < start + len(rows))
                pairs = inside_QK.nonzero()[0], ranking_QK[part][inside_QK] - start
                score_QK[part][inside_QK] = pair_scores(query_QD[part], rows, *pairs, buffer_MD)

        parallel_over_rows(score, len(query_QD))
    order = np.argsort(-score_QK, axis=1, kind="stable")
    return np.take_along_axis(ranking_QK, order, 1), np.take_along_axis(score_QK, order, 1)


def pair_scores(
    query_QD: NDArray,
    rows_ND: NDArray,
    query_P: NDArray[np.int64],
    row_P: NDArray[np.int64],
    buffer_MD: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the dot products of pairs of a query and a row, as precise as the module's docstring says.

    Every product is summed in the same order, whatever the other pairs are: equal rows have equal products.

    Args:
        query_QD, rows_ND: queries and database rows.
        query_P: query of each pair; it increases.
        row_P: row of each pair.
        buffer_MD: memory from `score_buffer`.

    Returns:
        (P,) float32.
    """
    product_P = np.empty(len(row_P), np.float32)
    for start in range(0, len(row_P), len(buffer_MD)):
        part = slice(start, start + len(buffer_MD))
        row_MD = buffer_MD[: len(row_P[part])]
        row_MD[:] = rows_ND[row_P[part]]
        runs = np.flatnonzero(np.diff(query_P[part], prepend=-1, append=-1))
        for first, last in itertools.pairwise(runs):
            query_D = query_QD[query_P[start + first]].astype(np.float64)
            product_P[start + first : start + last] = np.vecdot(row_MD[first:last], query_D)
    return product_P


def score_buffer(rows_ND: Descriptors) -> NDArray[np.float64]:
    """Allocate memory for some rows as float64, so that its pages are touched once and not for each query."""
    return np.empty((max(1, GATHERED // rows_ND.shape[1]), rows_ND.shape[1]))


def full_sort(query_QD: NDArray, database_ND: Descriptors, k: int, block: int) -> Ranking:
    """Return the same ranking as `nearest`, by sorting all scores.

    It serves queries for which too many rows are nearly equal for products to choose candidates.
    """
    block = min(block, max(1, BLOCK // 8 // database_ND.shape[1]))
    parts, size = [], max(1, PRODUCTS // 16 // block)
    for first in range(0, len(query_QD), size):
        query: NDArray[np.float64] = query_QD[first : first + size].astype(np.float64)
        best: Ranking | None = None
        for start, rows in iter_blocks(database_ND, "the database", block):
            score, rows_ND = np.empty((len(query), len(rows)), np.float32), rows.astype(np.float64)

            def fill(
                first: int,
                last: int,
                query: NDArray[np.float64] = query,
                rows_ND: NDArray[np.float64] = rows_ND,
                score: NDArray[np.float32] = score,
            ) -> None:
                score[first:last] = np.vecdot(query[first:last, None], rows_ND)  # summed in the order of `pair_scores`

            parallel_over_rows(fill, len(query))
            order = np.argsort(-score, axis=1, kind="stable")[:, :k]
            block_best = order + start, np.take_along_axis(score, order, 1)
            best = merge_rankings([best, block_best] if best else [block_best], k)
        parts.append(best)
    ranking, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ranking, score


def merge_rankings(parts: Sequence[Ranking], k: int) -> Ranking:
    """Merge rankings of the same queries by parts of a database into the ranking by the whole database.

    Args:
        parts: (ranking_QK, score_QK) of each part, as `nearest` returns them, but with indices into the whole database.
            The parts stand in its order: all indices of one lie below those of the next. -1 and -inf pad.
        k: number of candidates per query; all are returned if there are fewer.

    Returns:
        (ranking_QK int64, score_QK float32), by falling score, then rising index, with the padding last.

    Raises:
        ValueError: if the parts rank different numbers of queries.

    >>> import numpy as np
    >>> first, second = (np.array([[0, 1]]), np.array([[0.9, 0.5]])), (np.array([[3, 2]]), np.array([[0.8, 0.5]]))
    >>> merge_rankings([first, second], 3)[0].tolist()
    [[0, 3, 1]]
    """
    if len({len(ranking) for ranking, _ in parts}) > 1:
        raise ValueError("rankings of different numbers of queries cannot be merged")
    if len(parts) == 1:
        ((ranking, score),) = parts
        return ranking[:, :k], score[:, :k]
    ranking, score = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]  # of equal scores the earlier part comes first
    return np.take_along_axis(ranking, order, 1), np.take_along_axis(score, order, 1)
