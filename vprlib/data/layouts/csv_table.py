"""Read a custom dataset from a CSV with one row per image.

Required columns: path (relative to the CSV's folder, or absolute), split (train, val, test), role (database, query),
and the position: east and north (metres, or the unit of the radius), or latitude and longitude (degrees, also called
lat, and lon, lng or long), which become metres of one UTM zone. Optional columns: place, heading (degrees clockwise
from north), time. Any other column is a condition of the photos (weather, season), by which recalls may be grouped.
Labels are text as written. East and north become metres of one grid if each row has a UTM zone with its band, in a
column utm_zone (33U), or with the band in a column utm_band. Columns zone and band are read likewise, if each position
lies in the zone and band of its row; otherwise they are conditions.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import COLUMNS, NUMBERS, OPTIONAL
from vprlib.data.layouts.utm_names import FIELDS
from vprlib.data.positions import may_be_utm, metres_of_degrees, parse_grid, to_one_grid
from vprlib.data.protocol import Protocol
from vprlib.data.text_table import read_text_table
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

UTM_ZONE = "utm_zone"
ZONES, BANDS = (UTM_ZONE, "zone"), ("utm_band", "band")
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
        InputError: the file cannot be parsed, a required column's name looks misspelt, a latitude or longitude is no
            position, or the UTM zones do not fit into one grid.
    """
    table = read_text_table(root / name, lambda column: column in NUMBERS)
    check_column_names(list(table.columns), root / name)
    latitude, longitude, zone, band = (_first_column(table, known) for known in (LATITUDES, LONGITUDES, ZONES, BANDS))
    names = list(table.get("path", table.index).astype(str))
    if latitude and longitude and "east" not in table and "north" not in table:
        table = metres_of_degrees(table, table[latitude], table[longitude], names, root / name)
        return table.drop(columns=[latitude, longitude])
    if zone and {"east", "north"} <= set(table):
        return _zones_to_one_grid(table, zone, table[band] if band else None, names, root / name)
    return table


def _first_column(table: pd.DataFrame, known: tuple[str, ...]) -> str | None:
    """Return the column of the first of some known names that a table has; capitals and outer spaces do not count."""
    columns = {column.strip().lower(): column for column in reversed([str(column) for column in table])}
    return next((columns[name] for name in known if name in columns), None)


def _zones_to_one_grid(
    table: pd.DataFrame, column: str, band_N: pd.Series | None, names: list[str], source: Path
) -> pd.DataFrame:
    """Return a table in metres of one grid if each row has a UTM zone with its band; else the table as it is.

    A column that is not called UTM_ZONE may hold other zones: then the positions must lie in them.

    Raises:
        InputError: the zones do not fit into one grid.
    """
    import pandas as pd

    easts, norths = (pd.to_numeric(table[axis], errors="coerce") for axis in ("east", "north"))
    zones = table[column].fillna("").str.strip()
    bands = band_N.fillna("").str.strip() if band_N is not None else pd.Series("", index=table.index)
    grids = [parse_grid(zone, band, north) for zone, band, north in zip(zones, bands, norths, strict=True)]
    if not all(grid and grid.south is not None for grid in grids) or norths.isna().any():
        return table
    if column.strip().lower() != UTM_ZONE:
        lie_in = [may_be_utm(*row) for row in zip(zones, bands, easts, norths, strict=True)]
        if not all(lie_in):
            if len(set(grids)) > 1:
                log.warning(
                    "warning: %s: column %r is a condition, because %s does not lie in the UTM zone %s; rename the "
                    "column %s if it is meant", source, column, names[lie_in.index(False)],
                    (zones + bands)[lie_in.index(False)], UTM_ZONE,
                )  # fmt: skip
            return table
    try:
        return to_one_grid(table, grids, names, source, f"column {column!r}: the rows")
    except InputError as error:
        raise InputError(f"{error}; rename the column if it holds no UTM zones") from error


def check_column_names(columns: list[str], source: Path) -> None:
    """Check that no column's name is a misspelt one of COLUMNS that is required and not there.

    The log warns of a condition that resembles an optional one that is not there. A table with latitudes and longitudes
    needs no east and north.

    Raises:
        InputError: a name looks misspelt.
    """
    known = {column.strip().lower() for column in columns}
    by_degrees = not known.isdisjoint(LATITUDES) and not known.isdisjoint(LONGITUDES)
    needless = (*OPTIONAL, "east", "north") if by_degrees else OPTIONAL
    for column in columns:
        meant = get_close_matches(column.lower(), COLUMNS, n=1, cutoff=0.75)
        if not meant or column in (*COLUMNS, *FIELDS, *LATITUDES, *LONGITUDES) or meant[0] in columns:
            continue
        if meant[0] not in needless:
            raise InputError(f"{source}: column {column!r}: is {meant[0]!r} meant? Rename it")
        log.warning("warning: %s: column %r is a condition; rename it if %r is meant", source, column, meant[0])
