"""Patch-NetVLAD's ground truth: an `.npz` with utmQ, utmDb (N, 2) and two text files with the names in its order.

The `.mat` files of NetVLAD's project page hold the same and more, so the registered datasets are read from those; this
one is for those who have these files only (QVPR/Patch-NetVLAD, patchnetvlad/dataset_gt_files and dataset_imagenames).
"""

from pathlib import Path

from vprlib.files import BadInput

COORDINATES = {"database": "utmDb", "query": "utmQ"}


def index(root: Path, *, truth: str, names: dict, split: str = "test"):
    """Read one ground truth.

    Args:
        root: the dataset's folder.
        truth: the `.npz`, relative to the root.
        names: role -> the list of names, relative to the root; a name a line, each relative to the root.

    Raises:
        BadInput: a file cannot be read, or lists and coordinates differ in number.
    """
    import numpy as np
    import pandas as pd

    try:
        with np.load(root / truth, allow_pickle=False) as file:
            positions = {role: file[key] for role, key in COORDINATES.items()}
    except Exception as error:
        raise BadInput(f"{root / truth}: cannot be read as ground truth with utmQ and utmDb ({error})") from error
    parts = []
    for role, listed in names.items():
        try:
            paths = (root / listed).read_text().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{root / listed}: cannot be read ({error})") from error
        paths = [path.strip() for path in paths if path.strip()]
        if positions[role].shape != (len(paths), 2):
            raise BadInput(
                f"{root / truth}: {COORDINATES[role]} is {positions[role].shape}, and {listed} lists {len(paths)} names"
            )
        east, north = positions[role].T
        parts.append(pd.DataFrame({"path": paths, "split": split, "role": role, "east": east, "north": north}))
    return pd.concat(parts, ignore_index=True)
