"""Approximate nearest-neighbour indexes for databases too large for exact search: IVF-PQ and HNSW by faiss.

The candidates of an index are scored again with the descriptors themselves: scores are exact, and only candidates can
be missed.
Sources: Jegou et al., "Product quantization for nearest neighbor search" (2011); Malkov and Yashunin, "Efficient and
robust approximate nearest neighbor search using hierarchical navigable small world graphs" (2018).

Axes: Q queries, N database images, K candidates returned, C candidates of the index, D dimensions.
"""

import hashlib
import json
import logging
import os
import shutil
from functools import partial
from math import log2, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vprlib.exceptions import InputError
from vprlib.io.files import atomic, format_bytes, write_json
from vprlib.retrieval.descriptor_reader import (
    BLOCK,
    Descriptors,
    DescriptorView,
    as_finite_float32,
    iter_blocks,
    memory_map,
    take_rows,
)
from vprlib.retrieval.exact_search import Ranking, nearest, pair_scores, score_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

    import faiss
    import torch

log = logging.getLogger(__name__)


PER_LIST = 50  # training points per list centre; faiss warns below 39
PROBED = 64  # one in so many lists is searched, and at least 8 lists
WIDER, LEAST = 4, 100  # IVF-PQ returns WIDER * k candidates, and at least LEAST, which are scored again
LINKS, BUILD_DEPTH, SEARCH_DEPTH = 32, 40, 128  # HNSW: links per node, candidates when building and when searching


