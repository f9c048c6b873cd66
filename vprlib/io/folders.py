"""Walk through the folders below a folder: each once, without hidden ones."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from vprlib.exceptions import InputError

# folders of thumbnails and deleted files that other programs hide
HIDDEN_FOLDERS = {"$recycle.bin", "#recycle", "@eadir", "__macosx", "lost+found", "system volume information"}

UNRESOLVED = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}  # what a link that leads nowhere is told by


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is hidden.

    >>> is_hidden(".Trash-1000"), is_hidden("@eaDir"), is_hidden("database")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in HIDDEN_FOLDERS


def is_utf8(path: str) -> bool:
    """Return whether the bytes of a path are UTF-8; in a path from the disk, surrogates stand for bytes that are not.

    >>> is_utf8("café.jpg"), is_utf8("caf\\udce9.jpg")
    (True, False)
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def walk_folders(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder below a folder, itself first, once: links are followed after the folders themselves.

    Hidden folders are left out, and so are links to a folder that was already reached or that contains `root`, and
    links that lead to themselves. Nothing is yielded if `root` is no folder.

    Yields:
        Path of the folder, sorted names of the files in it, and sorted names of links in it that were not followed.

    Raises:
        InputError: a folder cannot be read.
    """
    if not os.path.isdir(root):  # noqa: PTH112 - asked at every parsing of the workflow
        return
    above = {_identity(folder) for folder in Path(root).resolve().parents}
    reached: set[tuple[int, int]] = set()
    pending = [os.fspath(root)]
    while pending:
        links: list[str] = []
        for start in pending:
            yield from _walk_without_links(start, reached, above, links)
        pending = links


def _walk_without_links(
    start: str, reached: set[tuple[int, int]], above: set[tuple[int, int]], links: list[str]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk below `start`; add its folders to `reached`, and the links to other folders to `links`."""
    stack = [start]
    while stack:
        folder = stack.pop()
        identity = _identity(folder)
        if identity in reached or identity in above:
            parent, name = os.path.split(folder)
            yield parent, [], [name]
            continue
        reached.add(identity)
        files, inner, unresolved = _read_folder(folder)
        yield folder, files, unresolved
        stack += [os.path.join(folder, name) for name, is_link in reversed(inner) if not is_link]  # noqa: PTH118
        links += [os.path.join(folder, name) for name, is_link in inner if is_link]  # noqa: PTH118


def _read_folder(folder: str) -> tuple[list[str], list[tuple[str, bool]], list[str]]:
    """Return the files of a folder, (name, whether it is a link) of each folder in it, and links that lead nowhere.

    Hidden folders and links are left out.
    """
    found: list[tuple[str, bool | None, bool]] = []
    where = folder
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                where = entry.path
                found.append((entry.name, _is_folder(entry), entry.is_symlink()))
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error}); change its permissions") from error
    found.sort(key=lambda one: one[0])
    files = [name for name, is_folder, _ in found if is_folder is False]
    inner = [(name, is_link) for name, is_folder, is_link in found if is_folder and not is_hidden(name)]
    return files, inner, [name for name, is_folder, _ in found if is_folder is None and not is_hidden(name)]


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """Return whether an entry is a folder or a link to one; None if it is a link that cannot be resolved."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in UNRESOLVED and entry.is_symlink():
            return None
        raise


def _identity(folder: str | Path) -> tuple[int, int]:
    """Return the numbers of the device and the file, which all paths of one folder share."""
    status = Path(folder).stat()
    return status.st_dev, status.st_ino
