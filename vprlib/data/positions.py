"""Bring positions as others write them into metres of one grid: degrees, UTM zones, hemispheres.

Axes: N photos.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vprlib.data.geometry import from_utm, to_utm
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

log = logging.getLogger(__name__)

NULL_ISLAND = 1e-4  # degrees: cameras without a position write 0, 0
FALSE_NORTHING = 1e7  # metres, which UTM adds south of the equator
ZONE = re.compile(r"0?(\d{1,2})([C-HJ-NP-X])?", re.IGNORECASE)
BAND_S = 3.4e6, 4.6e6  # northings of the latitude band S, 32 to 40 degrees north; elsewhere the letter S means south
EASTINGS = 1e5, 9e5  # metres, of all positions in a UTM zone
BANDS = "CDEFGHJKLMNPQRSTUVWX"  # of 8 degrees each, from 80 degrees south
BAND_HEIGHT = 8 * 110_700.0  # metres on the grid; at most 1 % less or more
BAND_SLACK = 1.5e5  # metres, for the curved and uneven edges of the bands
MOST = 0.5  # share of the photos


class Grid(NamedTuple):
    """The UTM grid of a position: zone 1 to 60, and whether the false northing was added; None if that is unknown."""

    zone: int
    south: bool | None

    def __str__(self) -> str:
        """Return the grid's name, as 33N."""
        return f"{self.zone}{'' if self.south is None else 'S' if self.south else 'N'}"


def is_null_island(latitude: float, longitude: float) -> bool:
    """Return whether a position is 0, 0, as cameras write without a fix."""
    return abs(latitude) < NULL_ISLAND and abs(longitude) < NULL_ISLAND


def metres_of_degrees(
    table: pd.DataFrame, latitude_N: ArrayLike, longitude_N: ArrayLike, names: Sequence[str], where: Path
) -> pd.DataFrame:
    """Return a table with `east` and `north` from latitudes and longitudes; the log says the UTM zone.

    Args:
        table: N rows.
        latitude_N: (N,) degrees (WGS 84), north positive; numbers or their text.
        longitude_N: (N,) degrees (WGS 84), east positive; numbers or their text.
        names: the N photos, for messages.
        where: the folder or file, for messages.

    Raises:
        InputError: a position is 0, 0, is no position or lies too far from the others.
    """
    import pandas as pd

    latitude, longitude = (
        pd.to_numeric(pd.Series(x), errors="coerce").astype(float) for x in (latitude_N, longitude_N)
    )
    null = ((latitude.abs() < NULL_ISLAND) & (longitude.abs() < NULL_ISLAND)).to_numpy()
    if null.any():
        raise InputError(
            f"{where}: {null.sum()} of {len(table)} photos have the position 0, 0, which cameras without GPS fix write "
            f"(the first is {names[int(null.argmax())]}); leave them out or correct them"
        )
    try:
        east_N, north_N, zone = to_utm(latitude, longitude, names)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    log.info("%s: %d positions in degrees became metres of UTM zone %s", where, len(table), zone)
    return table.assign(east=east_N, north=north_N)


def parse_grid(zone: str | None, band: str | None, north: float, latitude: str | None = None) -> Grid | None:
    """Return the UTM grid that a photo's name gives, or None if its field is no zone.

    Letters are latitude bands (C to M south, N to X north of the equator); S with another northing than the band's is
    the southern hemisphere.

    Args:
        zone: 1 to 60, perhaps with a letter.
        band: a letter, if the zone has none.
        north: northing in metres.
        latitude: degrees; its sign counts where there is no letter.

    >>> str(parse_grid("36", "M", 9_999_995)), str(parse_grid("54S", None, 3_950_000)), parse_grid("IMG_1", None, 0)
    ('36S', '54N', None)
    """
    match = ZONE.fullmatch(zone or "")
    if not match or not 1 <= int(match[1]) <= 60:
        return None
    letter = (match[2] or (band if band and re.fullmatch("[C-HJ-NP-Xc-hj-np-x]", band) else "")).upper()
    if letter == "S":
        return Grid(int(match[1]), not BAND_S[0] < north < BAND_S[1])
    if letter:
        return Grid(int(match[1]), letter < "N")
    try:
        return Grid(int(match[1]), float(latitude) < 0 if latitude else None)
    except ValueError:
        return Grid(int(match[1]), None)


def may_be_utm(zone: str, band: str, east: float, north: float) -> bool:
    """Return whether a position may be metres of the UTM zone and latitude band that are given for it.

    N and S may be hemispheres, too.

    Args:
        zone: 1 to 60, perhaps with a letter.
        band: a letter, if the zone has none.
        east: easting in metres.
        north: northing in metres.

    >>> may_be_utm("33U", "", 4e5, 5.4e6), may_be_utm("33", "N", 4e5, 5.4e6), may_be_utm("1D", "", 4e5, 5.4e6)
    (True, True, False)
    """
    grid = parse_grid(zone, band, north)
    if not grid or grid.south is None or not EASTINGS[0] <= east <= EASTINGS[1]:
        return False
    letter = (zone[-1] if zone[-1].isalpha() else band).upper()
    if letter in "NS":
        return 0 <= north <= FALSE_NORTHING
    lower = (BANDS.index(letter) - BANDS.index("N")) * BAND_HEIGHT + FALSE_NORTHING * grid.south
    return lower - BAND_SLACK <= north <= lower + BAND_HEIGHT * (1.5 if letter == "X" else 1) + BAND_SLACK


