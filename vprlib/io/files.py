"""Atomic writes, file locks, and helpers for JSON, CSV and HDF5 files."""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from vprlib.exceptions import InputError
from vprlib.io.checksums import BLANK, array_checksum, checksum_around

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

log = logging.getLogger(__name__)

CHECKSUM = "checksum"  # attribute of each dataset of an HDF5 file and of a safetensors file
FILE_CHECKSUM = "file_checksum"  # attribute of an HDF5 file: of all its bytes that no dataset's checksum holds
TABLE_CHECKSUM = "table_checksum"  # last column of a table


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it to `path` if the block succeeds, remove it if the block fails.

    Temporary files that killed processes of this machine left for the same path are removed first.

    Raises:
        InputError: the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    prefix = f".{path.name}.{socket.gethostname()}."
    partial = path.with_name(f"{prefix}{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.iterdir():
            owner = stale.name.removeprefix(prefix)
            if owner != stale.name and owner.isdecimal() and not psutil.pid_exists(int(owner)):
                stale.unlink(missing_ok=True)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def file_lock(path: str | os.PathLike[str], wait: bool = False) -> Iterator[None]:
    """Lock `path`, so that one process or thread at a time works on it.

    The system releases the lock when its holder ends, even if it is killed. On a file system without locks, a warning
    is logged and nothing is locked.

    Args:
        path: the file to work on; the lock is a hidden file beside it.
        wait: whether to wait until the lock is free, instead of raising.

    Raises:
        InputError: another process holds the lock (the message names it), or the folder cannot be written.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a+")
        except OSError as error:
            raise InputError(f"{lock}: cannot be written ({error.strerror or error})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise InputError(f"{path}: {holder} is at work on it; wait until it ends, or end it") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                file.close()
                raise
            log.warning("%s: this file system has no locks; start nothing else that writes here", path)
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            break
        file.close()  # its last holder removed the file after it was opened here and before it was locked
    try:
        file.truncate(0)
        job = os.environ.get("SLURM_JOB_ID")
        file.write(f"{f'SLURM job {job}, ' if job else ''}process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a file atomically.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic(path) as partial:
        partial.write_bytes(data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write plain data as indented JSON with sorted keys, atomically.

    Raises:
        InputError: the file cannot be written.
    """
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame, *, checksum: bool = True) -> None:
    """Write a table without its index, atomically; floats keep every digit, so a rerun gives the same bytes.

    Labels are written as they are; all text is quoted if a label holds a carriage return, which ends a row elsewhere.

    Args:
        path: the file.
        table: the table.
        checksum: whether to add a last column TABLE_CHECKSUM, the same in every row, for `check_csv`.

    Raises:
        InputError: the file cannot be written.
    """
    table = table.drop(columns=TABLE_CHECKSUM, errors="ignore")
    text = table.to_csv(index=False, lineterminator="\n")
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if "\r" in text else csv.QUOTE_MINIMAL
    text = table.to_csv(index=False, lineterminator="\n", quoting=quoting) if quoting else text
    if checksum and len(table):
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        text = table.assign(**{TABLE_CHECKSUM: digest}).to_csv(index=False, lineterminator="\n", quoting=quoting)
    write_bytes(path, text.encode())


def check_csv(path: str | os.PathLike[str], *, required: bool = False) -> None:
    """Compare a table with its column TABLE_CHECKSUM, if it has one.

    Args:
        path: the file.
        required: whether a table of at least one row must have one.

    Raises:
        InputError: the file is missing, or differs from what `write_csv` wrote.
    """
    try:
        header, end, rows = Path(path).read_bytes().partition(b"\n")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    if required and not end:
        raise InputError(
            f"{path}: ends within its first line, so it was cut short; delete it, so that it is made again"
        )
    named = header.rpartition(b",")[2]
    if named.strip(b'"') != TABLE_CHECKSUM.encode():
        if required and rows:
            raise InputError(
                f"{path}: its last column is not {TABLE_CHECKSUM!r}, so a change of it would go unnoticed; delete the "
                "file, so that it is made again"
            )
        return
    if not rows:
        raise InputError(f"{path}: has no row, so it was cut short; delete the file, so that it is made again")
    digest = rows.removesuffix(b"\n").rpartition(b",")[2]
    written = header.removesuffix(b"," + named) + b"\n" + rows.replace(b"," + digest + b"\n", b"\n")
    if hashlib.sha256(written).hexdigest()[:12].encode() != digest.strip(b'"'):
        raise InputError(
            f"{path}: has changed since it was written (checksum); delete the file, so that it is made again. If you "
            f"edited it on purpose, remove the column {TABLE_CHECKSUM!r}"
        )


@contextmanager
def h5_writer(path: str | os.PathLike[str], lazy: Collection[str] = ()) -> Iterator[h5py.File]:
    """Yield a new HDF5 file; it becomes `path` if the block succeeds, with checksums of every dataset and of the rest.

    Datasets named in `lazy` have none, because few of their rows are read at a time.

    Raises:
        InputError: the file cannot be written.
    """
    import h5py
    import numpy as np

    with atomic(path) as partial:
        file = h5py.File(partial, "w")
        try:
            yield file
            file.flush()
            for dataset in _datasets(file, lazy):
                dataset.attrs[CHECKSUM] = array_checksum(_map_or_read(dataset))
            file.attrs[FILE_CHECKSUM] = np.bytes_(BLANK)
            arrays = _mapped_bytes(file)
        finally:
            try:
                file.close()
            except RuntimeError as error:  # HDF5 reports a full disk this way when it flushes
                raise OSError(str(error)) from error
        checksum, position = checksum_around(partial, arrays, BLANK)
        with partial.open("rb+") as written:
            written.seek(position)
            written.write(checksum)


