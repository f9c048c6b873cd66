"""A dataset of one's own: a CSV with a row an image.

Columns: path (relative to the CSV's folder, or absolute), split (train, val, test), role (database, query), east and
north (metres, or any unit that the radius is in); optional place, heading (degrees clockwise from north), time.
"""

from functools import partial
from pathlib import Path

from vprlib.datasets.base import COLUMNS, Dataset
from vprlib.files import BadInput


def dataset(csv: Path, radius_m: float, views_per_place: int | None, protocol: str) -> Dataset:
    return Dataset(
        index=partial(index, name=csv.name),
        files=(csv.name,),
        root=csv.parent,
        radius_m=radius_m,
        views_per_place=views_per_place,
        protocol=protocol,
        access="Write this CSV: the columns path, split, role, east, north, and if known place, heading, time",
    )


def index(root: Path, name: str):
    """Read the CSV.

    Raises:
        BadInput: if it cannot be parsed, or has a column that is not one of those above.
    """
    import pandas as pd

    try:
        table = pd.read_csv(root / name, dtype={"path": str, "split": str, "role": str, "place": str, "time": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise BadInput(f"{root / name}: cannot be read as CSV ({error})") from error
    unknown = [column for column in table.columns if column not in COLUMNS]
    if unknown:
        raise BadInput(f"{root / name}: unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}")
    return table
