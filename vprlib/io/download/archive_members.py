"""Members of untrusted archives: those that may not be unpacked are refused before anything is in its place."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from vprlib.exceptions import InputError
from vprlib.io.files import format_bytes

MEMBERS = 5_000_000  # members of an archive, at most


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


class ArchiveContents:
    """Members of an archive, collected as they are read; members that may not be unpacked into `folder` are refused.

    Attributes:
        archive: path of the archive.
        folder: folder to unpack it into.
        limit: bytes that it may unpack to.
        free: bytes that the folder's disk had free at the start.
        members: path -> member.
        folders: paths of the folders that hold members.
        bytes: sum of the members' bytes.
    """

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