def write_h5(
    path: str | os.PathLike[str],
    arrays: Mapping[str, ArrayLike],
    attributes: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
) -> None:
    """Write named arrays and attributes to an HDF5 file, atomically.

    Args:
        path: the file.
        arrays: dataset name -> array; stored contiguously and without time stamps.
        attributes: name -> string or number.

    Raises:
        InputError: the file cannot be written.
    """
    with h5_writer(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs.update(dict(attributes))


def read_h5_attributes(file: h5py.File) -> dict[str, Any]:
    """Return the attributes of an open HDF5 file, without its checksum."""
    return {name: file.attrs[name] for name in file.attrs if name not in (CHECKSUM, FILE_CHECKSUM)}


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the sections of the configuration that an HDF5 file says it was made with; its arrays are not read.

    Raises:
        InputError: as `open_h5`.
    """
    with open_h5(path, verify=()) as file:
        return dict(json.loads(file.attrs.get("recipe", "{}")))


@contextmanager
def open_h5(path: str | os.PathLike[str], verify: Collection[str] | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading and compare its datasets with their checksums, if it has any.

    Args:
        path: the file.
        verify: names of the datasets to compare, by default all. To compare one, it is read as a whole.

    Raises:
        InputError: the file is missing, is no HDF5 file, or differs from what was written.
    """
    import h5py

    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
            changed = _changed_part(file, verify)
        except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:  # of a damaged file
            raise InputError(f"{path}: cannot be read as HDF5 ({error})") from error
        if changed:
            raise InputError(
                f"{path}: {changed} changed after they were written (checksum); delete the file, so that it is made "
                "again, and check the disk. If you edited it on purpose, remove the attributes "
                f"{CHECKSUM!r} and {FILE_CHECKSUM!r}"
            )
        try:
            yield file
        except (OSError, RuntimeError) as error:
            if getattr(error, "errno", None) is not None or "read" not in str(error):  # not of HDF5
                raise
            raise InputError(f"{path}: cannot be read as HDF5 ({error})") from error


def _changed_part(file: h5py.File, verify: Collection[str] | None) -> str:
    """Name what differs from its checksum; empty if nothing does."""
    datasets, written = _datasets(file), file.attrs.get(FILE_CHECKSUM)
    if written is not None:
        checksum, _ = checksum_around(file.filename, _mapped_bytes(file), bytes(written))
        rest_changed = checksum != written
    else:  # a file of others, or of an earlier version, with a CHECKSUM of its attributes alone
        rest_changed = CHECKSUM not in file.attrs and any(CHECKSUM in dataset.attrs for dataset in datasets)
    if rest_changed:
        return "its names, attributes or unused bytes"
    for dataset in datasets:
        if verify is not None and dataset.name.lstrip("/") not in verify:
            continue
        if CHECKSUM in dataset.attrs and dataset.attrs[CHECKSUM] != array_checksum(_map_or_read(dataset)):
            return f"the values of {dataset.name.lstrip('/')}"
    return ""


def _datasets(file: h5py.File, left_out: Collection[str] = ()) -> list[h5py.Dataset]:
    """List the datasets of a file, in the order of their names."""
    import h5py

    found: dict[str, Any] = {}
    file.visititems(found.__setitem__)
    return [node for name, node in found.items() if isinstance(node, h5py.Dataset) and name not in left_out]


def _mapped_bytes(file: h5py.File) -> list[tuple[int, int]]:
    """List first and end byte of each dataset that lies in the file as one block."""
    starts = ((dataset.id.get_offset(), dataset) for dataset in _datasets(file) if not dataset.dtype.hasobject)
    return sorted((start, start + dataset.id.get_storage_size()) for start, dataset in starts if start is not None)


def _map_or_read(dataset: h5py.Dataset) -> NDArray:
    """Memory-map a contiguous dataset; read another one."""
    import numpy as np

    offset = dataset.id.get_offset()
    if offset is None or not dataset.size or dataset.dtype.hasobject:
        return np.asarray(dataset[()])
    return np.memmap(dataset.file.filename, dataset.dtype, "r", offset, dataset.shape)


def read_h5(path: str | os.PathLike[str], *names: str) -> list[Any]:
    """Read named datasets of an HDF5 file completely; return a list of arrays (of scalars, for scalar datasets).

    Raises:
        InputError: the file is missing, is no HDF5 file, differs from what was written or lacks one of the names.
    """
    with open_h5(path) as file:
        missing = [name for name in names if name not in file]
        if missing:
            raise InputError(f"{path}: has no dataset {missing[0]!r}; it has {', '.join(sorted(file)) or 'none'}")
        return [file[name][()] for name in names]


def read_finite_h5(path: str | os.PathLike[str], *names: str) -> list[Any]:
    """Read named datasets of an HDF5 file as `read_h5` does, and check that every value is finite.

    Raises:
        InputError: as `read_h5`; or a value is NaN or infinite, with the name of its dataset.
    """
    import numpy as np

    arrays = read_h5(path, *names)
    for name, array in zip(names, arrays, strict=True):
        if count := int(np.size(array) - np.isfinite(array).sum()):
            raise InputError(f"{path}: {name} has {count} values that are not finite; make the file anew")
    return arrays


def format_bytes(number: float) -> str:
    """Return a number of bytes in readable form, with powers of 1000.

    >>> format_bytes(12), format_bytes(3.4e9)
    ('12 bytes', '3.4 GB')
    """
    if number < 1000:
        return f"{number:.0f} bytes"
    power = min(4, int(math.log10(number) / 3))
    return f"{number / 1000**power:.1f} {' kMGT'[power]}B"
