"""Image table, one row per photo: its columns, splits and roles, and functions to read and select rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vprlib.data.listed_positives import LISTED, LISTED_POSITIVES
from vprlib.data.text_table import read_written_table
from vprlib.io.fingerprints import short_hash

if TYPE_CHECKING:
    import os

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

COLUMNS = ("path", "split", "role", "place", "east", "north", "heading", "time")  # any other column is a condition
NUMBERS = ("east", "north", "heading")
OPTIONAL = ("place", "heading", "time")
SPLITS = ("train", "val", "test")
ROLES = ("database", "query")
APART = 1e6  # metres between two places without coordinates


def read_image_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read an image table from its CSV.

    NUMBERS are numbers. All other columns are text as written, and an empty cell is missing; only columns that hold
    nothing but 0 and 1, as those that select a protocol's queries, are integers.

    Raises:
        InputError: the file is no CSV in UTF-8, or is not as `write_csv` wrote it.
    """
    table = read_written_table(path, lambda column: column in NUMBERS, required=True)
    others = [column for column in table if column not in (*COLUMNS, LISTED_POSITIVES)] if len(table) else []
    flags = [column for column in others if table[column].isin(["0", "1"]).all()]
    return table.astype(dict.fromkeys(flags, int))


def row_numbers(table: pd.DataFrame, split: str, role: str) -> NDArray[np.int64]:
    """Return the row numbers of one split and role, increasing."""
    import numpy as np

    return np.flatnonzero((table.split == split) & (table.role == role))


def select_rows(table: pd.DataFrame, split: str, role: str) -> pd.DataFrame:
    """Return the rows of one split and role, renumbered from 0 in the table's order."""
    return table.iloc[row_numbers(table, split, role)].reset_index(drop=True)


def hash_test_photos(table: pd.DataFrame) -> str:
    """Return a hash of the paths of the database and the queries of the test split, in order.

    Descriptors and rankings carry it, because they name photos by their row.
    """
    paths = {role: select_rows(table, "test", role).path.tolist() for role in ROLES}
    return short_hash(paths)


def has_no_coordinates(table: pd.DataFrame, unit: str) -> bool:
    """Return whether positions are none: where positives are listed, or where positions only identify places.

    The layout of a photo folder without coordinates puts places on the east axis, at multiples of APART.

    Args:
        table: rows with east and north.
        unit: the unit of a protocol's radius; positions in frames are never of this kind.
    """
    if unit == LISTED:
        return True
    return unit == "m" and bool((table.north == 0).all() and (table.east % APART == 0).all())
