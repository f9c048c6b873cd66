"""Reading and writing: nobody ever sees half a file, and every artefact says where it came from."""

import hashlib
import json
import os
import socket
import subprocess
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

import vprlib


class BadInput(ValueError):
    """Something the user gave cannot be used; the message names it and says what to do, in one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).splitlines()))


@contextmanager
def atomic(path):
    """Yield a temporary sibling of `path`; make it `path` if the block succeeds, remove it if not.

    What an earlier, killed process of this machine left for the same path is removed first.

    Raises:
        BadInput: if it cannot be written, as on a full disk.
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
        raise BadInput(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


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
        BadInput: if the file cannot be read or lacks one of the names.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise BadInput(f"{path}: has no dataset {missing[0]!r}; it has {', '.join(sorted(file)) or 'none'}")
            return [file[name][()] for name in names]
    except OSError as error:
        raise BadInput(f"{path}: cannot be read as HDF5 ({error})") from error


def digest(path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value) -> str:
    """Twelve hexadecimal digits that name plain data (numbers, strings, lists, dicts), whatever its key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def provenance() -> dict:
    """The version and, where the workflow is a git checkout, its commit (with `+` if files were changed since)."""
    root = Path(__file__).parent.parent

    def git(*arguments):
        return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False).stdout

    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        changed = commit and git("status", "--porcelain", "--untracked-files=no", "--", "vprlib", "workflow").strip()
    except OSError:  # no git on this machine
        commit = changed = ""
    return {"version": vprlib.__version__, "commit": commit + ("+" if changed else "")}
