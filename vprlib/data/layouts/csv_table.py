"""Read a custom dataset from a CSV with one row per image.

Required columns: path (relative to the CSV's folder, or absolute), split (train, val, test), role (database, query),
and the position: east and north (metres, or the unit of the radius), or latitude and longitude (degrees, also called
lat, and lon, lng or long), which become metres of one UTM zone. Optional columns: place, heading (degrees clockwise
from north), time. Any other column is a condition of the photos (weather, season), by which recalls may be grouped.
Labels are text as written. East and north become metres of one grid if each row has a UTM zone with its band, in a
column zone or utm_zone (33U), or with the band in a column band or utm_band.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import COLUMNS, NUMBERS
from vprlib.data.layouts.utm_names import FIELDS
from vprlib.data.positions import metres_of_degrees, parse_grid, to_one_grid
from vprlib.data.protocol import Protocol
from vprlib.data.text_table import read_text_table
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

ZONES, BANDS = ("zone", "utm_zone"), ("band", "utm_band")
LATITUDES = ("latitude", "lat")
LONGITUDES = ("longitude", "lon", "lng", "long")


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
        InputError: the file cannot be parsed, a column's name looks like a misspelt name of those above, or a latitude
            or longitude is no position.
    """
    table = read_text_table(root / name, lambda column: column in NUMBERS)
    check_column_names(list(table.columns), root / name)
    latitude, longitude, zone, band = (
        next((column for column in map(str, table) if column.strip().lower() in known), None)
        for known in (LATITUDES, LONGITUDES, ZONES, BANDS)
    )
    names = list(table.get("path", table.index).astype(str))
    if latitude and longitude and "east" not in table and "north" not in table:
        table = metres_of_degrees(table, table[latitude], table[longitude], names, root / name)
        return table.drop(columns=[latitude, longitude])
    if zone and {"east", "north"} <= set(table):
        return _zones_to_one_grid(table, table[zone], table[band] if band else None, names, root / name)
    return table


def _zones_to_one_grid(
    table: pd.DataFrame, zone_N: pd.Series, band_N: pd.Series | None, names: list[str], source: Path
) -> pd.DataFrame:
    """Return a table in metres of one grid if each row has a UTM zone with its band; else the table as it is."""
    import pandas as pd

    norths = pd.to_numeric(table.north, errors="coerce")
    bands = band_N if band_N is not None else pd.Series("", index=table.index)
    fields = zip(zone_N.fillna(""), bands.fillna(""), norths, strict=True)
    grids = [parse_grid(zone, band, north) for zone, band, north in fields]
    known = all(grid and grid.south is not None for grid in grids) and norths.notna().all()
    return to_one_grid(table, grids, names, source) if known else table


def check_column_names(columns: list[str], source: Path) -> None:
    """Check that no column's name is a misspelt one of COLUMNS; where that one stands, too, it is a condition.

    Raises:
        InputError: a name looks misspelt.
    """
    for column in columns:
        meant = get_close_matches(column.lower(), COLUMNS, n=1, cutoff=0.75)
        if meant and column not in (*COLUMNS, *FIELDS) and meant[0] not in columns:
            raise InputError(f"{source}: column {column!r}: is {meant[0]!r} meant? Rename it")
