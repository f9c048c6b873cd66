"""Build approximate indexes with faiss, and extend them; inverted lists that exceed the memory are sorted on disk.

Axes: N database images, D dimensions.
"""

import logging
import os
import shutil
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vprlib.exceptions import InputError
from vprlib.io.files import atomic, format_bytes, write_json
from vprlib.retrieval.ann_copies import AnnIndex, DistinctRowsIndex
from vprlib.retrieval.ann_files import descriptors_digest, load_index, metadata_path, read_index, read_metadata
from vprlib.retrieval.descriptor_reader import Descriptors, DescriptorView, iter_blocks

log = logging.getLogger(__name__)


PER_LIST = 50  # training points per list centre; faiss warns below 39
BUILD_DEPTH = 40  # HNSW: candidates when building


def build_index(
    path: str | os.PathLike[str], database_ND: Descriptors, parameters: dict[str, Any], *, memory: float
) -> AnnIndex:
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
        graph = faiss.IndexHNSWFlat(width, parameters["links"])  # by L2 distance, which orders unit vectors alike
        graph.hnsw.efConstruction = BUILD_DEPTH
        index = DistinctRowsIndex(graph, np.empty(0, np.int64))
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


def extend_index(path: str | os.PathLike[str], database_ND: Descriptors, *, memory: float) -> AnnIndex:
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
) -> AnnIndex:
    """Add the rows that an index lacks, write it with its metadata, and return it.

    Args:
        path: the index file.
        index: faiss index, or `DistinctRowsIndex`, of the first `index.ntotal` rows.
        database_ND: the descriptors.
        parameters: from `choose_parameters`.
        memory: bytes.
    """
    import faiss

    metadata_path(path).unlink(missing_ok=True)  # a job killed between the two files leaves an index that is rebuilt
    if parameters["on_disk"]:
        append_on_disk(Path(path), index, database_ND, int(memory / 2) // (parameters["code"] + 8))
    elif isinstance(index, DistinctRowsIndex):
        index.add(database_ND)
    else:
        for _, rows in iter_blocks(database_ND, "the database", first=index.ntotal):
            index.add(rows)
    with atomic(path) as partial:
        faiss.write_index(getattr(index, "graph", index), str(partial))
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
            f"{path}: joining its lists takes {format_bytes(size)} of disk, but only {format_bytes(free)} is free; "
            f"free some space"
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
