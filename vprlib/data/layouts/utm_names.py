"""Read photos whose names hold their position, in fields between `@` signs.

`@east@north@zone@band@latitude@longitude@pano@tile@heading@pitch@roll@height@timestamp@note@.jpg`: the layout of
VPR-datasets-downloader, deep-visual-geo-localization-benchmark and CosPlace. Only east and north (UTM metres) are
required. Any other field may be empty, or missing with all fields after it. A third field that is no UTM zone is
ignored. Names whose first two fields can only be a longitude and a latitude are converted, if one is beyond 90 and so
tells which is which.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.photos import list_photos
from vprlib.data.positions import metres_of_degrees, parse_grid, to_one_grid
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

FIELDS = (
    "east", "north", "zone", "band", "latitude", "longitude", "pano", "tile", "heading", "pitch", "roll", "height",
    "timestamp", "note",
)  # fmt: skip
COLUMN_FIELDS = {
    "east": "east", "north": "north", "zone": "zone", "band": "band", "latitude": "latitude", "heading": "heading",
    "place": "pano", "time": "timestamp", "note": "note",
}  # fmt: skip
GRID_FIELDS = ["zone", "band", "latitude"]
DEGREES = re.compile(r"@-?\d{1,3}\.\d{4,}@-?\d{1,3}\.\d{4,}(@|\.\D)")  # four decimals: metres have fewer


def parse_utm_name(name: str) -> dict[str, Any] | None:
    """Parse a file's name into FIELDS, without the empty ones; return None if it does not begin with a position.

    East, north and heading are floats; the other fields are strings.

    >>> parse_utm_name("@500.5@4000@17@T@.jpg")
    {'east': 500.5, 'north': 4000.0, 'zone': '17', 'band': 'T'}
    """
    before, *values = name.split("@")
    if before or len(values) < 2:
        return None
    values[-1] = values[-1].rpartition(".")[0]  # the suffix follows the last `@`, or the last field
    fields = {field: value for field, value in zip(FIELDS, values, strict=False) if value}
    try:
        numbers = {key: float(fields[key]) for key in ("east", "north")}
        return fields | numbers | ({"heading": float(fields["heading"])} if "heading" in fields else {})
    except (KeyError, ValueError):
        return None


def utm_name_rows(names: Iterable[str]) -> list[dict[str, Any] | None]:
    """Parse photos' names into rows for `positions_of_names`; None for a name without a position."""
    parsed = [parse_utm_name(name) for name in names]
    return [fields and {column: fields.get(field) for column, field in COLUMN_FIELDS.items()} for fields in parsed]


def read_utm_names(
    root: Path,
    *,
    database: Sequence[str],
    queries: Mapping[str, Sequence[str]],
    splits: Sequence[str] = ("test",),
    condition: str | None = None,
) -> pd.DataFrame:
    """Read the tree `images/{split}/{database,queries}`, or the same without `images`.

    Args:
        root: the dataset's folder.
        database: possible names of the database folder; the first that exists is read.
        queries: name of a query set -> possible names of its folder. A set without a folder is left out.
        splits: the splits to read.
        condition: name of a column for the query set's name. If it is given, each query set also has a column of its
            own name, with a 1 for its queries.

    Raises:
        InputError: a folder is missing or empty, a name holds no position, or the positions do not fit into one grid.
    """
    import pandas as pd

    parts = []
    top = root / "images" if (root / "images").is_dir() else root
    for split in splits:
        sets = [("database", None, database), *(("query", name, folders) for name, folders in queries.items())]
        for role, name, folders in sets:
            folder = next((top / split / folder for folder in folders if (top / split / folder).is_dir()), None)
            if folder is None and role == "database":
                raise InputError(f"{top / split / folders[0]}: no such folder")
            if folder is not None:
                part = _read_folder(folder, root).assign(split=split, role=role)
                parts.append(part.assign(**{condition: name}) if condition else part)
    table = pd.concat(parts, ignore_index=True)
    table = positions_of_names(table, list(table.path), top)
    for name in queries if condition else ():
        table[name] = (table[condition] == name).astype(int)
    return table


def positions_of_names(table: pd.DataFrame, names: Sequence[str], where: Path) -> pd.DataFrame:
    """Return a table whose positions are metres of one grid, without GRID_FIELDS and empty columns.

    Args:
        table: N rows of `utm_name_rows`.
        names: the N photos' paths or names.
        where: the folder, for messages.

    Raises:
        InputError: the positions do not fit into one grid, or are degrees of which none tells which is the latitude.
    """
    if names_are_degrees(table, names):
        if max(table.east.abs().max(), table.north.abs().max()) <= 90:
            raise InputError(
                f"{where}: names begin with degrees, all within 90, which do not tell the latitude from the longitude "
                f"(the first is {names[0]}); list the photos in a CSV with the columns latitude and longitude, or, if "
                "they are metres, round them to millimetres"
            )
        swapped = bool((table.north.abs() > 90).any())
        latitude, longitude = (table.east, table.north) if swapped else (table.north, table.east)
        table = metres_of_degrees(table, latitude, longitude, names, where)
    else:
        fields = table[["zone", "band", "north", "latitude"]].astype(object)
        rows = fields.where(fields.notna(), None).itertuples(index=False)
        table = to_one_grid(table, [parse_grid(*row) for row in rows], names, where)
    return table.drop(columns=GRID_FIELDS).dropna(axis="columns", how="all")


def names_are_degrees(table: pd.DataFrame, names: Sequence[str]) -> bool:
    """Return whether the first two fields of names can only be degrees: they are in range and most have four decimals.

    Args:
        table: N rows with `east` and `north`.
        names: the N photos' paths or names.
    """
    smaller, larger = sorted((table.east.abs().max(), table.north.abs().max()))
    fine = sum(DEGREES.match(os.path.basename(name)) is not None for name in names)  # noqa: PTH119
    return bool(smaller <= 90 and larger <= 180 and fine > len(names) / 2)


def _read_folder(folder: Path, root: Path) -> pd.DataFrame:
    """Read the photos below a folder into rows of `utm_name_rows` with paths relative to the root.

    Raises:
        InputError: there is no photo, or a name holds no position.
    """
    import pandas as pd

    names = list_photos(folder)
    rows = utm_name_rows(os.path.basename(name) for name in names)  # noqa: PTH119
    if None in rows:
        raise InputError(f"{folder / names[rows.index(None)]}: the name does not begin with @east@north@")
    table = pd.DataFrame(rows)
    table["path"] = [str(folder.relative_to(root) / name) for name in names]
    return table
