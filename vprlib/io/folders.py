"""Walk through the folders below a folder: each once, without hidden ones."""

import os
from collections.abc import Iterator
from pathlib import Path

from vprlib.exceptions import InputError

# folders of thumbnails and deleted files that other programs hide
HIDDEN_FOLDERS = {"$recycle.bin", "#recycle", "@eadir", "__macosx", "lost+found", "system volume information"}


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

    Hidden folders are left out, and so are links to a folder that was already reached or that contains `root`. Nothing
    is yielded if `root` is no folder.

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
        files, inner = _read_folder(folder)
        yield folder, files, []
        stack += [os.path.join(folder, name) for name, is_link in reversed(inner) if not is_link]  # noqa: PTH118
        links += [os.path.join(folder, name) for name, is_link in inner if is_link]  # noqa: PTH118


def _read_folder(folder: str) -> tuple[list[str], list[tuple[str, bool]]]:
    """Return the files of a folder, and (name, whether it is a link) of each folder in it that is not hidden."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}); change its permissions") from error
    files = [name for name, is_folder, _ in found if not is_folder]
    return files, [(name, is_link) for name, is_folder, is_link in found if is_folder and not is_hidden(name)]


def _identity(folder: str | Path) -> tuple[int, int]:
    """Return the numbers of the device and the file, which all paths of one folder share."""
    status = Path(folder).stat()
    return status.st_dev, status.st_ino
