"""Indexes for databases that are too large to compare every query with: IVF-PQ and HNSW by faiss.

What they find is scored again with the descriptors themselves, so scores are exact and only candidates can be missed.
Sources: Jegou et al., "Product quantization for nearest neighbor search" (2011); Malkov and Yashunin, "Efficient and
robust approximate nearest neighbor search using hierarchical navigable small world graphs" (2018).
"""

import hashlib
import json
import logging
import shutil
from functools import partial
from math import log2, sqrt
from pathlib import Path

import numpy as np

from vprlib.exceptions import InputError
from vprlib.io.files import atomic, format_bytes, write_json
from vprlib.retrieval.descriptor_reader import (
    BLOCK,
    DescriptorView,
    as_finite_float32,
    iter_blocks,
    memory_map,
    take_rows,
)
from vprlib.retrieval.exact_search import nearest, pair_scores, score_buffer

log = logging.getLogger(__name__)


PER_LIST = 50  # training points of a list's centre; faiss asks for 39
PROBED = 64  # one list of so many is searched, and at least 8
WIDER, LEAST = 4, 100  # IVF-PQ finds so many times k, and at least so many, which are scored again
LINKS, BUILD_DEPTH, SEARCH_DEPTH = 32, 40, 128  # of HNSW: links a node, candidates when building, when searching


