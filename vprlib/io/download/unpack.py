"""Unpack untrusted archives: no file is written outside the folder, and no incomplete file stays in it."""

import filecmp
import io
import logging
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, cast

from vprlib.exceptions import InputError
from vprlib.io.download.archives import CHUNK, DAMAGED, ZIP, StrictTarInfo, decompressor_for, unpack_limit
from vprlib.io.files import file_lock, format_bytes

log = logging.getLogger(__name__)


MEMBERS = 5_000_000  # members of an archive, at most
HEADER = 1 << 25  # bytes between two members of a tar, at most: GNU and PAX headers are held in memory


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive, or a link to one.

    Attributes:
        path: path relative to the folder.
        size: bytes; 0 for a link.
        source: what the archive's reader opens; None for a link or a tar's member.
        target: path, relative to the folder, that a link points to; None for a file.
    """

    path: PurePosixPath
    size: int
    source: Any
    target: PurePosixPath | None = None


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
    with file_lock(folder / f"{archive.name}.unpacking"):
        try:
            limit = unpack_limit(archive) if limit is None else limit
            if temporary.exists():
                shutil.rmtree(temporary)  # left by a killed process
            temporary.mkdir()
            with archive.open("rb") as file:
                extract = _unpack_zip if file.peek(2).startswith(ZIP) else _unpack_tar
                log.info("%s: unpacking into %s", archive, folder)
                sizes = extract(_ArchiveContents(archive, temporary, limit), file)
            if not sizes:
                raise InputError(f"{archive}: holds no file")
            with file_lock(folder / "unpacked", wait=True):  # several archives may share a folder
                _move(archive, temporary, folder, sizes)
            return {str(path): sizes[path] for path in sorted(sizes)}
        except InputError:
            raise
        except OSError as error:
            if error.errno is None:  # raised by gzip and bz2 for a file that is no archive of theirs
                raise InputError(f"{archive}: is damaged ({error})") from error
            place = error.filename or folder
            raise InputError(f"{place}: cannot be read or written ({error.strerror}), unpacking {archive}") from error
        except DAMAGED as error:
            raise InputError(f"{archive}: is damaged, or neither a zip nor a tar (.gz, .bz2, .xz) ({error})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def safe_member_path(archive: str | os.PathLike[str], name: str) -> PurePosixPath:
    """Return the path inside the folder of a member's name; backslashes, as in some zips, separate folders.

    Args:
        archive: path of the archive, for messages.
        name: the member's name.

    Raises:
        InputError: the name is absolute, or has `..`, a drive letter or control characters.

    >>> safe_member_path("x.zip", "a\\\\b.jpg")
    PurePosixPath('a/b.jpg')
    """
    text = name.replace("\\", "/")
    path = PurePosixPath(text)
    drive = re.match(r"[A-Za-z]:", text)
    if path.is_absolute() or ".." in path.parts or drive or any(ord(letter) < 32 for letter in text):
        raise InputError(
            f"{archive}: its member {name!r} has no path inside the folder (it is absolute, or has '..', a drive or "
            f"control characters); nothing is unpacked"
        )
    return path


class _ArchiveContents:
    """Members of an archive, collected as they are read; members that may not be unpacked into `folder` are refused."""

    def __init__(self, archive: Path, folder: Path, limit: int) -> None:
        """Set the archive, the folder to unpack it into, and the number of bytes it may unpack to."""
        self.archive, self.folder, self.limit = archive, folder, limit
        self.free = shutil.disk_usage(folder).free
        self.members: dict[PurePosixPath, ArchiveMember] = {}
        self.folders: set[PurePosixPath] = set()
        self.bytes = 0

    def add(self, member: ArchiveMember) -> None:
        """Add a member.

        Raises:
            InputError: its path is taken, or there are too many members or bytes.
        """
        if member.path in self.members or member.path in self.folders or not member.path.parts:
            raise InputError(f"{self.archive}: holds {str(member.path)!r} twice")
        for parent in member.path.parents:
            if parent in self.members:
                raise InputError(f"{self.archive}: holds {str(parent)!r} as a file and as a folder")
            if parent in self.folders:
                break
            self.folders.add(parent)
        self.members[member.path] = member
        if len(self.members) > MEMBERS:
            raise InputError(f"{self.archive}: has more than {MEMBERS} members")
        self.count(member.size)

    def count(self, size: int) -> None:
        """Add a file's bytes to those of the archive.

        Raises:
            InputError: they exceed the limit, or the free room.
        """
        self.bytes += size
        if self.bytes > self.limit:
            raise InputError(
                f"{self.archive}: would unpack to more than {format_bytes(self.limit)}; nothing is unpacked"
            )
        self.check_room(self.bytes)

    def check_room(self, size: int) -> None:
        """Check that the disk had this many bytes free at the start.

        Raises:
            InputError: it had less.
        """
        if size > self.free:
            raise InputError(
                f"{self.folder.parent}: has {format_bytes(self.free)} free, and {self.archive} needs at least "
                f"{format_bytes(size)} to be unpacked; make room and run it again"
            )

    def refuse(self, name: str, what: str) -> NoReturn:
        """Raise InputError about a member."""
        raise InputError(f"{self.archive}: its member {name!r} is {what}; nothing is unpacked")

    def link(self, name: str, target: str, base: PurePosixPath) -> ArchiveMember:
        """Return the member of a link.

        Args:
            name: the link's name.
            target: the link's target, relative to `base`.
            base: the folder of a symbolic link; the archive's root for a hard link.

        Raises:
            InputError: the target is outside the archive.
        """
        parts: list[str] = []
        text = target.replace("\\", "/")
        for part in (*base.parts, *text.split("/")):
            if part == ".." and parts:
                parts.pop()
            elif part == ".." or text.startswith("/") or re.match(r"[A-Za-z]:", text):
                self.refuse(name, f"a link out of the folder, to {target!r}")
            elif part not in ("", "."):
                parts.append(part)
        return ArchiveMember(safe_member_path(self.archive, name), 0, None, PurePosixPath(*parts))

    def copies(self) -> Iterator[tuple[PurePosixPath, ArchiveMember]]:
        """Yield each link's path and the file that it points to, directly or through other links; count its bytes.

        Raises:
            InputError: a link points to no file of the archive, or the copies need too many bytes.
        """
        for member in self.members.values():
            if member.target is None:
                continue
            visited: set[PurePosixPath] = set()
            file: ArchiveMember | None = member
            while file is not None and file.target is not None and file.path not in visited:
                visited.add(file.path)
                file = self.members.get(file.target)
            if file is None or file.target is not None:
                self.refuse(str(member.path), f"a link to {str(member.target)!r}, which is no file of the archive")
            self.count(file.size)
            yield member.path, file


def _unpack_zip(contents: _ArchiveContents, file: IO[bytes]) -> dict[PurePosixPath, int]:
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


def _unpack_tar(contents: _ArchiveContents, file: io.BufferedReader) -> dict[PurePosixPath, int]:
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
    contents: _ArchiveContents, copies: Iterable[tuple[PurePosixPath, ArchiveMember]]
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
