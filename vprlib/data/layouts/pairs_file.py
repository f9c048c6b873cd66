"""Read a dataset whose ground truth is a list of pairs of photos' names, as hloc and COLMAP write it; write such pairs.

Each line has a query's name and a database photo's, with blanks between them. COLMAP's pairs have no order, so a pair
may also be written the other way round. Names are paths below the folders of the photos.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.listed_positives import listed_table
from vprlib.data.photo_lists import PhotoFinder, names_below_common_folder, read_lines, read_photo_list
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def pairs_dataset(pairs: str, *, database: str, queries: str, protocol: Protocol) -> Dataset:
    """Declare a custom dataset whose positives are pairs of names.

    Args:
        pairs: the text file.
        database: list of the database images; see `read_photo_list`.
        queries: list of the queries, likewise.
        protocol: of the unit LISTED.
    """
    lists = {"database": database, "query": queries}
    return Dataset(
        read_images=partial(read_pairs_file, pairs=pairs, lists=lists),
        files=(pairs, database, queries),
        root=Path(),
        protocols=(protocol,),
        access="Name a text file of pairs, and the lists (or folders) of its photos: pairs, database, queries",
    )


def read_pairs_file(root: Path, *, pairs: str, lists: dict[str, str]) -> pd.DataFrame:
    """Read pairs of names and the photos that they are about into an image table of the test split.

    Args:
        root: the dataset's root.
        pairs: the text file, relative to the root.
        lists: role -> list of its photos, relative to the root.

    Raises:
        InputError: the file cannot be read or has no pair, or a line is no pair of a query and a database photo.
    """
    import numpy as np

    source = root / pairs
    database, queries = (read_photo_list(root, lists[role]) for role in ("database", "query"))
    finders = PhotoFinder(queries, among=database), PhotoFinder(database, among=queries)
    positives: list[set[int]] = [set() for _ in queries]
    others = 0
    for number, line in enumerate(read_lines(source, "pairs of names"), 1):
        if not line.strip():
            continue
        pair = match_pair(line.split(), *finders, where=f"{source}: line {number}")
        if pair:
            positives[pair[0]].add(pair[1])
        else:
            others += 1
    if others:
        log.warning("warning: %s: %d pairs of two queries or of two database photos are left out", source, others)
    if not any(positives):
        raise InputError(f"{source}: has no pair of a query and a database photo; write one a line: QUERY DATABASE")
    return listed_table(database, queries, [np.array(sorted(rows), np.int64) for rows in positives])


def write_pairs_file(out: Path, queries: Sequence[str], database: Sequence[str]) -> str:
    """Write a pair `QUERY DATABASE` a line, as hloc reads it: names below the folder that holds all photos.

    hloc splits lines at blanks. If a name has one, no pairs are written, an older file is removed, and the log warns.

    Args:
        out: the file.
        queries: paths of photos.
        database: the photo that each is paired with.

    Returns:
        The folder that the names are below; empty if no pairs are written.

    Raises:
        InputError: the file cannot be written.
    """
    root, names = names_below_common_folder(queries, database)
    unreadable = [name for side in names for name in side if len(name.split()) != 1]
    if unreadable:
        out.unlink(missing_ok=True)
        log.warning(
            "warning: %s: is not written, because hloc cannot read names with blanks (the first is %s); rename them",
            out, unreadable[0],
        )  # fmt: skip
        return ""
    write_bytes(out, "".join(f"{query} {photo}\n" for query, photo in zip(*names, strict=True)).encode())
    return root


def match_pair(
    words: Sequence[str], queries: PhotoFinder, database: PhotoFinder, *, where: str
) -> tuple[int, int] | None:
    """Return the row of the query and of the database photo that a line names; None for two photos of one role.

    Args:
        words: of the line; names may hold blanks, so that there are more than two.
        queries: finds the queries.
        database: finds the database photos. A name that may be either is a query if it comes first.
        where: the file and line, for messages.

    Raises:
        InputError: a name is no photo's, or several photos'.
    """
    splits = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
    if not splits:
        raise InputError(f"{where}: has one name; write two, QUERY DATABASE")
    for first, second in splits:
        for query, photo in ((first, second), (second, first)):
            rows, others = queries.find(query), database.find(photo)
            if rows and others:
                return _single(rows, query, where), _single(others, photo, where)
    known = [[bool(queries.find(name) or database.find(name)) for name in names] for names in splits]
    if [True, True] in known:
        return None
    names, found = max(zip(splits, known, strict=True), key=lambda item: sum(item[1]))
    raise InputError(
        f"{where}: {names[found.index(False)]} is no photo of `queries` or `database`; write names as paths below "
        "their folders, QUERY DATABASE"
    )


def _single(rows: Sequence[int], name: str, where: str) -> int:
    """Return the only row.

    Raises:
        InputError: there are several.
    """
    if len(rows) > 1:
        raise InputError(f"{where}: {name} may be {len(rows)} photos; write more of its path")
    return rows[0]
