"""Unpack untrusted archives: no file is written outside the folder, and no incomplete file stays in it."""

import filecmp
import io
import logging
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from vprlib.exceptions import InputError
from vprlib.io.download.archive_members import ArchiveContents, ArchiveMember, safe_member_path
from vprlib.io.download.archives import CHUNK, DAMAGED, ZIP, StrictTarInfo, decompressor_for, unpack_limit
from vprlib.io.files import file_lock, format_bytes

log = logging.getLogger(__name__)


HEADER = 1 << 25  # bytes between two members of a tar, at most: GNU and PAX headers are held in memory


def unpack_archive(
    archive: str | os.PathLike[str], folder: str | os.PathLike[str], *, limit: int | None = None
) -> dict[str, int]:
    """Unpack a zip or a tar (.gz, .bz2, .xz) into a folder that may hold other files.

    The archive's kind is recognized by its first bytes. Every file is written into a hidden folder inside `folder`,
    and moved to its place when all files are complete and checked. Links become copies of the archive's file that they
    point to. Owners, modes and times of the archive are not restored. A file that is already in its place with the same
    content stays.

    Args:
        archive: path of the archive.
        folder: target folder; created if it is missing.
        limit: unpacked bytes at most; by default 200 times the archive's size, but at least 100 MB.

    Returns:
        path relative to `folder` -> bytes of each file, sorted by path.

    Raises:
        InputError: the archive is damaged or encrypted; it holds a member that may not be written (a path out of the
            folder, a link out of the archive, a device, too many bytes; the message names it); a different file is in a
            file's place; or there is no room. None of its files is then in the folder, unless the disk failed while
            files were moved: then complete files may be there.
    """
    archive, folder = Path(archive), Path(folder)
    temporary = folder / f".{archive.name}.unpacking"
    with file_lock(folder / f"{archive.name}.unpacking"), _plain_errors(archive, folder):
        try:
            limit = unpack_limit(archive) if limit is None else limit
            if temporary.exists():
                shutil.rmtree(temporary)  # left by a killed process
            temporary.mkdir()
            with archive.open("rb") as file:
                extract = _unpack_zip if file.peek(2).startswith(ZIP) else _unpack_tar
                log.info("%s: unpacking into %s", archive, folder)
                sizes = extract(ArchiveContents(archive, temporary, limit), file)
            if not sizes:
                raise InputError(f"{archive}: contains no file")
            with file_lock(folder / "unpacked", wait=True):  # several archives may share a folder
                _move(archive, temporary, folder, sizes)
            return {str(path): sizes[path] for path in sorted(sizes)}
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _plain_errors(archive: Path, folder: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged archive, and of reading and writing files, into one line."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # raised by gzip and bz2 for a file that is no archive of theirs
            raise InputError(f"{archive}: is damaged ({error})") from error
        place = error.filename or folder
        raise InputError(f"{place}: cannot be read or written ({error.strerror}), unpacking {archive}") from error
    except DAMAGED as error:
        raise InputError(f"{archive}: is damaged, or neither a zip nor a tar (.gz, .bz2, .xz) ({error})") from error


def _unpack_zip(contents: ArchiveContents, file: IO[bytes]) -> dict[PurePosixPath, int]:
    """Unpack a zip; its whole list of contents is checked before anything is written. Return path -> bytes."""
    archive = contents.archive
    with zipfile.ZipFile(file) as source:
        for info in source.infolist():
            path, mode = safe_member_path(archive, info.filename), info.external_attr >> 16
            if info.flag_bits & 1:
                raise InputError(f"{archive}: is encrypted; unpack it by hand")
            if info.is_dir() or stat.S_ISDIR(mode) or info.filename.endswith("\\"):
                continue
            if stat.S_ISLNK(mode):
                if info.file_size > 4096:
                    contents.refuse(info.filename, "a link with too long a target")
                contents.add(
                    contents.link(info.filename, source.read(info).decode(errors="surrogateescape"), path.parent)
                )
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                contents.refuse(info.filename, "neither a plain file nor a folder")
            else:
                contents.add(ArchiveMember(path, info.file_size, info))
        copies = list(contents.copies())
        for member in contents.members.values():
            if member.target is None:
                with source.open(member.source) as content:
                    _write(content, contents.folder / member.path)
    return _finish(contents, copies)


def _unpack_tar(contents: ArchiveContents, file: io.BufferedReader) -> dict[PurePosixPath, int]:
    """Unpack a tar in one pass: members are checked as they are read, links at the end. Return path -> bytes."""
    archive = contents.archive
    contents.check_room(archive.stat().st_size)  # the unpacked files take about as much, or more
    opener = decompressor_for(file.peek(6))
    with opener(file) if opener else _uncompressed(file) as plain:
        stream = _BoundedHeaders(archive, plain)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", tarinfo=StrictTarInfo) as source:  # it only reads
            while info := source.next():
                stream.since = 0
                source.members.clear()  # type: ignore[attr-defined]  # missing in the stub; it would keep all members
                if info.isdir():
                    safe_member_path(archive, info.name)
                elif info.islnk() or info.issym():
                    base = PurePosixPath() if info.islnk() else safe_member_path(archive, info.name).parent
                    contents.add(contents.link(info.name, info.linkname, base))
                elif not info.isreg() or info.issparse():
                    contents.refuse(info.name, "neither a plain file nor a folder")
                else:
                    member = ArchiveMember(safe_member_path(archive, info.name), info.size, None)
                    contents.add(member)
                    content = source.extractfile(info)
                    assert content is not None  # it is a plain file
                    _write(content, contents.folder / member.path, member.size, stream)
        while stream.read(CHUNK):  # the checksum of the whole is at the end
            pass
    return _finish(contents, list(contents.copies()))


class _BoundedHeaders:
    """Stream of a tar that raises if too many bytes come between two members, which tarfile would hold in memory.

    Attributes:
        since: bytes read since the last member or the last piece of its content; the reader of the tar resets it.
    """

    def __init__(self, archive: Path, file: IO[bytes]) -> None:
        """Wrap a stream; the archive's path is for messages."""
        self.archive, self.file, self.since = archive, file, 0

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes.

        Raises:
            InputError: there are more than HEADER bytes without a member.
        """
        data = self.file.read(size)
        self.since += len(data)
        if self.since > HEADER:
            raise InputError(f"{self.archive}: has a header of more than {format_bytes(HEADER)}; nothing is unpacked")
        return data


@contextmanager
def _uncompressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Return a context that yields a file itself and does not close it."""
    yield file


def _write(content: IO[bytes], path: Path, size: int | None = None, stream: _BoundedHeaders | None = None) -> None:
    """Write a member's content to a new file.

    Args:
        content: the member's stream.
        path: the new file.
        size: expected bytes, if they are to be checked.
        stream: the stream of the tar, whose count of header bytes is reset.

    Raises:
        EOFError: the content has another size.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as out:
        while chunk := content.read(CHUNK):
            written += out.write(chunk)
            if stream:
                stream.since = 0
    if size is not None and written != size:
        raise EOFError("it ends inside a member")


def _finish(
    contents: ArchiveContents, copies: Iterable[tuple[PurePosixPath, ArchiveMember]]
) -> dict[PurePosixPath, int]:
    """Copy the files that links point to; return path -> bytes of all files."""
    folder = contents.folder
    sizes = {member.path: member.size for member in contents.members.values() if member.target is None}
    for path, file in copies:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file.path, folder / path)
        sizes[path] = file.size
    return sizes


def _move(archive: Path, temporary: Path, folder: Path, sizes: Mapping[PurePosixPath, int]) -> None:
    """Move unpacked files from the temporary folder to their places.

    Raises:
        InputError: a place is taken by something else, or lies behind a link that leads out of the folder.
    """
    root = folder.resolve()
    for path in sizes:
        target = folder / path
        if not target.parent.resolve().is_relative_to(root):
            raise InputError(
                f"{target.parent}: leads out of {folder}, where {archive} is unpacked; nothing is unpacked"
            )
        if target.is_symlink() or target.exists():
            same = not target.is_symlink() and target.is_file()
            if not same or not filecmp.cmp(target, temporary / path, shallow=False):
                raise InputError(f"{target}: is there already, and differs from the one in {archive}; move it away")
    for path in sizes:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (temporary / path).replace(folder / path)
