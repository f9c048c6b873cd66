"""Unpacking of archives that strangers made: nothing leaves the folder, nothing half written stays in it."""

import filecmp
import logging
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vprlib.exceptions import InputError
from vprlib.io.download.archives import CHUNK, DAMAGED, ZIP, StrictTarInfo, decompressor_for, unpack_limit
from vprlib.io.files import file_lock, format_bytes

log = logging.getLogger(__name__)


MEMBERS = 5_000_000
HEADER = 1 << 25  # bytes between two members of a tar; GNU and PAX headers are held in memory


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive, or a link to one."""

    path: PurePosixPath  # relative to the folder
    size: int  # bytes; 0 of a link
    source: object  # what the archive's reader opens
    target: PurePosixPath | None = None  # of a link, relative to the folder


def unpack_archive(archive, folder, *, limit: int | None = None) -> dict:
    """Unpack a zip or a tar (.gz, .bz2, .xz), told by its first bytes, into a folder that may hold other files.

    Every file is written into a hidden folder inside `folder` and moved to its place when all are whole and
    checked. Links become copies of the archive's file they point to. Owners, modes and times of the archive are
    not taken over; a file that is already there with the same content stays.

    Args:
        archive: path of the file.
        folder: where to; made if it is missing.
        limit: unpacked bytes at most; by default 200 times the archive's, and 100 MB in any case.

    Returns:
        {path relative to `folder`: bytes} of its files, sorted.

    Raises:
        InputError: the archive is damaged or encrypted, holds what may not be written (a path out of the folder, a link
            out of the archive, a device, too much; the member is named), or a different file or no room is there.
            Nothing of it is then in the folder, but where the disk failed in the last step, whole files.
    """
    archive, folder = Path(archive), Path(folder)
    temporary = folder / f".{archive.name}.unpacking"
    with file_lock(folder / f"{archive.name}.unpacking"):
        try:
            limit = unpack_limit(archive) if limit is None else limit
            if temporary.exists():
                shutil.rmtree(temporary)  # of a killed process
            temporary.mkdir()
            with archive.open("rb") as file:
                extract = _unpack_zip if file.peek(2).startswith(ZIP) else _unpack_tar
                log.info("%s: is unpacked into %s", archive, folder)
                found = extract(_Contents(archive, temporary, limit), file)
            if not found:
                raise InputError(f"{archive}: holds no file")
            with file_lock(folder / "unpacked", wait=True):  # several archives may share a folder
                _move(archive, temporary, folder, found)
            return {str(path): found[path] for path in sorted(found)}
        except InputError:
            raise
        except OSError as error:
            if error.errno is None:  # how gzip and bz2 call what is no archive of theirs
                raise InputError(f"{archive}: is damaged ({error})") from error
            place = error.filename or folder
            raise InputError(f"{place}: cannot be read or written ({error.strerror}), unpacking {archive}") from error
        except DAMAGED as error:
            raise InputError(f"{archive}: is damaged, or neither a zip nor a tar (.gz, .bz2, .xz) ({error})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def safe_member_path(archive, name: str) -> PurePosixPath:
    """A member's name -> its path inside the folder; backslashes, which some zips hold, separate folders.

    Raises:
        InputError: the name is absolute, has `..`, a drive letter or control characters.
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


