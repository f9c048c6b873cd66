"""Reading and writing: nobody ever sees half a file, and every artefact says where it came from."""

import errno
import fcntl
import json
import logging
import math
import os
import socket
from contextlib import contextmanager
from pathlib import Path

import psutil

from vprlib.exceptions import InputError

log = logging.getLogger(__name__)


@contextmanager
def atomic(path):
    """Yield a temporary sibling of `path`; make it `path` if the block succeeds, remove it if not.

    What an earlier, killed process of this machine left for the same path is removed first.

    Raises:
        InputError: if it cannot be written, as on a full disk.
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
def file_lock(path, wait=False):
    """Let one process, or thread, at a time work on `path`; the lock goes when its holder ends, however it ends.

    Args:
        path: what is worked on; the lock is a hidden file beside it.
        wait: for the one who holds it, instead of refusing.

    Raises:
        InputError: another one holds it (named), or the folder cannot be written.
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
            raise InputError(f"{path}: {holder} is at work on it; wait for its end, or end it") from error
        except OSError as error:  # a file system without locks
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                file.close()
                raise
            log.warning("%s: this file system has no locks; start nothing else that writes here", path)
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            break
        file.close()  # its last holder removed it between our opening and locking it
    try:
        file.truncate(0)
        job = os.environ.get("SLURM_JOB_ID")
        file.write(f"{f'SLURM job {job}, ' if job else ''}process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def write_bytes(path, data: bytes):
    with atomic(path) as partial:
        partial.write_bytes(data)


def write_json(path, value):
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_csv(path, table):
    """Write a DataFrame without its index; floats keep every digit, so a rerun gives the same bytes."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@contextmanager
def h5_writer(path):
    """Yield an HDF5 file to write; it becomes `path` if the block succeeds."""
    import h5py

    with atomic(path) as partial:
        file = h5py.File(partial, "w")
        try:
            yield file
        finally:
            try:
                file.close()
            except RuntimeError as error:  # how HDF5 reports a full disk when it flushes
                raise OSError(str(error)) from error


def write_h5(path, arrays, attributes=()):
    """Write named arrays, contiguous and without time stamps, and string or number attributes."""
    with h5_writer(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs.update(dict(attributes))


def read_h5(path, *names):
    """Return the named datasets of an HDF5 file, whole, as a list of arrays.

    Raises:
        InputError: if the file cannot be read or lacks one of the names.
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


def format_bytes(number: float) -> str:
    """A number of bytes for people: `12 bytes`, `3.4 GB` (powers of 1000)."""
    if number < 1000:
        return f"{number:.0f} bytes"
    power = min(4, int(math.log10(number) / 3))
    return f"{number / 1000**power:.1f} {' kMGT'[power]}B"
