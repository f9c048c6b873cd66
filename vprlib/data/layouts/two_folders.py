"""Read a database and queries from two folders, or two lists of photos, without any configuration."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset, join_path
from vprlib.data.layouts.csv_table import read_csv_table
from vprlib.data.layouts.photo_folder import WAYS, locate_photos
from vprlib.data.photo_lists import PhotoFinder, read_photo_list
from vprlib.data.photos import list_photos
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

POSITIONS = ("east", "north")


def two_folder_dataset(
    database: str, queries: str, protocol: Protocol, *, positions: str | None = None, ordered: bool = False
) -> Dataset:
    """Declare a dataset of a test split only, whose database and queries are two folders or lists of photos.

    Args:
        database: a folder of photos, or a list of them as `read_photo_list` takes it.
        queries: likewise.
        protocol: what a hit is.
        positions: a CSV with the columns `path` and `east`, `north` (metres) or `latitude`, `longitude` (degrees). A
            path may be the end of the photo's. Without it, positions are read as those of a folder of photos.
        ordered: whether descriptors lie beside the photos, so that the order of a folder's photos counts.
    """
    sides = {"database": database, "query": queries}
    return Dataset(
        read_images=partial(_read_two_folders, sides=sides, positions=positions, ordered=ordered),
        files=(database, queries, *((positions,) if positions else ())),
        root=Path(),
        protocols=(protocol,),
        access=f"Name two folders of photos, or two lists; {WAYS}",
    )


def list_photos_of(source: str, *, ordered: bool = False) -> list[str]:
    """Return the paths of the photos of a folder, or of a list; see `two_folder_dataset`.

    Raises:
        InputError: there is none, the list cannot be read, or the order of a folder's photos is unclear but counts.
    """
    if not Path(source).exists():
        raise InputError(f"{source}: no such file or folder")
    if ordered or not Path(source).is_dir():
        return read_photo_list(Path(), source)
    return [join_path(source, name) for name in list_photos(Path(source))]


def _read_two_folders(root: Path, *, sides: dict[str, str], positions: str | None, ordered: bool) -> pd.DataFrame:
    """Read the image table of the folders, or lists, of two roles."""
    listed = {role: list_photos_of(source, ordered=ordered) for role, source in sides.items()}
    names = [name for photos in listed.values() for name in photos]
    if positions:
        table = _positions_of_csv(names, Path(positions))
    else:
        places = [
            os.path.relpath(os.path.dirname(name), sides[role]) if Path(sides[role]).is_dir() else ""  # noqa: PTH120
            for role, photos in listed.items()
            for name in photos
        ]
        where = Path(" and ".join(sides.values()))
        table = locate_photos(where, names, ["" if place == "." else place for place in places], root=root)
    roles = [role for role, photos in listed.items() for _ in photos]
    return table.assign(path=names, split="test", role=roles)


def _positions_of_csv(names: list[str], source: Path) -> pd.DataFrame:
    """Return the rows of a CSV of positions, one for each photo in their order.

    Raises:
        InputError: the CSV has no positions, or not exactly one row for a photo.
    """
    table = read_csv_table(source.parent, source.name)
    if missing := [column for column in ("path", *POSITIONS) if column not in table]:
        raise InputError(
            f"{source}: has no column {missing[0]!r}; it needs path, and east and north, or latitude and longitude"
        )
    rows: dict[int, int] = {}
    finder = PhotoFinder(names)
    for row, path in enumerate(table.path.astype(str)):
        numbers = finder.find(path)
        if len(numbers) > 1 or not rows.keys().isdisjoint(numbers):
            fault = f"may be {len(numbers)} photos" if len(numbers) > 1 else "is a photo that has a row above"
            raise InputError(f"{source}: row {row + 1}: {path} {fault}; give each photo one row, with more of its path")
        rows |= dict.fromkeys(numbers, row)
    lacking = [name for number, name in enumerate(names) if number not in rows]
    if lacking:
        raise InputError(
            f"{source}: has no row for {lacking[0]} ({len(lacking)} of {len(names)} photos); add its path and position"
        )
    return table.iloc[[rows[number] for number in range(len(names))]].reset_index(drop=True)
