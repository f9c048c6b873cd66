"""Search databases too large for exact search with approximate indexes: IVF-PQ and HNSW by faiss.

The candidates of an index are scored again with the descriptors themselves: scores are exact, and only candidates can
be missed.
Sources: Jegou et al., "Product quantization for nearest neighbor search" (2011); Malkov and Yashunin, "Efficient and
robust approximate nearest neighbor search using hierarchical navigable small world graphs" (2018).

Axes: Q queries, N database images, K candidates returned, C candidates of the index, D dimensions.
"""

import logging
import os
from functools import partial
from math import log2, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vprlib.exceptions import InputError
from vprlib.io.files import format_bytes
from vprlib.retrieval.ann_build import PER_LIST, build_index, extend_index
from vprlib.retrieval.ann_copies import AnnIndex, DistinctRowsIndex
from vprlib.retrieval.ann_files import load_index, metadata_path, read_metadata
from vprlib.retrieval.descriptor_reader import Descriptors, as_finite_float32, memory_map, take_rows
from vprlib.retrieval.exact_search import Ranking, nearest, pair_scores, score_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

log = logging.getLogger(__name__)


PROBED = 64  # one in so many lists is searched, and at least 8 lists
WIDER, LEAST = 4, 100  # IVF-PQ returns WIDER * k candidates, and at least LEAST, which are scored again
LINKS, SEARCH_DEPTH = 32, 128  # HNSW: links per node, candidates when searching


