"""Downloaded part of a file: its bytes, their hashes, and the server's version that they belong to."""

import errno
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from vprlib.exceptions import InputError
from vprlib.io.files import format_bytes, write_json
from vprlib.io.fingerprints import hash_stream

log = logging.getLogger(__name__)


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def partial_bytes(target: Path) -> int:
    """Return the bytes that an interrupted download left of a file.

    Args:
        target: path of the complete file.
    """
    part = _part_path(target)
    return part.stat().st_size if part.exists() else 0


def _part_path(target: Path) -> Path:
    """Return the path of a file's downloaded part."""
    return target.with_name(f"{target.name}.part")


class PartialFile:
    """Downloaded part of a file, `name.part`, and beside it `name.part.json`, the server's version that it belongs to.

    Attributes:
        target: path of the complete file.
        path: path of the part.
        about: path of the JSON.
        version: `etag` and `modified`, the server's ETag and Last-Modified, as far as it sends them.
        bytes: length of the part.
        hashes: algorithm -> hashlib object of all its bytes.
    """

    def __init__(self, target: Path, algorithms: Iterable[str]) -> None:
        """Open the part, or create it, and hash its bytes.

        Args:
            target: path of the complete file.
            algorithms: names of hash algorithms.
        """
        self.target, self.algorithms = target, tuple(algorithms)
        self.path = _part_path(target)
        self.about = self.path.with_name(f"{self.path.name}.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("a+b", buffering=0)  # unbuffered, so that a full disk is noticed at its byte
        try:
            version = json.loads(self.about.read_text())
        except (OSError, ValueError):
            version = {}
        self.version: dict[str, str] = version if isinstance(version, dict) else {}
        self._hash()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _hash(self) -> None:
        """Hash and count the bytes of the part."""
        self.file.seek(0)
        self.hashes = hash_stream(self.file, self.algorithms)
        self.bytes = self.file.tell()
        if self.bytes:
            log.info("%s: resumes after %s", self.target, format_bytes(self.bytes))

    @property
    def validator(self) -> str | None:
        """Return the value for If-Range: the ETag, or the date of modification if the ETag is weak or missing."""
        etag = self.version.get("etag")
        return etag if etag and not etag.startswith("W/") else self.version.get("modified")

    def restart(self, version: dict[str, str]) -> None:
        """Discard the bytes of the part; the next bytes belong to this version."""
        self.file.truncate(0)
        self._hash()
        self.version = version
        write_json(self.about, version)

    def write(self, chunk: bytes) -> None:
        """Append bytes; hash and count those that were written.

        Raises:
            InputError: the disk is full, or cannot be written.
        """
        try:
            while chunk:
                written = self.file.write(chunk)
                for hashed in self.hashes.values():
                    hashed.update(chunk[:written])
                self.bytes += written
                chunk = chunk[written:]
        except OSError as error:
            why = "the disk is full" if error.errno in FULL else f"cannot be written ({error.strerror})"
            raise InputError(
                f"{self.path}: {why} after {format_bytes(self.bytes)}; free some space and run again; the "
                f"download resumes"
            ) from error

    def become(self, path: Path) -> None:
        """Move the complete part to `path`.

        Raises:
            InputError: `path` cannot be written.
        """
        try:
            os.fsync(self.file.fileno())
            self.path.replace(path)
            self.about.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); {self.path} is complete") from error
