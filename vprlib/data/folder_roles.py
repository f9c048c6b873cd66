"""Read the split and the role of photos from the names of their folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from vprlib.exceptions import InputError

log = logging.getLogger(__name__)

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
DATABASE_NAMES = ("database", "db", "gallery", "ref", "reference", "references", "refs")
QUERY_NAMES = ("query", "queries", "probe", "probes")
WITH_DATABASE = ("q", "qs")  # names of queries where a folder of the database is named, too: else they may be places
KNOWN_NAMES = (
    f"{', '.join(DATABASE_NAMES)} are the database; {', '.join((*QUERY_NAMES, *WITH_DATABASE))}, query_* and queries_* "
    "are queries"
)


class FolderRole(NamedTuple):
    """What the folders of a photo say."""

    split: str
    role: str  # empty if no folder names it
    place: str  # the other folders, joined by `/`; empty if there is none


def read_folder_roles(root: Path, names: Sequence[str]) -> list[FolderRole]:
    """Read what the folders of photos say.

    A split that no folder names is `test`. If a folder is named as the database, the log warns of the photos that are
    in no folder of a role: they may be queries.

    Args:
        root: the folder of the photos, for messages.
        names: the photos, relative to `root`.

    Raises:
        InputError: a folder looks like a misspelt role.
    """
    folders = [Path(name).parts[:-1] for name in names]
    words = {word.lower(): word for parts in folders for word in parts}
    has_database = any(word in DATABASE_NAMES for word in words)
    for word, folder in words.items():
        close = get_close_matches(word, (*DATABASE_NAMES, *QUERY_NAMES), n=1, cutoff=0.85)
        if close and not _role_of(word, has_database) and len(word) > 4:
            raise InputError(f"{root}: folder {folder!r}: is {close[0]!r} meant? Rename it; {KNOWN_NAMES}")
    rows = [_read_folders(parts, has_database) for parts in folders]
    unnamed = [name for name, row in zip(names, rows, strict=True) if not row.role]
    if has_database and unnamed:
        log.warning(
            "warning: %s: %d of %d photos are in no folder that names their role and are taken for database photos "
            "(the first is %s); %s", root, len(unnamed), len(names), unnamed[0], KNOWN_NAMES,
        )  # fmt: skip
    return rows


def _read_folders(folders: Sequence[str], has_database: bool) -> FolderRole:
    """Return what the folders of one photo say; the innermost split and role count."""
    split, role, others = "test", "", []
    for folder in folders:
        word = folder.lower()
        named = _role_of(word, has_database)
        if word in SPLIT_NAMES:
            split = SPLIT_NAMES[word]
        elif named:
            role = named
        else:
            others.append(folder)
    return FolderRole(split, role, "/".join(others))


def _role_of(word: str, has_database: bool) -> str:
    """Return the role that a folder's name means, in lower case; empty if it means none.

    >>> _role_of("queries_night", False), _role_of("q", False), _role_of("q", True), _role_of("tower", True)
    ('query', '', 'query', '')
    """
    if word in DATABASE_NAMES:
        return "database"
    named = word in QUERY_NAMES or word.startswith(("query_", "queries_")) or (has_database and word in WITH_DATABASE)
    return "query" if named else ""
