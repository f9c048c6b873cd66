"""Photos that carry their position in their name, its fields between `@` signs.

`@east@north@zone@band@latitude@longitude@pano@tile@heading@pitch@roll@height@timestamp@note@.jpg`: the layout of
VPR-datasets-downloader, deep-visual-geo-localization-benchmark and CosPlace. Only east and north, UTM metres, are
always there; any other field may be empty, or missing with all after it.
"""

import os
from pathlib import Path

from vprlib.data.photos import list_photos
from vprlib.exceptions import InputError

FIELDS = (
    "east", "north", "zone", "band", "latitude", "longitude", "pano", "tile", "heading", "pitch", "roll", "height",
    "timestamp", "note",
)  # fmt: skip


def parse_utm_name(name: str) -> dict | None:
    """The fields of a file's name by FIELDS, without the empty ones; None if it does not begin with a position.

    East, north and heading are floats; the others are text.
    """
    before, *values = name.split("@")
    if before or len(values) < 2:
        return None
    values[-1] = values[-1].rpartition(".")[0]  # the suffix, alone after the last `@` or not
    fields = {field: value for field, value in zip(FIELDS, values, strict=False) if value}
    try:
        numbers = {key: float(fields[key]) for key in ("east", "north")}
        return fields | numbers | ({"heading": float(fields["heading"])} if "heading" in fields else {})
    except (KeyError, ValueError):
        return None


def utm_name_rows(names) -> list:
    """Names of photos -> rows of an image table, `zone` included, None in place of a name without position."""
    kept = {"east": "east", "north": "north", "zone": "zone", "heading": "heading", "pano": "place",
            "timestamp": "time", "note": "note"}  # fmt: skip
    parsed = [parse_utm_name(name) for name in names]
    return [fields and {column: fields.get(field) for field, column in kept.items()} for fields in parsed]


def read_utm_names(root: Path, *, database, queries: dict, splits=("test",), condition: str | None = None):
    """Read the tree `images/{split}/{database,queries}`, or the same without `images`.

    Args:
        root: the dataset's folder.
        database: the names that the folder of the database goes by; the first that is there is read.
        queries: a set's name -> the names that its folder goes by. A set that is not there is left out.
        splits: those that are read.
        condition: a column with the set's name; then each set has a column of its own, too, with a 1 for its queries.

    Raises:
        InputError: a folder is missing or empty, a name holds no position, or the names hold two UTM zones.
    """
    import pandas as pd

    parts = []
    top = root / "images" if (root / "images").is_dir() else root
    for split in splits:
        sets = [("database", None, database), *(("query", name, folders) for name, folders in queries.items())]
        for role, name, folders in sets:
            folder = next((top / split / one for one in folders if (top / split / one).is_dir()), None)
            if folder is None and role == "database":
                raise InputError(f"{top / split / folders[0]}: no such folder")
            if folder is not None:
                part = _read(folder, root).assign(split=split, role=role)
                parts.append(part.assign(**{condition: name}) if condition else part)
    table = pd.concat(parts, ignore_index=True)
    table = check_one_zone(table, top)
    for name in queries if condition else ():
        table[name] = (table[condition] == name).astype(int)
    return table


def check_one_zone(table, where: Path):
    """A table of `rows` without the column `zone`, and without empty ones.

    Raises:
        InputError: if there are two zones.
    """
    zones = table.zone.dropna().unique()
    if len(zones) > 1:
        raise InputError(f"{where}: the names are of UTM zones {zones[0]} and {zones[1]}, whose metres do not compare")
    return table.drop(columns="zone").dropna(axis="columns", how="all")


def _read(folder: Path, root: Path):
    import pandas as pd

    names = list_photos(folder)
    found = utm_name_rows(os.path.basename(name) for name in names)  # noqa: PTH119
    if None in found:
        raise InputError(f"{folder / names[found.index(None)]}: the name does not begin with @east@north@")
    table = pd.DataFrame(found)
    table["path"] = [str(folder.relative_to(root) / name) for name in names]
    return table
