"""Read the split and the role of photos from the names of their folders.

The outermost folder that is named as a role decides, and folders below it are places whatever their names. A split is
named above the role: `train/database/tower`.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence, Set
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
MAIN_NAMES = {"database": "database", "gallery": "database", "query": "query", "queries": "query"}
BESIDE_DATABASE = ("q", "qs")  # names of queries beside a folder of the database: elsewhere they may be places
ROLE_WORD = re.compile(
    rf"(?:({'|'.join(DATABASE_NAMES)})|({'|'.join(QUERY_NAMES)}))(?:_.*)?", re.IGNORECASE | re.DOTALL
)
FEW = 6  # folders beside each other of which one may hold the queries; more are places
KNOWN_NAMES = (
    f"{', '.join(DATABASE_NAMES)} are the database; {', '.join((*QUERY_NAMES, *BESIDE_DATABASE))} are queries; so is "
    "each with an ending, as database_* and queries_*"
)


class FolderRole(NamedTuple):
    """What the folders of a photo say."""

    split: str
    role: str  # empty if no folder names it
    place: str  # the other folders, joined by `/`; empty if there is none


def read_folder_roles(root: Path, names: Sequence[str]) -> list[FolderRole]:
    """Read what the folders of photos say.

    A split that no folder names is `test`. If a folder is named as the database, the log warns of the photos that are
    in no folder of a role: they may be queries. If no folder is named as a role, it asks which one holds the queries.
    It also warns of places that are named as another role or a split, and of folders that resemble a role.

    Args:
        root: the folder of the photos, for messages.
        names: the photos, relative to `root`.

    Raises:
        InputError: a folder looks like a misspelt role, which its split lacks.
    """
    folders = [Path(name).parts[:-1] for name in names]
    role_at = [next((i for i, word in enumerate(parts) if _role_of(word)), None) for parts in folders]
    beside = {
        parts[:at]
        for parts, at in zip(folders, role_at, strict=True)
        if at is not None and _role_of(parts[at]) == "database"
    }  # the folders in which one of the database lies
    rows = [_read_folders(parts, beside) for parts in folders]
    _check_spelling(root, folders, rows)
    if not any(row.role for row in rows):
        _ask_for_queries(root, rows)
    doubtful = [name for name, row in zip(names, rows, strict=True) if _has_doubtful_place(row)]
    if doubtful:
        log.warning(
            "warning: %s: %d photos have a place that is named as another role or a split (the first is %s); the "
            "outermost role counts, and a split above it: rename or move the folder if it is no place",
            root, len(doubtful), doubtful[0],
        )  # fmt: skip
    unnamed = [name for name, row in zip(names, rows, strict=True) if not row.role]
    if beside and unnamed:
        log.warning(
            "warning: %s: %d of %d photos are in no folder that names their role and are taken for database photos "
            "(the first is %s); %s", root, len(unnamed), len(names), unnamed[0], KNOWN_NAMES,
        )  # fmt: skip
    return rows


def _read_folders(folders: tuple[str, ...], beside: Set[tuple[str, ...]]) -> FolderRole:
    """Return what the folders of one photo say.

    Args:
        folders: their names, the outermost first.
        beside: the folders in which one of the database lies; in them, BESIDE_DATABASE are queries.
    """
    short = [i for i, word in enumerate(folders) if beside and word.lower() in BESIDE_DATABASE]
    roles = [i for i, word in enumerate(folders) if _role_of(word) or (i in short and folders[:i] in beside)]
    at = min(roles or short, default=None)
    split_at = next((i for i, word in enumerate(folders[:at]) if word.lower() in SPLIT_NAMES), None)
    split = "test" if split_at is None else SPLIT_NAMES[folders[split_at].lower()]
    role = "" if at is None else _role_of(folders[at]) or "query"
    return FolderRole(split, role, "/".join(word for i, word in enumerate(folders) if i not in (at, split_at)))


def _has_doubtful_place(row: FolderRole) -> bool:
    """Return whether a place is named as another role than its photo's, or as a split."""
    words = row.place.split("/")
    return any(word.lower() in SPLIT_NAMES or (_role_of(word) or row.role) != row.role for word in words)


def _ask_for_queries(root: Path, rows: Sequence[FolderRole]) -> None:
    """Ask which of a few folders holds the queries, where no folder is named as a role."""
    outer = sorted({row.place.split("/")[0] for row in rows if row.place})
    if 1 < len(outer) <= FEW:
        log.warning(
            "warning: %s: no folder is named as a role, so all photos are of the database, which can be described but "
            "not evaluated; does %s hold the queries? Rename it to queries, or list them "
            "(custom_datasets: {NAME: {folder: %s, database: FILE, queries: FILE}})",
            root, " or ".join(map(repr, outer)), root,
        )  # fmt: skip


def _check_spelling(root: Path, folders: Sequence[tuple[str, ...]], rows: Sequence[FolderRole]) -> None:
    """Check the folders of photos without a role: is one a misspelt role, or does the log warn of it only?

    It is taken for misspelt if it resembles one of MAIN_NAMES and if its split lacks just that role, but has the other.

    Raises:
        InputError: a folder looks like a misspelt role.
    """
    resembling: dict[tuple[str, str], str] = {}  # (split, folder) -> the name that it resembles
    roles_of = defaultdict(set)
    for parts, row in zip(folders, rows, strict=True):
        roles_of[row.split].add(row.role)
        for folder in () if row.role else parts:
            if (row.split, folder) not in resembling and len(folder) > 4:
                close = get_close_matches(folder.lower(), (*DATABASE_NAMES, *QUERY_NAMES), n=1, cutoff=0.85)
                resembling[row.split, folder] = close[0] if close else ""
    resembling = {key: meant for key, meant in resembling.items() if meant}
    for (split, folder), meant in resembling.items():
        role = MAIN_NAMES.get(meant)
        others = roles_of[split] | {MAIN_NAMES.get(name) for (its, _), name in resembling.items() if its == split}
        if role and role not in roles_of[split] and others - {"", None, role}:
            raise InputError(f"{root}: folder {folder!r}: is {meant!r} meant? Rename it; {KNOWN_NAMES}")
        log.warning(
            "warning: %s: folder %r names no role; rename it if %r is meant; %s", root, folder, meant, KNOWN_NAMES
        )


def _role_of(word: str) -> str:
    """Return the role that a folder's name means; empty if it means none.

    >>> _role_of("queries_night"), _role_of("DB"), _role_of("ref_2019"), _role_of("q"), _role_of("references2")
    ('query', 'database', 'database', '', '')
    """
    match = ROLE_WORD.fullmatch(word)
    return "" if not match else "database" if match[1] else "query"
