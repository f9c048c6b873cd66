"""Recognize archives by their first bytes, and find truncated ones.

Archives are zip files, and tar files, plain or compressed by gzip, bzip2 or xz.
"""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

RATIO = 200  # unpacked bytes per byte of the archive, at most, if no limit is declared
FLOOR = 100_000_000  # bytes that any archive may unpack to
CHUNK = 1 << 20
ZIP = b"PK"
OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
DAMAGED = (  # exceptions that readers raise for damaged archives
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
)


class StrictTarInfo(tarfile.TarInfo):
    """Header of a tar member. A damaged or missing header is an error; tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header block.

        Raises:
            tarfile.ReadError: the block is neither a header nor the end mark.
        """
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # missing in the stub
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a header or the end mark should be") from error


def decompressor_for(start: bytes) -> Callable[..., Any] | None:
    """Return the function that opens a compressed file that begins with these bytes; None if it is not compressed."""
    return next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)


def unpack_limit(path: Path) -> int:
    """Return the number of bytes that an archive may unpack to if no limit is declared."""
    return max(RATIO * path.stat().st_size, FLOOR)


def find_truncation(path: Path) -> str:
    """Return why an archive is incomplete, or '' if it is complete or the file is no archive.

    A complete zip has the list of contents at its end, a compressed file the checksum of the whole, a tar its end mark.
    A compressed file that would unpack to more than `unpack_limit` is not read further, as unpacking refuses it.
    """
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        try:
            if start.startswith(ZIP + b"\3\4"):
                zipfile.ZipFile(file).close()
            elif opener := decompressor_for(start):
                with opener(file) as plain:
                    for _ in range(0, unpack_limit(path), CHUNK):
                        if not plain.read(CHUNK):
                            break
            elif start[257:262] == b"ustar":
                with tarfile.open(fileobj=file, mode="r:", tarinfo=StrictTarInfo) as archive:
                    while archive.next():
                        archive.members.clear()  # type: ignore[attr-defined]  # missing in the stub; it would keep all
        except DAMAGED as error:
            return str(error)
        except OSError as error:
            if error.errno is None:  # raised by gzip and bz2 for a file that is no archive of theirs
                return str(error)
            raise
    return ""
