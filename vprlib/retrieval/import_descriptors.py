"""Write descriptors that were computed elsewhere as `database.h5` and `queries.h5`, which the search reads.

Axes: N photos, D dimensions.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vprlib.data.image_table import hash_test_photos, read_image_table, select_rows
from vprlib.data.protocol import FIXED
from vprlib.exceptions import InputError
from vprlib.io.files import h5_writer
from vprlib.io.fingerprints import sha256_of_file, short_hash
from vprlib.retrieval.descriptor_files import (
    DESCRIBED,
    UNIT_ERROR,
    DescriptorFile,
    find_rows,
    open_descriptors,
    read_rows,
    row_lengths,
)
from vprlib.retrieval.merge_shards import FILES

log = logging.getLogger(__name__)

KEYS = {"database": "database", "query": "queries"}  # role -> key of its file


def import_descriptors(
    folder: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str],
    files: Mapping[str, str],
    kind: str = "raw",
    framings: Sequence[str] = (FIXED,),
    source: str | None = None,
) -> None:
    """Write `database.h5` and `queries.h5` of descriptors that were computed elsewhere.

    Values are kept: float16 as float16, wider ones as float32. If rows of a file are not of unit length, all of its
    rows are divided by their lengths, with a warning, because the search compares unit vectors. The attributes name the
    given files and the photos, as those of extracted descriptors name their checkpoint.

    Args:
        folder: where the files are written.
        images: the image table.
        files: the given files: `file`, or `database` and `queries` and perhaps their `database_paths` and
            `queries_paths`; see `vprlib.config.descriptor_files`.
        kind: kind of descriptor, `raw` or `whitened`.
        framings: framings of the query photos that the dataset's protocols search; the descriptors serve for each.
        source: the image table's name in messages; by default its path.

    Raises:
        InputError: a file cannot be read or is no array of descriptors; its rows do not fit the test photos of the
            image table; a row is zero or not finite; or database and queries have different dimensions, or were
            computed by different networks.
    """
    table = read_image_table(images)
    photos_hash = hash_test_photos(table)
    for key, path in files.items():
        if not Path(path).is_file():
            raise InputError(f"descriptors.{key}: {path}: no such file")
    with ExitStack() as stack:
        opened: dict[str, tuple[DescriptorFile, NDArray[np.int64], NDArray[np.float64] | None]] = {}
        for role, key in KEYS.items():
            path, listed = files.get("file") or files[key], files.get(f"{key}_paths")
            names = (key,) if "file" in files else (kind, DESCRIBED, key)
            given = stack.enter_context(open_descriptors(path, names, listed))
            if given.listed is None and given.origin.photos not in ("", photos_hash):
                raise InputError(
                    f"{given.name}: holds the descriptors of other photos than the test photos of {source or images}; "
                    "give those of this dataset, or lists of its photos with the paths of its image table"
                )
            photos = select_rows(table, "test", role).path.tolist()
            row_N = find_rows(given, photos, table.path.tolist(), f"{role} photos of the test split")
            opened[role] = given, row_N, _lengths_to_divide(given, row_N, photos)
        _check_same_network(*(given for given, _, _ in opened.values()))
        attributes = _attributes(files) | {"photos": photos_hash}
        for role, (given, row_N, length_N) in opened.items():
            suffixes = ("" if one == FIXED else f"@{one}" for one in (framings if role == "query" else (FIXED,)))
            with h5_writer(Path(folder) / FILES[role]) as out:
                for suffix in suffixes:
                    _write_rows(out, kind + suffix, given, row_N, length_N)
                out.attrs.update(attributes)


def _check_same_network(database: DescriptorFile, queries: DescriptorFile) -> None:
    """Check that descriptors of both roles were computed alike, as far as their files say it.

    Raises:
        InputError: the dimension, the network or the whitening differs.
    """
    widths = queries.x_ND.shape[1], database.x_ND.shape[1]
    if widths[0] != widths[1]:
        raise InputError(
            f"{queries.name}: has {widths[0]} dimensions, and {database.name} has {widths[1]}; give descriptors of one "
            "network"
        )
    for what in ("network", "whitening"):
        values = [getattr(given.origin, what) for given in (queries, database)]
        if all(values) and values[0] != values[1]:
            raise InputError(
                f"{queries.name}: was computed by another {what} ({values[0][:12]}) than {database.name} "
                f"({values[1][:12]}); give descriptors of one {what}"
            )


def _lengths_to_divide(
    given: DescriptorFile, row_N: NDArray[np.int64], photos: Sequence[str]
) -> NDArray[np.float64] | None:
    """Return the lengths of the rows, (N,), if they are to be divided by them; None if all are of unit length."""
    length_N = row_lengths(given, row_N, photos)
    far_N = np.abs(length_N - 1) > UNIT_ERROR
    if not far_N.any():
        return None
    log.warning(
        "warning: %s: %d of %d rows are not of unit length (%.4g to %.4g); all rows are divided by their lengths",
        given.name, far_N.sum(), len(far_N), length_N.min(), length_N.max(),
    )  # fmt: skip
    return length_N


def _write_rows(
    out: Any, name: str, given: DescriptorFile, row_N: NDArray[np.int64], length_N: NDArray[np.float64] | None
) -> None:
    """Write rows as a dataset, divided by their lengths if there are any."""
    dtype = np.dtype(np.float16 if given.x_ND.dtype == np.float16 and length_N is None else np.float32)
    written = out.create_dataset(name, (len(row_N), given.x_ND.shape[1]), dtype)
    for part, rows in read_rows(given, row_N):
        written[part] = rows if length_N is None else rows / length_N[part, None]


def _attributes(files: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that stand for those of a checkpoint: the given files by their SHA-256."""
    given = {key: {"file": Path(path).name, "sha256": sha256_of_file(path)} for key, path in sorted(files.items())}
    digests = [one["sha256"] for one in given.values()]
    identity = digests[0] if len(digests) == 1 else short_hash(digests)
    model = {"epoch": 0, "source": {"file": ", ".join(one["file"] for one in given.values()), "given": given}}
    return {"checkpoint": identity, "whitening": "", "model": json.dumps(model, sort_keys=True), "recipe": "{}"}
