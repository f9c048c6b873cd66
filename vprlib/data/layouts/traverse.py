"""Traverses of one route whose frames correspond by number: frame i of one is the place of frame i of another.

A photo's `east` is its frame, in frames, and its `north` 0, so that a radius of 2 is a tolerance of 2 frames.
"""

import re
from pathlib import Path

from vprlib.data.layouts.utm_names import parse_utm_name
from vprlib.data.photos import PHOTO_SUFFIXES
from vprlib.exceptions import InputError


def read_traverse(root: Path, *, database: tuple, query: tuple, condition: str, listed: str | None = None):
    """Read two traverses, each a folder of numbered photos, or the tree that VPR-datasets-downloader makes of them.

    Args:
        root: the dataset's folder.
        database, query: the names that the traverse's folder goes by; the first that is there is read.
        condition: the column with the first of those names.
        listed: a text file with the names of the frames that count, relative to the root; the others are left out, and
            a frame's number is its rank in the list. Without one, all count and the number is the one in the name.

    Raises:
        InputError: a folder is missing, a photo has no number or a listed frame has no photo.
    """
    import pandas as pd

    parts = []
    for role, names, formatted in (("database", database, "database"), ("query", query, "queries")):
        where = [*(Path(name) for name in names), Path("images/test") / formatted]
        folder = next((one for one in where if (root / one).is_dir()), None)
        if folder is None:
            raise InputError(f"{root / names[0]}: no such folder")
        photos = sorted(path.name for path in (root / folder).iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
        frames = _listed(root, folder, listed, photos) if listed and folder in where[:-1] else _numbered(folder, photos)
        part = pd.DataFrame({"path": [str(folder / name) for name in frames], "east": list(frames.values())})
        parts.append(part.assign(split="test", role=role, north=0, **{condition: names[0]}))
    return pd.concat(parts, ignore_index=True)


def _numbered(folder: Path, photos: list) -> dict:
    """Name -> number: the pano field of an `@` name, or else the last digits before the suffix."""
    frames = {}
    for name in photos:
        number = (parse_utm_name(name) or {}).get("pano") or (re.findall(r"\d+", Path(name).stem) or [""])[-1]
        if not number.isdecimal():
            raise InputError(f"{folder / name}: the name holds no number of a frame")
        frames[name] = int(number)
    return frames


def _listed(root: Path, folder: Path, listed: str, photos: list) -> dict:
    names = [Path(line.strip()).name for line in (root / listed).read_text().splitlines() if line.strip()]
    ranks = {name: rank for rank, name in enumerate(sorted(names))}
    missing = set(ranks) - set(photos)
    if missing:
        raise InputError(f"{root / folder / min(missing)}: no such photo, and {listed} lists it")
    return ranks
