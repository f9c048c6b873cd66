"""Read the file of an approximate index, and the metadata beside it that names the descriptors it was built from.

Axes: N database images, D dimensions.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from vprlib.exceptions import InputError
from vprlib.retrieval.ann_copies import AnnIndex, DistinctRowsIndex, distinct_rows
from vprlib.retrieval.descriptor_reader import BLOCK, Descriptors, DescriptorView


def load_index(path: str | os.PathLike[str], database_ND: Descriptors, *, memory: float) -> AnnIndex:
    """Open an index of these descriptors, or of the first of them. It stays on disk if it exceeds `memory` bytes.

    Raises:
        InputError: if it was built from other descriptors, or the file is no index.
    """
    made = read_metadata(path)
    if made["rows"] > len(database_ND) or made["digest"] != descriptors_digest(database_ND, made["rows"]):
        raise InputError(
            f"{path}: was built from other descriptors (their hash is not {made['digest'][:12]}); "
            f"delete the file, and the index is built again"
        )
    index = read_index(path, mapped=not made["plan"]["on_disk"] and Path(path).stat().st_size > memory)
    if made["plan"]["kind"] != "hnsw":
        return index
    return DistinctRowsIndex(index, distinct_rows(DescriptorView(database_ND, range(made["rows"]))))


def read_index(path: str | os.PathLike[str], *, mapped: bool) -> Any:
    """Read an index. `mapped` leaves lists that are in the same file on disk; lists in a file of their own stay there.

    Raises:
        InputError: if faiss cannot read the file.
    """
    import faiss

    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mapped else faiss.IO_FLAG_ONDISK_SAME_DIR)
    except RuntimeError as error:
        raise InputError(
            f"{path}: cannot be read as an index ({str(error).splitlines()[0]}); "
            f"delete the file, and the index is built again"
        ) from error


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
        raise InputError(
            f"{metadata_path(path)}: is damaged ({error}); delete the file, and the index is built again"
        ) from error


def descriptors_digest(database_ND: Descriptors, rows: int) -> str:
    """Return the SHA-256 of the type, width and values of the first rows."""
    total = hashlib.sha256(f"{database_ND.dtype} {database_ND.shape[1]}".encode())
    block = max(1, BLOCK // database_ND.shape[1])
    for start in range(0, rows, block):
        total.update(np.ascontiguousarray(database_ND[start : min(start + block, rows)]).data)
    return total.hexdigest()
