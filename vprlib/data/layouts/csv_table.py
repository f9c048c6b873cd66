"""Read a custom dataset from a CSV with one row per image.

Required columns: path (relative to the CSV's folder, or absolute), split (train, val, test), role (database, query),
east and north (metres, or the unit of the radius). Optional columns: place, heading (degrees clockwise from north),
time. Any other column is a condition of the photos (weather, season), by which recalls may be grouped.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import COLUMNS
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd


def csv_dataset(csv: Path, protocol: Protocol) -> Dataset:
    """Declare a custom dataset that is read from a CSV."""
    return Dataset(
        read_images=partial(read_csv_table, name=csv.name),
        files=(csv.name,),
        root=csv.parent,
        protocols=(protocol,),
        access="Write this CSV: the columns path, split, role, east, north, and if known place, heading, time",
    )


def read_csv_table(root: Path, name: str) -> pd.DataFrame:
    """Read the CSV `name` in the folder `root`.

    Raises:
        InputError: the file cannot be parsed, or a column's name looks like a misspelt name of those above.
    """
    import pandas as pd

    try:
        table = pd.read_csv(root / name, dtype={"path": str, "split": str, "role": str, "place": str, "time": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{root / name}: cannot be read as CSV ({error})") from error
    for column in table.columns:
        meant = get_close_matches(column.lower(), COLUMNS, n=1, cutoff=0.75)
        if column not in COLUMNS and meant:
            raise InputError(f"{root / name}: column {column!r}: is {meant[0]!r} meant? Rename it")
    return table