def to_one_grid(
    table: pd.DataFrame,
    grids: Sequence[Grid | None],
    names: Sequence[str],
    where: Path,
    whose: str = "the names",
) -> pd.DataFrame:
    """Return a table whose `east` and `north` are metres of one grid.

    Positions of one zone on both sides of the equator lose the false northing of the south. Positions of several zones
    become metres of the zone in the middle.

    Args:
        table: N rows with `east` and `north`.
        grids: the grid of each row, if it is known.
        names: the N photos, for messages.
        where: the folder or file, for messages.
        whose: what gives the zones, for messages.

    Raises:
        InputError: the zones are too far apart for one grid, or only some photos have a zone.
    """
    import numpy as np

    first = dict(zip(reversed(grids), reversed(names), strict=True))
    known = [grid for grid in dict.fromkeys(grids) if grid]
    zones = list(dict.fromkeys(grid.zone for grid in known))
    if len(zones) > 2 and all(grid.south is None for grid in known):  # the field numbers the photos
        return table
    hemispheres = {grid.south for grid in known}
    if len(zones) < 2 and not {True, False} <= hemispheres:
        return table
    listed = " and ".join(f"{grid} ({first[grid]})" for grid in known[:4])
    if None in first or None in hemispheres:
        name = first.get(None) or next(first[grid] for grid in known if grid.south is None)
        raise InputError(
            f"{where}: {whose} are of UTM zones {listed}, and {name} does not give its zone and band; add them"
        )
    if len(zones) > 1:
        return _to_middle_zone(table, grids, names, f"{where}: {whose} are of UTM zones {listed}")
    south_N = np.array([bool(grid and grid.south) for grid in grids])
    log.info("%s: %s are of UTM zones %s; both sides of the equator became one grid, north of it", where, whose, listed)
    return table.assign(north=table.north - np.where(south_N, FALSE_NORTHING, 0))


def _to_middle_zone(
    table: pd.DataFrame, grids: Sequence[Grid | None], names: Sequence[str], subject: str
) -> pd.DataFrame:
    """Convert positions of several zones to the one in which the median position lies."""
    zone_N = [grid.zone if grid else 0 for grid in grids]
    south_N = [bool(grid and grid.south) for grid in grids]
    try:
        east_N, north_N, zone = to_utm(*from_utm(table.east, table.north, zone_N, south_N), names)
    except InputError as error:
        raise InputError(f"{subject}, whose metres do not compare: {error}") from error
    log.info("%s; all became metres of zone %s", subject, zone)
    return table.assign(east=east_N, north=north_N)


def in_degree_range(table: pd.DataFrame) -> bool:
    """Return whether all positions lie where longitudes and latitudes do."""
    return len(table) > 0 and bool((table.east.abs() <= 180).all() and (table.north.abs() <= 90).all())


def have_digits_of_degrees(table: pd.DataFrame) -> bool:
    """Return whether positions lie where degrees do, most of them finer than a millimetre.

    Metres of a local origin may be such, too: poses of SLAM and of reconstructions have many digits.

    Args:
        table: rows with `east` and `north`, numbers.
    """
    if not in_degree_range(table):
        return False
    coordinates = table[["east", "north"]].to_numpy(float) * 1000
    fine_N = (abs(coordinates - coordinates.round()) > 1e-6).any(1)
    return bool(fine_N.mean() > MOST)


def extent(table: pd.DataFrame) -> float:
    """Return the diagonal of the rectangle that holds all positions but those at 0, 0, in their unit.

    Args:
        table: rows with `east` and `north`, numbers.
    """
    known = table.loc[(table.east != 0) | (table.north != 0), ["east", "north"]]
    sides = known.max() - known.min()
    return math.hypot(sides.east, sides.north) if len(known) else 0.0


def check_metres(table: pd.DataFrame, source: Path, radius: float) -> None:
    """Check that positions of a protocol in metres are metres.

    Positions that look like degrees are taken for metres, with a warning, if they extend farther than the hit radius:
    those of a town or a country in degrees do not.

    Args:
        table: the image table; `east` and `north` are finite.
        source: its file, for messages.
        radius: the hit radius in metres.

    Raises:
        InputError: they are degrees, or photos lie at 0, 0 and the others in a UTM zone.
    """
    first = table.iloc[0]
    if have_digits_of_degrees(table):
        if extent(table) < radius:
            raise InputError(
                f"{source}: east and north can only be degrees, not metres: all photos are within the hit radius "
                f"{radius:g} ({first.path}: {first.east:g}, {first.north:g}); give latitude and longitude columns "
                "instead, or, if they are metres, round them to millimetres"
            )
        log.warning(
            "warning: %s: east and north are taken for metres, %.0f m across; give latitude and longitude columns "
            "instead if they are degrees", source, extent(table),
        )  # fmt: skip
    null_N = ((table.east == 0) & (table.north == 0)).to_numpy()
    if null_N.any() and table.east.abs().median() > 1e5 and table.north.abs().median() > 1e3:
        raise InputError(
            f"{source}: {table.path.iloc[int(null_N.argmax())]}: its position is 0, 0 and the others are UTM metres "
            f"({null_N.sum()} such photos); leave them out or correct them"
        )
