"""Read a dataset whose positions are in a `.npz`, as Patch-NetVLAD distributes them.

The keys `utmQ` (Q, 2) and `utmDb` (N, 2) hold east and north in metres; `posDistThr`, the hit radius in metres, may be
left out. The photos are listed beside it, in the same order.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.photo_lists import check_list_length, read_photo_list
from vprlib.data.protocol import Protocol, check_stated_radius
from vprlib.exceptions import InputError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

POSITIONS = {"database": "utmDb", "query": "utmQ"}
THRESHOLD = "posDistThr"


def npz_dataset(npz: str, *, database: str, queries: str, protocol: Protocol, chosen: bool) -> Dataset:
    """Declare a custom dataset whose positions are in a `.npz`.

    Args:
        npz: the file.
        database: list of the database images; see `read_photo_list`.
        queries: list of the queries, likewise.
        protocol: what a hit is.
        chosen: whether the configuration sets the radius.
    """
    lists = {"database": database, "query": queries}
    return Dataset(
        read_images=partial(read_npz_positions, npz=npz, lists=lists, protocol=protocol, chosen=chosen),
        files=(npz, database, queries),
        root=Path(),
        protocols=(protocol,),
        access="Name a .npz with utmDb and utmQ, and the lists (or folders) of its photos: npz, database, queries",
    )


def read_npz_positions(
    root: Path, *, npz: str, lists: dict[str, str], protocol: Protocol, chosen: bool
) -> pd.DataFrame:
    """Read the positions of a `.npz` and the photos listed beside it into an image table of the test split.

    Args:
        root: the dataset's root.
        npz: the file, relative to the root.
        lists: role -> list of its photos, relative to the root.
        protocol: what a hit is.
        chosen: whether the configuration sets the radius; else the file's must be the same.

    Raises:
        InputError: the file cannot be read, lacks a key, holds other values, or has another number of rows than there
            are photos, or its radius is another one.
    """
    import numpy as np
    import pandas as pd

    arrays = _read_arrays(root / npz)
    parts = []
    for role, key in POSITIONS.items():
        names, position_N2 = read_photo_list(root, lists[role]), arrays.get(key)
        if position_N2 is None:
            raise InputError(f"{root / npz}: has no key {key!r}; {did_you_mean(key, list(arrays))}")
        if position_N2.ndim != 2 or position_N2.shape[1] != 2 or position_N2.dtype.kind not in "iuf":
            raise InputError(
                f"{root / npz}: {key} is {position_N2.shape} {position_N2.dtype}; it must be numbers, one row of east "
                "and north a photo"
            )
        check_list_length(len(position_N2), names, source=root / npz, what=key, listed=lists[role])
        east, north = position_N2.astype(np.float64).T
        parts.append(pd.DataFrame({"path": names, "split": "test", "role": role, "east": east, "north": north}))
    stated = arrays.get(THRESHOLD)
    if stated is not None:
        check_stated_radius(stated, protocol, chosen=chosen, source=f"{root / npz}: {THRESHOLD}")
    return pd.concat(parts, ignore_index=True)


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a `.npz`; what is no plain array of numbers is never unpickled.

    Raises:
        InputError: the file is no `.npz`, or a needed array holds objects.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = [key for key in file.files if key in (*POSITIONS.values(), THRESHOLD)]
            others = {key: np.empty(0) for key in file.files if key not in wanted}
            return {key: file[key] for key in wanted} | others
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read as a .npz of numbers ({error}); write it by np.savez(FILE, utmDb=..., utmQ=..., "
            "posDistThr=...)"
        ) from error
