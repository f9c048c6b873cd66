"""Read traverses of one route whose frames correspond by number: frame i of each shows the same place.

A photo's `east` is its frame number and its `north` is 0, so a radius of 2 is a tolerance of 2 frames.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.layouts.utm_names import parse_utm_name
from vprlib.data.photos import photo_suffixes
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd


def read_traverse(
    root: Path, *, database: Sequence[str], query: Sequence[str], condition: str, listed: str | None = None
) -> pd.DataFrame:
    """Read two traverses, each a folder of numbered photos, or the tree that VPR-datasets-downloader makes of them.

    Args:
        root: the dataset's folder.
        database: possible names of the database traverse's folder; the first that exists is read.
        query: possible names of the query traverse's folder, likewise.
        condition: name of a column that gets the first of those names.
        listed: a text file, relative to the root, with the names of the frames to read. Other photos are left out, and
            a frame's number is its rank in the sorted list. Without a list all photos are read, and a frame's number
            is the one in its name. The list does not apply to VPR-datasets-downloader's tree.

    Raises:
        InputError: a folder is missing, a photo has no number or a listed frame has no photo.
    """
    import pandas as pd

    parts = []
    for role, names, formatted in (("database", database, "database"), ("query", query, "queries")):
        folders = [*(Path(name) for name in names), Path("images/test") / formatted]
        folder = next((candidate for candidate in folders if (root / candidate).is_dir()), None)
        if folder is None:
            raise InputError(f"{root / names[0]}: no such folder")
        photos = sorted(path.name for path in (root / folder).iterdir() if path.suffix.lower() in photo_suffixes())
        if listed and folder in folders[:-1]:
            frames = _ranks_in_list(root, folder, listed, photos)
        else:
            frames = _numbers_in_names(folder, photos)
        part = pd.DataFrame({"path": [str(folder / name) for name in frames], "east": list(frames.values())})
        parts.append(part.assign(split="test", role=role, north=0, **{condition: names[0]}))
    return pd.concat(parts, ignore_index=True)


def _numbers_in_names(folder: Path, photos: Sequence[str]) -> dict[str, int]:
    """Return photo name -> frame number: the pano field of an `@` name, or else the last digits before the suffix.

    Raises:
        InputError: a name holds no number.
    """
    frames = {}
    for name in photos:
        number = (parse_utm_name(name) or {}).get("pano") or (re.findall(r"\d+", Path(name).stem) or [""])[-1]
        if not number.isdecimal():
            raise InputError(f"{folder / name}: the name holds no frame number")
        frames[name] = int(number)
    return frames


def _ranks_in_list(root: Path, folder: Path, listed: str, photos: Sequence[str]) -> dict[str, int]:
    """Return photo name -> rank in the sorted list of frames.

    Raises:
        InputError: a listed frame has no photo.
    """
    names = [Path(line.strip()).name for line in (root / listed).read_text().splitlines() if line.strip()]
    ranks = {name: rank for rank, name in enumerate(sorted(names))}
    missing = set(ranks) - set(photos)
    if missing:
        raise InputError(f"{root / folder / min(missing)}: no such photo, and {listed} lists it")
    return ranks