class _Contents:
    """The members of one archive, as they come; refuses what may not be unpacked into `folder`."""

    def __init__(self, archive, folder: Path, limit: int):
        self.archive, self.folder, self.limit = archive, folder, limit
        self.free = shutil.disk_usage(folder).free
        self.members, self.folders, self.bytes = {}, set(), 0

    def add(self, member: ArchiveMember):
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

    def count(self, size: int):
        self.bytes += size
        if self.bytes > self.limit:
            raise InputError(
                f"{self.archive}: would unpack to more than {format_bytes(self.limit)}; nothing is unpacked"
            )
        self.check_room(self.bytes)

    def check_room(self, size: int):
        if size > self.free:
            raise InputError(
                f"{self.folder.parent}: has {format_bytes(self.free)} free, and {self.archive} needs at least "
                f"{format_bytes(size)} to be unpacked; make room and run it again"
            )

    def refuse(self, name: str, what: str):
        raise InputError(f"{self.archive}: its member {name!r} is {what}; nothing is unpacked")

    def link(self, name: str, target: str, base: PurePosixPath) -> ArchiveMember:
        """A link's member; a symbolic one counts from its folder, `base`, a hard one from the archive's root."""
        parts = []
        text = target.replace("\\", "/")
        for part in (*base.parts, *text.split("/")):
            if part == ".." and parts:
                parts.pop()
            elif part == ".." or text.startswith("/") or re.match(r"[A-Za-z]:", text):
                self.refuse(name, f"a link out of the folder, to {target!r}")
            elif part not in ("", "."):
                parts.append(part)
        return ArchiveMember(safe_member_path(self.archive, name), 0, None, PurePosixPath(*parts))

    def copies(self) -> Iterator:
        """(link, the file that it leads to, over other links if need be)."""
        for member in self.members.values():
            if member.target is None:
                continue
            seen, file = set(), member
            while file is not None and file.target is not None and file.path not in seen:
                seen.add(file.path)
                file = self.members.get(file.target)
            if file is None or file.target is not None:
                self.refuse(str(member.path), f"a link to {str(member.target)!r}, which is no file of the archive")
            self.count(file.size)
            yield member.path, file


def _unpack_zip(contents: _Contents, file) -> dict:
    """Unpack a zip, whose list of contents is checked whole before anything is written."""
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


def _unpack_tar(contents: _Contents, file) -> dict:
    """Unpack a tar, read once: its members are checked as they come, links when all are here."""
    archive = contents.archive
    contents.check_room(archive.stat().st_size)  # it takes about that, or more
    opened = decompressor_for(file.peek(6))
    with opened(file) if opened else _same(file) as plain:
        stream = _Bounded(archive, plain)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=StrictTarInfo) as source:
            while info := source.next():
                stream.since = 0
                source.members.clear()  # tarfile would keep them all
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
                    _write(source.extractfile(info), contents.folder / member.path, member.size, stream)
        while stream.read(CHUNK):  # to the end, where the checksum of the whole is
            pass
    return _finish(contents, list(contents.copies()))


class _Bounded:
    """A stream that refuses to go on for long without a member: what tarfile would gather in memory."""

    def __init__(self, archive, file):
        self.archive, self.file, self.since = archive, file, 0

    def read(self, size):
        data = self.file.read(size)
        self.since += len(data)
        if self.since > HEADER:
            raise InputError(f"{self.archive}: has a header of more than {format_bytes(HEADER)}; nothing is unpacked")
        return data


@contextmanager
def _same(file):
    yield file


def _write(content, path: Path, size: int | None = None, stream: _Bounded | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as out:
        while chunk := content.read(CHUNK):
            written += out.write(chunk)
            if stream:
                stream.since = 0
    if size is not None and written != size:
        raise EOFError("it ends inside a member")


def _finish(contents: _Contents, copies) -> dict:
    folder = contents.folder
    found = {member.path: member.size for member in contents.members.values() if member.target is None}
    for path, file in copies:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file.path, folder / path)
        found[path] = file.size
    return found


def _move(archive, temporary: Path, folder: Path, found):
    """Move unpacked files to their places, if none of these is taken by something else or lies behind a link out."""
    root = folder.resolve()
    for path in found:
        target = folder / path
        if not target.parent.resolve().is_relative_to(root):
            raise InputError(
                f"{target.parent}: leads out of {folder}, where {archive} is unpacked; nothing is unpacked"
            )
        if target.is_symlink() or target.exists():
            same = not target.is_symlink() and target.is_file()
            if not same or not filecmp.cmp(target, temporary / path, shallow=False):
                raise InputError(f"{target}: is there already, and differs from the one in {archive}; move it away")
    for path in found:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (temporary / path).replace(folder / path)
