"""Read a folder of photos with positions whose roles two lists give, as hloc's lists of database images and of queries.

A list has one photo a line, as a path below the folder, perhaps with its camera behind it. All photos belong to the
test split; photos in neither list are left out.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset, join_path
from vprlib.data.layouts.photo_folder import WAYS, locate_photos
from vprlib.data.photo_lists import read_photo_names
from vprlib.data.photos import list_photos
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def listed_folder_dataset(folder: str, *, database: str, queries: str, protocol: Protocol) -> Dataset:
    """Declare a custom dataset of the photos of a folder that two lists name.

    Args:
        folder: the folder of the photos, which carry their positions.
        database: text file of the database images, paths below `folder`.
        queries: text file of the queries, likewise.
        protocol: defines a hit.
    """
    lists = {"database": database, "query": queries}
    return Dataset(
        read_images=partial(read_listed_folder, folder=folder, lists=lists),
        files=(folder, database, queries),
        root=Path(),
        protocols=(protocol,),
        access=f"Name a folder of photos and the lists of its database and of its queries; {WAYS}",
    )


def read_listed_folder(root: Path, *, folder: str, lists: dict[str, str]) -> pd.DataFrame:
    """Read the listed photos of a folder into an image table of the test split.

    Args:
        root: the dataset's root.
        folder: the folder of the photos, relative to the root.
        lists: role -> list of its photos, relative to the root.

    Raises:
        InputError: a list cannot be read or names a photo that is not in the folder, a photo is in both, or one has no
            position.
    """
    photos = set(list_photos(root / folder))
    role_of: dict[str, str] = {}
    for role, listed in lists.items():
        if (root / listed).is_dir():
            raise InputError(f"{root / listed}: is a folder; beside `folder`, name a text file with one path a line")
        names = [join_path(".", name) for name in read_photo_names(root / listed)]
        if missing := [name for name in names if name not in photos]:
            raise InputError(
                f"{root / listed}: {len(missing)} of its {len(names)} photos are not in {root / folder} (the first is "
                f"{missing[0]}); write each as its path below that folder"
            )
        if twice := [name for name in names if role_of.get(name, role) != role]:
            raise InputError(f"{root / listed}: {twice[0]} is a photo of both lists; remove it from one of them")
        role_of |= dict.fromkeys(names, role)
    if len(role_of) < len(photos):
        log.info(
            "%s: %d of %d photos are in no list and left out", root / folder, len(photos - set(role_of)), len(photos)
        )
    table = locate_photos(root / folder, list(role_of), [""] * len(role_of), root=root / folder)
    return table.assign(path=[join_path(folder, name) for name in role_of], split="test", role=list(role_of.values()))
