"""Indexes for databases that are too large to compare every query with: IVF-PQ and HNSW by faiss.

What they find is scored again with the descriptors themselves, so scores are exact and only candidates can be missed.
Sources: Jegou et al., "Product quantization for nearest neighbor search" (2011); Malkov and Yashunin, "Efficient and
robust approximate nearest neighbor search using hierarchical navigable small world graphs" (2018).
"""

import hashlib
import json
import logging
from math import log2, sqrt
from pathlib import Path

import numpy as np

from vprlib import files
from vprlib.files import BadInput
from vprlib.search import BLOCK, finite, nearest

log = logging.getLogger(__name__)

PER_LIST = 50  # training points of a list's centre; faiss asks for 39
PROBED = 64  # one list of so many is searched, and at least 8
WIDER, LEAST = 4, 100  # IVF-PQ finds so many times k, and at least so many, which are scored again
LINKS, BUILD_DEPTH, SEARCH_DEPTH = 32, 40, 128  # of HNSW: links a node, candidates when building, when searching


def plan(kind: str, count: int, width: int, memory: float) -> dict:
    """The parameters of an index, by its size and the bytes that it may take.

    `ivf-pq`: as many lists as the power of two nearest to 4 sqrt(N), at most N / 50; of each 64 one is searched, at
    least 8. A code has as many bytes as the largest divisor of D up to D / 8 with which the index (N codes with 8-byte
    ids, and the lists' centres) keeps within `memory`; if none does, the smallest from 8 bytes up, and the lists stay
    on disk.
    `hnsw`: 32 links a node; the graph holds the descriptors as float32.

    Raises:
        BadInput: HNSW does not fit into `memory`.
    """
    if kind == "hnsw":
        size = count * (4 * width + 4 * 2 * LINKS + 8)
        if size > memory:
            raise BadInput(
                f"search.memory_gb: hnsw of {count:,} {width}-D descriptors takes {files.amount(size)}, more than "
                f"{files.amount(memory)}; raise it, or use search.index: ivf-pq"
            )
        return {"kind": kind, "links": LINKS, "bytes": size, "on_disk": False}
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
        "lists": lists,
        "probed": probed,
        "code": code,
        "bytes": sizes[code],
        "on_disk": sizes[code] > memory,
    }


def ranker(folder, *, kind: str, memory: float):
    """What `search` ranks whole databases with: an index in a file of `folder`, kept, extended or built anew.

    A part of a database (Protocol.within) is small and not worth an index: it is searched exactly.

    Args:
        kind: `flat` (exact), `ivf-pq` or `hnsw`.
        memory: bytes that an index may take.
    """

    def rank(query_QD, database_ND, k: int) -> tuple:
        if isinstance(database_ND, np.ndarray):
            return nearest(query_QD, database_ND, k)
        path = Path(folder) / f"index.{Path(database_ND.name).name}.{kind}.faiss"
        return find(ready(path, database_ND, kind=kind, memory=memory), query_QD, database_ND, k)

    return nearest if kind == "flat" else rank


def ready(path, database_ND, *, kind: str, memory: float):
    """The index of a database: the file's if it was made of these descriptors; longer by those that it lacks; or new.

    Args:
        path: of the index; what it was made of stands in `<path>.json`.
        database_ND: (N, D) array or HDF5 dataset.
        kind, memory: as `ranker`.

    Raises:
        BadInput: the database is empty, or a value is not finite.
    """
    if not len(database_ND):
        raise BadInput("search: the database has no descriptor")
    wanted = plan(kind, *database_ND.shape, memory)
    if Path(path).exists() and described(path).exists():
        try:
            index = load(path, database_ND, memory=memory)
            if index.ntotal < len(database_ND):
                index = extend(path, database_ND, memory=memory)
            return index
        except BadInput as error:
            log.info("%s", error)
    log.info("%s: %s", path, ", ".join(f"{name} {value}" for name, value in wanted.items()))
    return build(path, database_ND, wanted)


def build(path, database_ND, wanted: dict):
    """Build the index that `plan` describes and write it; returns it."""
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
        sample = min(count, max(PER_LIST * wanted["lists"], 1 << 16))
        some = np.sort(np.random.default_rng(0).choice(count, sample, replace=False))
        for rows in blocks(database_ND, 0):
            del rows  # a value that is not finite is named before the centres are spoilt by it
        index.train(np.asarray(mapped(database_ND)[some], np.float32))
    append(index, database_ND)
    return written(path, index, database_ND, wanted)


