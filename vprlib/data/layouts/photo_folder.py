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

from vprlib.data.dataset import SPLITS, Dataset, Protocol, photos_under
from vprlib.data.layouts import utm_names as atnames
from vprlib.io.files import BadInput

APART = 1e6  # metres from one place without coordinates to the next
READERS = 8  # files opened at a time
GPS, EXIF = 0x8825, 0x8769  # the directories of tags
WAYS = (
    "all of them need GPS in their EXIF, or names that begin with @east@north@, or a sub-folder for each place, or a "
    "CSV with the east and north of each (custom: {NAME: {csv: FILE}})"
)
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, DIRECTION, ORIGINAL = 1, 2, 3, 4, 17, 36867


def dataset(path: Path, protocol: Protocol) -> Dataset:
    return Dataset(
        index=index,
        files=(".",),
        root=path,
        protocols=(protocol,),
        access=f"Name a folder of photos; {WAYS}",
        may_lack_queries=True,
    )


def index(root: Path):
    """Read the photos under a folder.

    Raises:
        BadInput: it holds no photo, one cannot be read, or only some of them say where they were taken.
    """
    import pandas as pd

    names = photos_under(root)
    parts = [_sort(Path(name).parts[:-1]) for name in names]
    rows = atnames.rows(os.path.basename(name) for name in names)  # noqa: PTH119
    if not any(rows):
        with ThreadPoolExecutor(READERS) as pool:
            rows = list(pool.map(exif, [root / name for name in names]))
    if any(rows):
        table = _positioned(root, names, rows)
    elif all(place for _, _, place in parts):
        table = pd.DataFrame({"place": ["/".join(place) for _, _, place in parts]})
        table["east"], table["north"] = APART * pd.factorize(table.place, sort=True)[0], 0.0
    else:
        outside = [name for name, (_, _, place) in zip(names, parts, strict=True) if not place]
        raise BadInput(
            f"{root}: none of its {len(names)} photos has GPS in its EXIF or @east@north@ in its name, and "
            f"{len(outside)} of them, the first is {outside[0]}, are in no sub-folder that could be their place; {WAYS}"
        )
    return table.assign(path=names, split=[split for split, _, _ in parts], role=[role for _, role, _ in parts])


def placeless(table, unit: str) -> bool:
    """Whether positions, in a protocol's unit, are those of places without coordinates, as `index` makes them up."""
    return unit == "m" and bool((table.north == 0).all() and (table.east % APART == 0).all())


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

    from vprlib.data.geometry import utm

    lacking = [name for name, row in zip(names, rows, strict=True) if row is None]
    if lacking:
        by_exif = any("latitude" in row for row in rows if row)
        kind = "GPS in their EXIF" if by_exif else "@east@north@ in their names"
        raise BadInput(
            f"{root}: {len(lacking)} of {len(names)} photos have no {kind}, as the others have, the first is "
            f"{lacking[0]}; {WAYS}"
        )
    table = pd.DataFrame(rows)
    if "latitude" in table:
        try:
            table["east"], table["north"], _ = utm(table.latitude, table.longitude)
        except BadInput as error:
            raise BadInput(f"{root}: {error}") from error
        return table.drop(columns=["latitude", "longitude"])
    return atnames.of_one_zone(table, root)


def exif(path: Path) -> dict | None:
    """Where, which way and when a photo was taken, by its EXIF; None without a position.

    Returns:
        latitude and longitude in degrees (WGS 84; south and west negative), heading in degrees clockwise from north
        (true or magnetic, as written), time as YYYYMMDD_hhmmss.

    Raises:
        BadInput: if it is no photo.
    """
    from PIL import Image

    try:
        with Image.open(path) as photo:
            tags = photo.getexif()
            gps, original = tags.get_ifd(GPS), tags.get_ifd(EXIF).get(ORIGINAL)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: cannot be read as a photo ({error})") from error
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
