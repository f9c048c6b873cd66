"""A folder of photos that know where they were taken.

A photo's position is read from its name, if that begins with `@east@north@`, or else from the GPS tags of its EXIF,
with its heading and time; or, if no photo has either, a photo's place is its sub-folder. Places without coordinates
are put on a line, 1000 km apart, so that only photos of one place are within the radius of each other; their
distances mean nothing.

Sub-folders called train, val or test, and database or gallery, query, queries or queries_*, tell split and role;
where there is none, a photo is of the test database, and such a folder alone can be described, not evaluated.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import APART, SPLITS
from vprlib.data.layouts.utm_names import check_one_zone, utm_name_rows
from vprlib.data.photos import list_photos
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

READERS = 8  # files opened at a time
GPS, EXIF = 0x8825, 0x8769  # the directories of tags
WAYS = (
    "all of them need GPS in their EXIF, or names that begin with @east@north@, or a sub-folder for each place, or a "
    "CSV with the east and north of each (custom: {NAME: {csv: FILE}})"
)
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, DIRECTION, ORIGINAL = 1, 2, 3, 4, 17, 36867


def folder_dataset(path: Path, protocol: Protocol) -> Dataset:
    return Dataset(
        index=read_photo_folder,
        files=(".",),
        root=path,
        protocols=(protocol,),
        access=f"Name a folder of photos; {WAYS}",
        may_lack_queries=True,
    )


def read_photo_folder(root: Path):
    """Read the photos under a folder.

    Raises:
        InputError: it holds no photo, one cannot be read, or only some of them say where they were taken.
    """
    import pandas as pd

    names = list_photos(root)
    parts = [_sort(Path(name).parts[:-1]) for name in names]
    rows = utm_name_rows(os.path.basename(name) for name in names)  # noqa: PTH119
    if not any(rows):
        with ThreadPoolExecutor(READERS) as pool:
            rows = list(pool.map(read_exif_position, [root / name for name in names]))
    if any(rows):
        table = _positioned(root, names, rows)
    elif all(place for _, _, place in parts):
        table = pd.DataFrame({"place": ["/".join(place) for _, _, place in parts]})
        table["east"], table["north"] = APART * pd.factorize(table.place, sort=True)[0], 0.0
    else:
        outside = [name for name, (_, _, place) in zip(names, parts, strict=True) if not place]
        raise InputError(
            f"{root}: none of its {len(names)} photos has GPS in its EXIF or @east@north@ in its name, and "
            f"{len(outside)} of them, the first is {outside[0]}, are in no sub-folder that could be their place; {WAYS}"
        )
    return table.assign(path=names, split=[split for split, _, _ in parts], role=[role for _, role, _ in parts])


def _sort(folders: tuple) -> tuple:
    """The split, the role and what is left of the folders that a photo is in."""
    split, role, left = "test", "database", []
    for folder in folders:
        word = folder.lower()
        if word in SPLITS:
            split = word
        elif word in ("query", "queries") or word.startswith("queries_"):
            role = "query"
        elif word not in ("database", "gallery"):
            left.append(folder)
    return split, role, left


def _positioned(root: Path, names: list, rows: list):
    import pandas as pd

    from vprlib.data.geometry import to_utm

    lacking = [name for name, row in zip(names, rows, strict=True) if row is None]
    if lacking:
        by_exif = any("latitude" in row for row in rows if row)
        kind = "GPS in their EXIF" if by_exif else "@east@north@ in their names"
        raise InputError(
            f"{root}: {len(lacking)} of {len(names)} photos have no {kind}, as the others have, the first is "
            f"{lacking[0]}; {WAYS}"
        )
    table = pd.DataFrame(rows)
    if "latitude" in table:
        try:
            table["east"], table["north"], _ = to_utm(table.latitude, table.longitude)
        except InputError as error:
            raise InputError(f"{root}: {error}") from error
        return table.drop(columns=["latitude", "longitude"])
    return check_one_zone(table, root)


def read_exif_position(path: Path) -> dict | None:
    """Where, which way and when a photo was taken, by its EXIF; None without a position.

    Returns:
        latitude and longitude in degrees (WGS 84; south and west negative), heading in degrees clockwise from north
        (true or magnetic, as written), time as YYYYMMDD_hhmmss.

    Raises:
        InputError: if it is no photo.
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


def _degrees(parts: tuple, negative: bool) -> float:
    """Degrees, minutes and seconds as one number."""
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    if value != value:
        raise ValueError("0/0 is no angle")
    return -value if negative else value