def choose_parameters(kind: str, count: int, width: int, memory: float) -> dict[str, Any]:
    """Choose the parameters of an index by its size and the memory that it may take.

    `ivf-pq`: the number of lists is the power of two nearest to 4 sqrt(N), at most N / 50. One list in 64 is searched,
    and at least 8. The bytes of a code are the largest divisor of D up to D / 8 with which the index (N codes with
    8-byte ids, and the centres of the lists) fits into `memory`. If none does, they are the smallest divisor from 8 up,
    and the lists stay on disk.
    `hnsw`: 32 links per node; the graph holds the distinct descriptors as float32.

    Args:
        kind: `ivf-pq` or `hnsw`.
        count, width: N and D.
        memory: bytes.

    Returns:
        The parameters by name; `count` and `bytes` (of the index) are among them.

    Raises:
        InputError: if HNSW does not fit into `memory`.
    """
    if kind == "hnsw":
        size = count * (4 * width + 4 * 2 * LINKS + 8)
        if size > memory:
            raise InputError(
                f"search.memory_gb: hnsw of {count:,} {width}-D descriptors takes {format_bytes(size)}, more than "
                f"{format_bytes(memory)}; raise it, or use search.index: ivf-pq"
            )
        return {"kind": kind, "count": count, "links": LINKS, "distinct": True, "bytes": size, "on_disk": False}
    lists = 2 ** round(log2(4 * sqrt(count)))
    while lists > 1 and lists * PER_LIST > count:
        lists //= 2
    divisors = [code for code in range(max(1, width // 8), 0, -1) if width % code == 0]
    sizes = {code: count * (code + 8) + 4 * width * lists for code in divisors}
    fitting = [code for code in divisors if sizes[code] <= memory]
    code = fitting[0] if fitting else min([c for c in divisors if c >= 8] or divisors)
    probed = min(lists, max(8, lists // PROBED))
    return {
        "kind": kind,
        "count": count,
        "lists": lists,
        "probed": probed,
        "code": code,
        "bytes": sizes[code],
        "on_disk": sizes[code] > memory,
    }


def make_searcher(
    folder: str | os.PathLike[str], *, kind: str, memory: float, device: "torch.device | str | None" = None
) -> "Callable[..., Ranking]":
    """Return a function that searches databases, or shards, with the contract of `nearest`.

    Indexes are files of `folder`; they are kept, extended or rebuilt. A part of a database (`Protocol.same_column`) is
    too small for an index and is searched exactly. An index is opened, and its descriptors are compared with the
    file's, only once: a searcher serves a single job.

    Args:
        folder: where the indexes lie.
        kind: `flat` (exact), `ivf-pq` or `hnsw`.
        memory: bytes that an index may take.
        device: as in `nearest`.
    """
    exact, opened = partial(nearest, device=device), {}

    def rank(query_QD: Descriptors, database_ND: Descriptors, k: int) -> Ranking:
        name = getattr(database_ND, "name", None)  # of an HDF5 dataset, or of the view of a shard
        if not name:
            return exact(query_QD, database_ND, k)
        path = Path(folder) / f"index.{Path(name).name}.{kind}.faiss"
        if path not in opened:
            opened[path] = open_or_build(path, database_ND, kind=kind, memory=memory)
        return search_index(opened[path], query_QD, database_ND, k)

    return exact if kind == "flat" else rank


def open_or_build(path: str | os.PathLike[str], database_ND: Descriptors, *, kind: str, memory: float) -> AnnIndex:
    """Open the index of a database, extend it with descriptors added since, or build it.

    It is rebuilt if it was built from other descriptors, or if `choose_parameters` now chooses other parameters for
    the number of descriptors that it was built for.

    Args:
        path: the index file; its parameters and the digest of its descriptors stand in `<path>.json`.
        database_ND: (N, D) array, HDF5 dataset or `DescriptorView`.
        kind, memory: as in `make_searcher`.

    Raises:
        InputError: if the database is empty, a value is not finite, or HNSW does not fit into `memory`.
    """
    if not len(database_ND):
        raise InputError("search: the database has no descriptors; check the test split of the dataset")
    count, width = database_ND.shape
    parameters = choose_parameters(kind, count, width, memory)
    if Path(path).exists() and metadata_path(path).exists():
        try:
            check_parameters(path, count, width, kind=kind, memory=memory)
            index = load_index(path, database_ND, memory=memory)
            if index.ntotal < len(database_ND):
                index = extend_index(path, database_ND, memory=memory)
            return index
        except InputError as error:
            log.info("%s", error)
    log.info("%s: %s", path, ", ".join(f"{name} {value}" for name, value in parameters.items()))
    return build_index(path, database_ND, parameters, memory=memory)


def check_parameters(path: str | os.PathLike[str], count: int, width: int, *, kind: str, memory: float) -> None:
    """Check that an index has the parameters of the configuration and was built for at least half as many descriptors.

    Args:
        path: the index file.
        count, width: N and D of the database.
        kind, memory: as in `make_searcher`.

    Raises:
        InputError: naming the first parameter that differs.
    """
    made = read_metadata(path)["plan"]
    if 2 * made.get("count", 0) < count:
        raise InputError(
            f"{path}: was built for {made.get('count', 0):,} descriptors, but the database has {count:,}; "
            f"delete the file, and the index is built again"
        )
    for name, value in choose_parameters(kind, made["count"], width, memory).items():
        if made.get(name) != value and name != "on_disk":
            raise InputError(
                f"{path}: was built with {name} {made.get(name)}, and the search configuration needs {value}; "
                f"delete the file, and the index is built again"
            )


def search_index(index: Any, query_QD: Descriptors, database_ND: Descriptors, k: int) -> Ranking:
    """Return the ranking of the candidates that an index finds, with exact scores.

    Args:
        index: faiss index, or `DistinctRowsIndex`, of the database.
        query_QD, database_ND, k: as in `nearest`.

    Returns:
        As `nearest`; -1 and -inf pad where the index finds fewer than k.

    Raises:
        InputError: if the widths differ, or a query is not finite.
    """
    import faiss

    if index.d != query_QD.shape[1]:
        raise InputError(f"search: queries are {query_QD.shape[1]}-D, the index is {index.d}-D")
    k, hnsw = min(k, index.ntotal), isinstance(index, DistinctRowsIndex)
    deep = min(k if hnsw else max(WIDER * k, LEAST), index.ntotal)
    options = {}
    if hnsw:
        options["params"] = faiss.SearchParametersHNSW(efSearch=max(SEARCH_DEPTH, deep))  # type: ignore[attr-defined]
    else:
        index.nprobe = min(index.nlist, max(8, index.nlist // PROBED))
    query_QD = as_finite_float32(query_QD[:], "the queries")
    _, candidates_QC = index.search(query_QD, deep, **options)
    stored, buffer_MD = memory_map(database_ND), score_buffer(database_ND)
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for query, candidates in enumerate(candidates_QC):
        rows = np.sort(candidates[candidates >= 0])  # in the file's order; it also orders equal scores by index
        pairs = np.zeros(len(rows), np.int64), np.arange(len(rows))
        product = pair_scores(query_QD[query : query + 1], take_rows(stored, rows), *pairs, buffer_MD)
        best = np.argsort(-product, kind="stable")[:k]
        ranking[query, : len(best)], score[query, : len(best)] = rows[best], product[best]
    return ranking, score
