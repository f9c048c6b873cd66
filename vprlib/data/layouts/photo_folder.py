"""Read a folder of photos with positions: in their names, in their EXIF, or by sub-folder.

A photo's position is read from its name, if the name begins with `@east@north@`, or else from the GPS tags of its EXIF,
together with its heading and time. If no photo has either, a photo's place is its sub-folder. Places without
coordinates are put on a line, 1000 km apart, so that only photos of one place are within the radius of each other;
their distances mean nothing.

Sub-folders set the split and the role by their names: see `folder_roles`. Without such a sub-folder a photo belongs to
the test database. A folder with a test database only can be described, but not evaluated.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.dataset import Dataset
from vprlib.data.folder_roles import read_folder_roles
from vprlib.data.image_table import APART
from vprlib.data.layouts.utm_names import positions_of_names, utm_name_rows
from vprlib.data.photos import heif_hint, list_photos, open_image
from vprlib.data.positions import is_null_island, metres_of_degrees
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

READERS = 8  # files that are open at the same time
GPS, EXIF = 0x8825, 0x8769  # EXIF's tag directories
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, STATUS, DIRECTION, ORIGINAL = 1, 2, 3, 4, 9, 17, 36867  # EXIF tags
NO_GPS = "no GPS"  # fault of a photo without GPS tags
WAYS = (
    "all of them need GPS in their EXIF, or names that begin with @east@north@, or a sub-folder for each place, or a "
    "CSV with the east and north of each (custom_datasets: {NAME: {csv: FILE}})"
)


def folder_dataset(path: Path, protocol: Protocol) -> Dataset:
    """Declare a custom dataset that is read from a folder of photos."""
    return Dataset(
        read_images=read_photo_folder,
        files=(".",),
        root=path,
        protocols=(protocol,),
        access=f"Name a folder of photos; {WAYS}",
        may_lack_queries=True,
    )


def read_photo_folder(root: Path) -> pd.DataFrame:
    """Read the photos below a folder into an image table.

    Raises:
        InputError: there is no photo, one cannot be read, or only some photos have a position.
    """
    names = list_photos(root)
    folders = read_folder_roles(root, names)
    table = locate_photos(root, names, [folder.place for folder in folders])
    return table.assign(
        path=names, split=[row.split for row in folders], role=[row.role or "database" for row in folders]
    )


def locate_photos(root: Path, names: Sequence[str], places: Sequence[str]) -> pd.DataFrame:
    """Return a table with the position of each photo: by its name, its EXIF, or the place that it is of.

    Args:
        root: the folder of the photos.
        names: the photos, relative to `root`.
        places: the place of each photo, which counts if none has another position; empty without one.

    Raises:
        InputError: a photo cannot be read, or only some photos have a position.
    """
    rows: list[dict[str, Any] | None] = utm_name_rows(os.path.basename(name) for name in names)  # noqa: PTH119
    faults: dict[str, str] = {}
    if not any(rows):
        with ThreadPoolExecutor(READERS) as pool:
            positions = list(pool.map(read_exif_position, [root / name for name in names]))
        rows = [None if isinstance(position, str) else position for position in positions]
        faults = {name: fault for name, fault in zip(names, positions, strict=True) if isinstance(fault, str)}
    return (
        _table_of_positions(root, names, rows, faults) if any(rows) else _table_of_places(root, names, places, faults)
    )


def _table_of_places(
    root: Path, names: Sequence[str], places: Sequence[str], faults: Mapping[str, str]
) -> pd.DataFrame:
    """Return the table of photos whose sub-folders are their places.

    Args:
        root: the folder, for messages.
        names: the photos, for messages.
        places: the place of each photo; empty if it has none.
        faults: photo -> why its EXIF gives no position.

    Raises:
        InputError: a photo is in no sub-folder that could be its place.
    """
    import pandas as pd

    unfixed = describe_faults(faults)
    if not all(places):
        outside = [name for name, place in zip(names, places, strict=True) if not place]
        raise InputError(
            f"{root}: none of its {len(names)} photos has GPS in its EXIF{unfixed} or @east@north@ in its name, and "
            f"{len(outside)} of them (the first is {outside[0]}) are in no sub-folder that could be their place; {WAYS}"
        )
    if unfixed:
        log.warning("warning: %s: no photo has a GPS position%s; the sub-folders are the places", root, unfixed)
    table = pd.DataFrame({"place": list(places)})
    table["east"], table["north"] = APART * pd.factorize(table.place, sort=True)[0], 0.0
    return table


def describe_faults(faults: Mapping[str, str]) -> str:
    """Return the photos whose GPS tags hold no position, for a message; empty if all lack the tags.

    >>> describe_faults({"a.jpg": "GPS 0, 0", "b.jpg": "no GPS"})
    ' (a.jpg: GPS 0, 0)'
    """
    named = [f"{name}: {fault}" for name, fault in faults.items() if fault != NO_GPS]
    more = f"; and {len(named) - 3} more" if len(named) > 3 else ""
    return f" ({'; '.join(named[:3])}{more})" if named else ""


def _table_of_positions(
    root: Path, names: Sequence[str], rows: Sequence[dict[str, Any] | None], faults: Mapping[str, str]
) -> pd.DataFrame:
    """Return the table of photos with positions in UTM metres.

    Args:
        root: the folder, for messages.
        names: the photos, for messages.
        rows: for each photo, its position by EXIF, or the result of `utm_name_rows`; None without a position.
        faults: photo -> why its EXIF gives no position.

    Raises:
        InputError: a photo has no position, or the positions do not fit into one UTM zone.
    """
    import pandas as pd

    lacking = [name for name, row in zip(names, rows, strict=True) if row is None]
    if lacking:
        by_exif = any("longitude" in row for row in rows if row)
        kind = "GPS in their EXIF" if by_exif else "@east@north@ in their names"
        which = describe_faults(faults) or f" (the first is {lacking[0]})"
        raise InputError(
            f"{root}: {len(lacking)} of {len(names)} photos have no {kind}, which the others have{which}; {WAYS}"
        )
    table = pd.DataFrame(rows)
    if "longitude" in table:
        table = metres_of_degrees(table, table.latitude, table.longitude, names, root)
        return table.drop(columns=["latitude", "longitude"])
    return positions_of_names(table, names, root)


def read_exif_position(path: Path) -> dict[str, Any] | str:
    """Read the position, heading and time of a photo from its EXIF; without a position return why there is none.

    Returns:
        `latitude` and `longitude` in degrees (WGS 84; south and west negative), `heading` in degrees clockwise from
        north (true or magnetic, as written), `time` as YYYYMMDD_hhmmss; heading and time are None if not written.
        NO_GPS without GPS tags; another text if they hold no position: 0, 0, no numbers, or a receiver without fix.

    Raises:
        InputError: the file is no photo.
    """
    from PIL import Image

    try:
        with open_image(path) as photo:
            tags = photo.getexif()
            gps, original = tags.get_ifd(GPS), tags.get_ifd(EXIF).get(ORIGINAL)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a photo ({error}){heif_hint(path)}") from error
    if LATITUDE not in gps or LONGITUDE not in gps:
        return NO_GPS
    if _letter(gps.get(STATUS)) == "V":
        return "GPS without fix (GPSStatus V)"
    if not _letter(gps.get(LATITUDE_REF)) or not _letter(gps.get(LONGITUDE_REF)):
        return "GPS without N or S, E or W"
    try:
        latitude = _degrees(gps[LATITUDE], _letter(gps[LATITUDE_REF]) == "S")
        longitude = _degrees(gps[LONGITUDE], _letter(gps[LONGITUDE_REF]) == "W")
    except (TypeError, ValueError, ZeroDivisionError):
        return "GPS that holds no numbers"
    if is_null_island(latitude, longitude):
        return "GPS 0, 0"
    time = str(original).strip("\0 ").replace(":", "").replace(" ", "_") if original else None
    return {"latitude": latitude, "longitude": longitude, "heading": _heading(gps.get(DIRECTION)), "time": time}


def _letter(value: Any) -> str:
    """Return the first letter of an EXIF text, in upper case; empty without one."""
    text = value.decode("ascii", "ignore") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")[:1].upper()


def _heading(value: Any) -> float | None:
    """Return a heading in degrees; None if it is missing or no number."""
    try:
        heading = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return heading if math.isfinite(heading) else None


def _degrees(parts: Sequence[float], negative: bool) -> float:
    """Convert degrees, minutes and seconds to degrees.

    Raises:
        ValueError: there are not three finite numbers.
    """
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value):
        raise ValueError("a part is no number")
    return -value if negative else value
