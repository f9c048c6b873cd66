"""Read a folder of photos with positions: in their names, in their EXIF, or by sub-folder.

A photo's position is read from its name, if the name begins with `@east@north@`, or else from the GPS tags of its EXIF,
together with its heading and time. If no photo has either, a photo's place is its sub-folder. Places without
coordinates are put on a line, 1000 km apart, so that only photos of one place are within the radius of each other;
their distances mean nothing.

Sub-folders called train, val or test set the split; database or gallery, and query, queries or queries_*, set the role.
Without such a sub-folder a photo belongs to the test database. A folder with a test database only can be described, but
not evaluated.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import APART, SPLITS
from vprlib.data.layouts.utm_names import check_one_zone, utm_name_rows
from vprlib.data.photos import list_photos
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

READERS = 8  # files that are open at the same time
GPS, EXIF = 0x8825, 0x8769  # EXIF's tag directories
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, DIRECTION, ORIGINAL = 1, 2, 3, 4, 17, 36867  # EXIF tags
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
    import pandas as pd

    names = list_photos(root)
    parts = [_parse_folders(Path(name).parts[:-1]) for name in names]
    rows = utm_name_rows(os.path.basename(name) for name in names)  # noqa: PTH119
    if not any(rows):
        with ThreadPoolExecutor(READERS) as pool:
            rows = list(pool.map(read_exif_position, [root / name for name in names]))
    if any(rows):
        table = _table_of_positions(root, names, rows)
    elif all(place for _, _, place in parts):
        table = pd.DataFrame({"place": ["/".join(place) for _, _, place in parts]})
        table["east"], table["north"] = APART * pd.factorize(table.place, sort=True)[0], 0.0
    else:
        outside = [name for name, (_, _, place) in zip(names, parts, strict=True) if not place]
        raise InputError(
            f"{root}: none of its {len(names)} photos has GPS in its EXIF or @east@north@ in its name, and "
            f"{len(outside)} of them (the first is {outside[0]}) are in no sub-folder that could be their place; {WAYS}"
        )
    return table.assign(path=names, split=[split for split, _, _ in parts], role=[role for _, role, _ in parts])


def _parse_folders(folders: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return the split and the role that a photo's folders name, and the other folders."""
    split, role, others = "test", "database", []
    for folder in folders:
        word = folder.lower()
        if word in SPLITS:
            split = word
        elif word in ("query", "queries") or word.startswith("queries_"):
            role = "query"
        elif word not in ("database", "gallery"):
            others.append(folder)
    return split, role, others


def _table_of_positions(root: Path, names: Sequence[str], rows: Sequence[dict[str, Any] | None]) -> pd.DataFrame:
    """Return the table of photos with positions in UTM metres.

    Args:
        root: the folder, for messages.
        names: the photos, for messages.
        rows: for each photo, the result of `read_exif_position` or `utm_name_rows`.

    Raises:
        InputError: a photo has no position, or the positions do not fit into one UTM zone.
    """
    import pandas as pd

    from vprlib.data.geometry import to_utm

    lacking = [name for name, row in zip(names, rows, strict=True) if row is None]
    if lacking:
        by_exif = any("latitude" in row for row in rows if row)
        kind = "GPS in their EXIF" if by_exif else "@east@north@ in their names"
        raise InputError(
            f"{root}: {len(lacking)} of {len(names)} photos have no {kind}, which the others have (the first is "
            f"{lacking[0]}); {WAYS}"
        )
    table = pd.DataFrame(rows)
    if "latitude" in table:
        try:
            table["east"], table["north"], _ = to_utm(table.latitude, table.longitude)
        except InputError as error:
            raise InputError(f"{root}: {error}") from error
        return table.drop(columns=["latitude", "longitude"])
    return check_one_zone(table, root)


def read_exif_position(path: Path) -> dict[str, Any] | None:
    """Read the position, heading and time of a photo from its EXIF; return None without a position.

    Returns:
        `latitude` and `longitude` in degrees (WGS 84; south and west negative), `heading` in degrees clockwise from
        north (true or magnetic, as written), `time` as YYYYMMDD_hhmmss; heading and time are None if not written.

    Raises:
        InputError: the file is no photo.
    """
    from PIL import Image

    try:
        with Image.open(path) as photo:
            tags = photo.getexif()
            gps, original = tags.get_ifd(GPS), tags.get_ifd(EXIF).get(ORIGINAL)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a photo ({error})") from error
    try:
        latitude = _degrees(gps[LATITUDE], gps[LATITUDE_REF] in ("S", b"S"))
        longitude = _degrees(gps[LONGITUDE], gps[LONGITUDE_REF] in ("W", b"W"))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    heading = float(gps[DIRECTION]) if DIRECTION in gps else None
    time = str(original).strip("\0 ").replace(":", "").replace(" ", "_") if original else None
    return {"latitude": latitude, "longitude": longitude, "heading": heading, "time": time}


def _degrees(parts: Sequence[float], negative: bool) -> float:
    """Convert degrees, minutes and seconds to degrees.

    Raises:
        ValueError: there are not three numbers, or one is NaN.
    """
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    if value != value:
        raise ValueError("0/0 is no angle")
    return -value if negative else value