def choose_parameters(kind: str, count: int, width: int, memory: float) -> dict[str, Any]:
    """Choose the parameters of an index by its size and the memory that it may take.

    `ivf-pq`: the number of lists is the power of two nearest to 4 sqrt(N), at most N / 50. One list in 64 is searched,
    and at least 8. The bytes of a code are the largest divisor of D up to D / 8 with which the index (N codes with
    8-byte ids, and the centres of the lists) fits into `memory`. If none does, they are the smallest divisor from 8 up,
    and the lists stay on disk.
    `hnsw`: 32 links per node; the graph holds the descriptors as float32.

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
        return {"kind": kind, "count": count, "links": LINKS, "bytes": size, "on_disk": False}
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


def open_or_build(path: str | os.PathLike[str], database_ND: Descriptors, *, kind: str, memory: float) -> "faiss.Index":
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
        raise InputError("search: the database has no descriptor")
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
            f"{path}: was built for {made.get('count', 0):,} descriptors, now there are {count:,}; delete it"
        )
    for name, value in choose_parameters(kind, made["count"], width, memory).items():
        if made.get(name) != value and name != "on_disk":
            raise InputError(
                f"{path}: was built with {name} {made.get(name)}, and the search configuration needs {value}; delete it"
            )


def build_index(
    path: str | os.PathLike[str], database_ND: Descriptors, parameters: dict[str, Any], *, memory: float
) -> "faiss.Index":
    """Build an index, write it and return it.

    The centres are trained on a sample of the descriptors that takes at most half of `memory`. Then all descriptors
    are added by block.

    Args:
        path: the index file.
        database_ND: the descriptors.
        parameters: from `choose_parameters`.
        memory: bytes.
    """
    import faiss

    count, width = database_ND.shape
    index: Any
    if parameters["kind"] == "hnsw":
        index = faiss.IndexHNSWFlat(width, parameters["links"])  # by L2 distance, which orders unit vectors alike
        index.hnsw.efConstruction = BUILD_DEPTH
    else:
        bits = min(8, int(log2(count)))
        flat = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFPQ(flat, width, parameters["lists"], parameters["code"], bits, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1  # no warning for small databases
        index.train(training_sample(database_ND, training_size(count, width, parameters["lists"], memory)))
    return add_and_save(path, index, database_ND, parameters, memory=memory)


def training_size(count: int, width: int, lists: int, memory: float) -> int:
    """Return how many descriptors centres are trained on: at most half of `memory`, and at least one per centre."""
    return min(count, max(min(max(PER_LIST * lists, 1 << 16), int(memory / 2) // (4 * width)), lists, 256))


def training_sample(database_ND: Descriptors, size: int) -> NDArray[np.float32]:
    """Draw rows, always the same ones, in increasing order: (size, D) float32.

    All rows are read, so that a value that is not finite is found before a centre is trained.
    """
    numbers = np.sort(np.random.default_rng(0).choice(len(database_ND), size, replace=False))
    sample = np.empty((size, database_ND.shape[1]), np.float32)
    for start, rows in iter_blocks(database_ND, "the database"):
        first, last = np.searchsorted(numbers, (start, start + len(rows)))
        sample[first:last] = rows[numbers[first:last] - start]
    return sample


def load_index(path: str | os.PathLike[str], database_ND: Descriptors, *, memory: float) -> "faiss.Index":
    """Open an index of these descriptors, or of the first of them. It stays on disk if it exceeds `memory` bytes.

    Raises:
        InputError: if it was built from other descriptors, or the file is no index.
    """
    made = read_metadata(path)
    if made["rows"] > len(database_ND) or made["digest"] != descriptors_digest(database_ND, made["rows"]):
        raise InputError(
            f"{path}: was built from other descriptors (their hash is not {made['digest'][:12]}); delete it"
        )
    return read_index(path, mapped=not made["plan"]["on_disk"] and Path(path).stat().st_size > memory)


def read_index(path: str | os.PathLike[str], *, mapped: bool) -> Any:
    """Read an index. `mapped` leaves lists that are in the same file on disk; lists in a file of their own stay there.

    Raises:
        InputError: if faiss cannot read the file.
    """
    import faiss

    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mapped else faiss.IO_FLAG_ONDISK_SAME_DIR)
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an index ({str(error).splitlines()[0]}); delete it") from error


def extend_index(path: str | os.PathLike[str], database_ND: Descriptors, *, memory: float) -> "faiss.Index":
    """Add the descriptors that an index lacks, the last ones of the database; write the index and return it.

    Lists and codes stay those trained on the first descriptors: rebuild the index when most descriptors are new.

    Raises:
        InputError: as `load_index`.
    """
    made = read_metadata(path)
    index = load_index(path, database_ND, memory=float("inf"))  # mapped lists cannot grow
    before = index.ntotal
    log.info("%s: %d descriptors added to %d", path, len(database_ND) - before, before)
    return add_and_save(path, index, database_ND, made["plan"], memory=memory)


def add_and_save(
    path: str | os.PathLike[str],
    index: Any,
    database_ND: Descriptors,
    parameters: dict[str, Any],
    *,
    memory: float,
) -> "faiss.Index":
    """Add the rows that an index lacks, write it with its metadata, and return it.

    Args:
        path: the index file.
        index: faiss index of the first `index.ntotal` rows.
        database_ND: the descriptors.
        parameters: from `choose_parameters`.
        memory: bytes.
    """
    import faiss

    metadata_path(path).unlink(missing_ok=True)  # a job killed between the two files leaves an index that is rebuilt
    if parameters["on_disk"]:
        append_on_disk(Path(path), index, database_ND, int(memory / 2) // (parameters["code"] + 8))
    else:
        for _, rows in iter_blocks(database_ND, "the database", first=index.ntotal):
            index.add(rows)
    with atomic(path) as partial:
        faiss.write_index(index, str(partial))
    made = {"plan": parameters, "rows": len(database_ND), "digest": descriptors_digest(database_ND, len(database_ND))}
    write_json(metadata_path(path), made)
    return index


def append_on_disk(path: Path, index: Any, database_ND: Descriptors, room: int) -> None:
    """Add the rows that an index lacks; its lists are then those of the file `<path>.lists`.

    Parts of `room` rows are sorted into lists in memory and written. Then the lists of all parts, and those that the
    index had, are joined list by list.

    Raises:
        InputError: if the disk is too full for the lists and their parts.
    """
    import faiss

    lists, parts, before = path.with_name(f"{path.name}.lists"), f".{path.name}.part", index.ntotal
    for stale in path.parent.glob(f"{parts}*"):  # left by a build that was killed
        stale.unlink()
    size, free = (2 * len(database_ND) - before) * (index.code_size + 8), shutil.disk_usage(path.parent).free
    if size > free:  # they are mapped: a full disk would kill the process without a message
        raise InputError(
            f"{path}: its lists take {format_bytes(size)} while they are joined, {format_bytes(free)} are free; "
            f"make room"
        )
    lists_before = [index.invlists]
    lists_before[0].thisown, index.own_invlists = True, False
    for start in range(before, len(database_ND), room):
        set_inverted_lists(index, faiss.ArrayInvertedLists(index.nlist, index.code_size), 0)
        part = DescriptorView(database_ND, range(start, min(start + room, len(database_ND))))
        for first, rows in iter_blocks(part, "the database"):
            index.add_with_ids(rows, np.arange(start + first, start + first + len(rows)))
        faiss.write_index(index, str(path.with_name(f"{parts}{start}")))
    written = [
        read_index(path.with_name(f"{parts}{start}"), mapped=True) for start in range(before, len(database_ND), room)
    ]
    to_join = faiss.InvertedListsPtrVector()  # type: ignore[attr-defined]  # faiss' stub lacks it
    for inverted_lists in [*lists_before, *(index_part.invlists for index_part in written)]:
        to_join.push_back(inverted_lists)
    with atomic(lists) as partial:
        joined = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(partial))
        joined.merge_from_multiple(to_join.data(), to_join.size(), False)
        joined.filename = str(lists)
    set_inverted_lists(index, joined, len(database_ND))
    for index_file in path.parent.glob(f"{parts}*"):
        index_file.unlink()


def set_inverted_lists(index: Any, lists: Any, count: int) -> None:
    """Put inverted lists of `count` descriptors into an index, which then owns them."""
    index.replace_invlists(lists, True)
    lists.this.disown()
    index.ntotal = count


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of an index's metadata."""
    return Path(f"{path}.json")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what an index was built from.

    Returns:
        `plan` (its parameters), `rows` (the number of descriptors in it) and their `digest`.

    Raises:
        InputError: if the metadata is damaged.
    """
    try:
        metadata = json.loads(metadata_path(path).read_text())
        return {key: metadata[key] for key in ("plan", "rows", "digest")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{metadata_path(path)}: is damaged ({error}); delete it") from error


def descriptors_digest(database_ND: Descriptors, rows: int) -> str:
    """Return the SHA-256 of the type, width and values of the first rows."""
    total = hashlib.sha256(f"{database_ND.dtype} {database_ND.shape[1]}".encode())
    block = max(1, BLOCK // database_ND.shape[1])
    for start in range(0, rows, block):
        total.update(np.ascontiguousarray(database_ND[start : min(start + block, rows)]).data)
    return total.hexdigest()


def search_index(index: Any, query_QD: Descriptors, database_ND: Descriptors, k: int) -> Ranking:
    """Return the ranking of the candidates that an index finds, with exact scores.

    Args:
        index: faiss index of the database.
        query_QD, database_ND, k: as in `nearest`.

    Returns:
        As `nearest`; -1 and -inf pad where the index finds fewer than k.

    Raises:
        InputError: if the widths differ, or a query is not finite.
    """
    import faiss

    if index.d != query_QD.shape[1]:
        raise InputError(f"search: queries are {query_QD.shape[1]}-D, the index is {index.d}-D")
    k, hnsw = min(k, index.ntotal), isinstance(index, faiss.IndexHNSW)
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