def choose_parameters(kind: str, count: int, width: int, memory: float) -> dict:
    """The parameters of an index, by its size and the bytes that it may take.

    `ivf-pq`: as many lists as the power of two nearest to 4 sqrt(N), at most N / 50; of each 64 one is searched, at
    least 8. A code has as many bytes as the largest divisor of D up to D / 8 with which the index (N codes with 8-byte
    ids, and the lists' centres) keeps within `memory`; if none does, the smallest from 8 bytes up, and the lists stay
    on disk.
    `hnsw`: 32 links a node; the graph holds the descriptors as float32.

    Raises:
        InputError: HNSW does not fit into `memory`.
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


def make_searcher(folder, *, kind: str, memory: float, device=None):
    """What `search` ranks databases, or shards, with: an index in a file of `folder`, kept, extended or built anew.

    A part of a database (Protocol.within) is small and not worth an index: it is searched exactly. An index is opened,
    and its descriptors compared with the file's, once: a ranker serves one job.

    Args:
        kind: `flat` (exact), `ivf-pq` or `hnsw`.
        memory: bytes that an index may take.
        device: of `nearest`.
    """
    exact, held = partial(nearest, device=device), {}

    def rank(query_QD, database_ND, k: int) -> tuple:
        name = getattr(database_ND, "name", None)  # a file's, or a shard's
        if not name:
            return exact(query_QD, database_ND, k)
        path = Path(folder) / f"index.{Path(name).name}.{kind}.faiss"
        if path not in held:
            held[path] = open_or_build(path, database_ND, kind=kind, memory=memory)
        return search_index(held[path], query_QD, database_ND, k)

    return exact if kind == "flat" else rank


def open_or_build(path, database_ND, *, kind: str, memory: float):
    """The index of a database: the file's, longer by the descriptors that it lacks, or new.

    The file's is new if it was made of other descriptors, or if `plan` has other parameters now for as many as it was
    built for.

    Args:
        path: of the index; what it was made of stands in `<path>.json`.
        database_ND: (N, D) array, HDF5 dataset or `DescriptorView`.
        kind, memory: as `ranker`.

    Raises:
        InputError: the database is empty, or a value is not finite.
    """
    if not len(database_ND):
        raise InputError("search: the database has no descriptor")
    wanted = choose_parameters(kind, *database_ND.shape, memory)
    if Path(path).exists() and metadata_path(path).exists():
        try:
            check_parameters(path, *database_ND.shape, kind=kind, memory=memory)
            index = load_index(path, database_ND, memory=memory)
            if index.ntotal < len(database_ND):
                index = extend_index(path, database_ND, memory=memory)
            return index
        except InputError as error:
            log.info("%s", error)
    log.info("%s: %s", path, ", ".join(f"{name} {value}" for name, value in wanted.items()))
    return build_index(path, database_ND, wanted, memory=memory)


def check_parameters(path, count: int, width: int, *, kind: str, memory: float):
    """Refuse an index with other parameters than the configuration asks for, or built for less than half as many.

    Raises:
        InputError: naming the first that differs.
    """
    made = read_metadata(path)["plan"]
    if 2 * made.get("count", 0) < count:
        raise InputError(
            f"{path}: was built for {made.get('count', 0):,} descriptors, now there are {count:,}; delete it"
        )
    for name, value in choose_parameters(kind, made["count"], width, memory).items():
        if made.get(name) != value and name != "on_disk":
            raise InputError(f"{path}: was built with {name} {made.get(name)}, and search asks for {value}; delete it")


def build_index(path, database_ND, wanted: dict, *, memory: float):
    """Build the index that `plan` describes and write it; returns it.

    Centres are trained on a sample of the descriptors that takes half of `memory` at most; then all are added by block.
    """
    import faiss

    count, width = database_ND.shape
    if wanted["kind"] == "hnsw":
        index = faiss.IndexHNSWFlat(width, wanted["links"])  # L2: of unit vectors the same order
        index.hnsw.efConstruction = BUILD_DEPTH
    else:
        bits = min(8, int(log2(count)))
        flat = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFPQ(flat, width, wanted["lists"], wanted["code"], bits, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1  # small databases, no warning
        index.train(training_sample(database_ND, training_size(count, width, wanted["lists"], memory)))
    return add_and_save(path, index, database_ND, wanted, memory=memory)


def training_size(count: int, width: int, lists: int, memory: float) -> int:
    """How many of `count` descriptors centres are trained on: half of `memory` at most, and at least one a centre."""
    return min(count, max(min(max(PER_LIST * lists, 1 << 16), int(memory / 2) // (4 * width)), lists, 256))


def training_sample(database_ND, size: int) -> np.ndarray:
    """Some rows, float32, always the same; all are looked at, so that one that is not finite spoils no centre."""
    some = np.sort(np.random.default_rng(0).choice(len(database_ND), size, replace=False))
    sample = np.empty((size, database_ND.shape[1]), np.float32)
    for start, rows in iter_blocks(database_ND, "the database"):
        first, last = np.searchsorted(some, (start, start + len(rows)))
        sample[first:last] = rows[some[first:last] - start]
    return sample


def load_index(path, database_ND, *, memory: float):
    """Open an index of these descriptors, or of the first of them; from disk, if it takes more than `memory` bytes.

    Raises:
        InputError: it was made from other descriptors, or is no index.
    """
    made = read_metadata(path)
    if made["rows"] > len(database_ND) or made["digest"] != descriptors_digest(database_ND, made["rows"]):
        raise InputError(
            f"{path}: was built from other descriptors (their hash is not {made['digest'][:12]}); delete it"
        )
    return read_index(path, mapped=not made["plan"]["on_disk"] and Path(path).stat().st_size > memory)


def read_index(path, *, mapped: bool):
    """Read an index; with lists in the same file, `mapped` leaves those on disk. Lists of their own file stay there."""
    import faiss

    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mapped else faiss.IO_FLAG_ONDISK_SAME_DIR)
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an index ({str(error).splitlines()[0]}); delete it") from error


def extend_index(path, database_ND, *, memory: float):
    """Add the descriptors that an index lacks, the last ones of the database, without building it anew; returns it.

    Lists and codes stay those that the first descriptors were trained on: build it anew when most are new.

    Raises:
        InputError: as `load`.
    """
    made = read_metadata(path)
    index = load_index(path, database_ND, memory=float("inf"))  # lists that are mapped cannot grow
    before = index.ntotal
    log.info("%s: %d descriptors added to %d", path, len(database_ND) - before, before)
    return add_and_save(path, index, database_ND, made["plan"], memory=memory)


def add_and_save(path, index, database_ND, wanted: dict, *, memory: float):
    """Add the rows from the index' length on and write it; returns it."""
    import faiss

    metadata_path(path).unlink(missing_ok=True)  # a kill between the files leaves an index that is built anew
    if wanted["on_disk"]:
        append_on_disk(Path(path), index, database_ND, int(memory / 2) // (wanted["code"] + 8))
    else:
        for _, rows in iter_blocks(database_ND, "the database", first=index.ntotal):
            index.add(rows)
    with atomic(path) as partial:
        faiss.write_index(index, str(partial))
    made = {"plan": wanted, "rows": len(database_ND), "digest": descriptors_digest(database_ND, len(database_ND))}
    write_json(metadata_path(path), made)
    return index


def append_on_disk(path: Path, index, database_ND, room: int):
    """Add the rows from the index' length on; its lists are then those of a file, `<path>.lists`.

    `room` rows at once are sorted into lists in memory and written; then all these, and what the index had, are joined,
    list by list.

    Raises:
        InputError: the disk is too full for the lists and their parts.
    """
    import faiss

    lists, parts, before = path.with_name(f"{path.name}.lists"), f".{path.name}.part", index.ntotal
    for stale in path.parent.glob(f"{parts}*"):  # of a build that was killed
        stale.unlink()
    size, free = (2 * len(database_ND) - before) * (index.code_size + 8), shutil.disk_usage(path.parent).free
    if size > free:  # they are mapped: a full disk would end the process without a word
        raise InputError(
            f"{path}: its lists take {format_bytes(size)} while they are joined, {format_bytes(free)} are free"
        )
    held = [index.invlists]
    held[0].thisown, index.own_invlists = True, False
    for start in range(before, len(database_ND), room):
        set_inverted_lists(index, faiss.ArrayInvertedLists(index.nlist, index.code_size), 0)
        some = DescriptorView(database_ND, range(start, min(start + room, len(database_ND))))
        for first, rows in iter_blocks(some, "the database"):
            index.add_with_ids(rows, np.arange(start + first, start + first + len(rows)))
        faiss.write_index(index, str(path.with_name(f"{parts}{start}")))
    written = [
        read_index(path.with_name(f"{parts}{start}"), mapped=True) for start in range(before, len(database_ND), room)
    ]
    every = faiss.InvertedListsPtrVector()
    for one in [*held, *(part.invlists for part in written)]:
        every.push_back(one)
    with atomic(lists) as partial:
        joined = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(partial))
        joined.merge_from_multiple(every.data(), every.size(), False)
        joined.filename = str(lists)
    set_inverted_lists(index, joined, len(database_ND))
    for part in path.parent.glob(f"{parts}*"):
        part.unlink()


