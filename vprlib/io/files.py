"""Atomic writes, file locks, and helpers for JSON, CSV and HDF5 files."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import math
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from numpy.typing import ArrayLike

log = logging.getLogger(__name__)


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


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table without its index, atomically; floats keep every digit, so a rerun gives the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@contextmanager
def h5_writer(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Yield a new HDF5 file; it becomes `path` if the block succeeds.

    Raises:
        InputError: the file cannot be written.
    """
    import h5py

    with atomic(path) as partial:
        file = h5py.File(partial, "w")
        try:
            yield file
        finally:
            try:
                file.close()
            except RuntimeError as error:  # HDF5 reports a full disk this way when it flushes
                raise OSError(str(error)) from error


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


def read_h5(path: str | os.PathLike[str], *names: str) -> list[Any]:
    """Read named datasets of an HDF5 file completely; return a list of arrays (of scalars, for scalar datasets).

    Raises:
        InputError: the file is missing, is no HDF5 file or lacks one of the names.
    """
    import h5py

    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise InputError(f"{path}: has no dataset {missing[0]!r}; it has {', '.join(sorted(file)) or 'none'}")
            return [file[name][()] for name in names]
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({error})") from error


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