def load(path, database_ND, *, memory: float):
    """Open an index of these descriptors, or of the first of them; from disk, if it takes more than `memory` bytes.

    Raises:
        BadInput: it was made from other descriptors, or is no index.
    """
    import faiss

    made = json.loads(described(path).read_text())
    if made["rows"] > len(database_ND) or made["digest"] != digest(database_ND, made["rows"]):
        raise BadInput(f"{path}: was built from other descriptors (their hash is not {made['digest'][:12]}); delete it")
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if Path(path).stat().st_size > memory else 0)
    except RuntimeError as error:
        raise BadInput(f"{path}: cannot be read as an index ({str(error).splitlines()[0]}); delete it") from error


def extend(path, database_ND, *, memory: float):
    """Add the descriptors that an index lacks, the last ones of the database, without building it anew; returns it.

    Lists and codes stay those that the first descriptors were trained on: build it anew when most are new.

    Raises:
        BadInput: as `load`.
    """
    index = load(path, database_ND, memory=float("inf"))  # lists on disk cannot grow
    before, made = index.ntotal, json.loads(described(path).read_text())
    append(index, database_ND)
    log.info("%s: %d descriptors added to %d", path, index.ntotal - before, before)
    written(path, index, database_ND, made["plan"])
    return load(path, database_ND, memory=memory)


def append(index, database_ND):
    """Add the rows from the index' length on."""
    for rows in blocks(database_ND, index.ntotal):
        index.add(rows)


def blocks(database_ND, first: int):
    """The rows from `first` on, as float32, a bounded number at once."""
    size = max(1, BLOCK // database_ND.shape[1])
    for start in range(first, len(database_ND), size):
        yield finite(database_ND[start : start + size], "the database", start)


def written(path, index, database_ND, wanted: dict):
    import faiss

    described(path).unlink(missing_ok=True)  # a kill between the two files leaves an index that is built anew
    with files.atomic(path) as partial:
        faiss.write_index(index, str(partial))
    made = {"plan": wanted, "rows": len(database_ND), "digest": digest(database_ND, len(database_ND))}
    files.write_json(described(path), made)
    return index


def described(path) -> Path:
    return Path(f"{path}.json")


def digest(database_ND, rows: int) -> str:
    """The SHA-256 of the first rows' type, width and values."""
    total = hashlib.sha256(f"{database_ND.dtype} {database_ND.shape[1]}".encode())
    block = max(1, BLOCK // database_ND.shape[1])
    for start in range(0, rows, block):
        total.update(np.ascontiguousarray(database_ND[start : min(start + block, rows)]))
    return total.hexdigest()


def find(index, query_QD, database_ND, k: int) -> tuple:
    """As `search.nearest`, among what the index finds; -1 and -inf pad where it finds fewer than k.

    Raises:
        BadInput: the widths differ, or a query is not finite.
    """
    import faiss

    if index.d != query_QD.shape[1]:
        raise BadInput(f"search: queries are {query_QD.shape[1]}-D, the index is {index.d}-D")
    k, hnsw = min(k, index.ntotal), isinstance(index, faiss.IndexHNSW)
    deep = min(k if hnsw else max(WIDER * k, LEAST), index.ntotal)
    options = {}
    if hnsw:
        options["params"] = faiss.SearchParametersHNSW(efSearch=max(SEARCH_DEPTH, deep))
    else:
        index.nprobe = min(index.nlist, max(8, index.nlist // PROBED))
    query_QD = finite(query_QD[:], "the queries")
    _, found_QC = index.search(query_QD, deep, **options)
    stored = mapped(database_ND)
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for query, found in enumerate(found_QC):
        some = np.sort(found[found >= 0])  # in the file's order, and of equal scores the lower index first
        product = np.asarray(stored[some], np.float32) @ query_QD[query]
        best = np.argsort(-product, kind="stable")[:k]
        ranking[query, : len(best)], score[query, : len(best)] = some[best], product[best]
    return ranking, score


def mapped(database_ND) -> np.ndarray:
    """Rows that can be taken in any order: an array, or a contiguous HDF5 dataset, which is not read before."""
    offset = None if isinstance(database_ND, np.ndarray) else database_ND.id.get_offset()
    if offset is None:
        return database_ND
    return np.memmap(database_ND.file.filename, database_ND.dtype, "r", offset, database_ND.shape)
