"""Archives, told by their first bytes: zip, and tar, plain or squeezed by gzip, bzip2 or xz; and which are whole."""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

RATIO = 200  # unpacked bytes for one of the archive, at most, where no limit is declared
FLOOR = 100_000_000  # bytes that any archive may unpack to
CHUNK = 1 << 20
ZIP = b"PK"
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
DAMAGED = (  # what a damaged archive makes of its reader
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
    """A tar's header; a damaged or missing one is an error, where tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a header or the end mark should be") from error


def decompressor_for(start: bytes):
    """What opens a squeezed file that begins so; None if it is none."""
    return next((found for magic, found in OPENERS.items() if start.startswith(magic)), None)


def unpack_limit(path: Path) -> int:
    """Bytes that an archive may unpack to where no limit is declared."""
    return max(RATIO * path.stat().st_size, FLOOR)


def find_truncation(path: Path) -> str:
    """Why an archive ends before its end, or ''; a file that is none is not judged.

    A zip must have the list of contents that is at its end, a squeezed file the checksum of the whole, a tar its end
    mark. One that would unpack to more than `most` is not read further: unpacking refuses it.
    """
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        try:
            if start.startswith(ZIP + b"\3\4"):
                zipfile.ZipFile(file).close()
            elif opened := decompressor_for(start):
                with opened(file) as plain:
                    for _ in range(0, unpack_limit(path), CHUNK):
                        if not plain.read(CHUNK):
                            break
            elif start[257:262] == b"ustar":
                with tarfile.open(fileobj=file, mode="r:", tarinfo=StrictTarInfo) as archive:
                    while archive.next():
                        archive.members.clear()  # tarfile would keep them all
        except DAMAGED as error:
            return str(error)
        except OSError as error:
            if error.errno is None:  # how gzip and bz2 call what is no archive of theirs
                return str(error)
            raise
    return ""