def set_inverted_lists(index, lists, count: int):
    """Put lists of `count` descriptors into an index, which owns them then."""
    index.replace_invlists(lists, True)
    lists.this.disown()
    index.ntotal = count


def metadata_path(path) -> Path:
    return Path(f"{path}.json")


def read_metadata(path) -> dict:
    """What an index was made of: its `plan`, the `rows` in it and their `digest`.

    Raises:
        InputError: the file that says so is damaged.
    """
    try:
        made = json.loads(metadata_path(path).read_text())
        return {key: made[key] for key in ("plan", "rows", "digest")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{metadata_path(path)}: is damaged ({error}); delete it") from error


def descriptors_digest(database_ND, rows: int) -> str:
    """The SHA-256 of the first rows' type, width and values."""
    total = hashlib.sha256(f"{database_ND.dtype} {database_ND.shape[1]}".encode())
    block = max(1, BLOCK // database_ND.shape[1])
    for start in range(0, rows, block):
        total.update(np.ascontiguousarray(database_ND[start : min(start + block, rows)]))
    return total.hexdigest()


def search_index(index, query_QD, database_ND, k: int) -> tuple:
    """As `nearest`, among what the index finds; -1 and -inf pad where it finds fewer than k.

    Raises:
        InputError: the widths differ, or a query is not finite.
    """
    import faiss

    if index.d != query_QD.shape[1]:
        raise InputError(f"search: queries are {query_QD.shape[1]}-D, the index is {index.d}-D")
    k, hnsw = min(k, index.ntotal), isinstance(index, faiss.IndexHNSW)
    deep = min(k if hnsw else max(WIDER * k, LEAST), index.ntotal)
    options = {}
    if hnsw:
        options["params"] = faiss.SearchParametersHNSW(efSearch=max(SEARCH_DEPTH, deep))
    else:
        index.nprobe = min(index.nlist, max(8, index.nlist // PROBED))
    query_QD = as_finite_float32(query_QD[:], "the queries")
    _, found_QC = index.search(query_QD, deep, **options)
    stored, held = memory_map(database_ND), score_buffer(database_ND)
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for query, found in enumerate(found_QC):
        some = np.sort(found[found >= 0])  # in the file's order, and of equal scores the lower index first
        pairs = np.zeros(len(some), np.int64), np.arange(len(some))
        product = pair_scores(query_QD[query : query + 1], take_rows(stored, some), *pairs, held)
        best = np.argsort(-product, kind="stable")[:k]
        ranking[query, : len(best)], score[query, : len(best)] = some[best], product[best]
    return ranking, score
