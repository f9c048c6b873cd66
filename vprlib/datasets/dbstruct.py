"""The MATLAB `dbStruct` of NetVLAD's datasets, read by field name: files differ in the order of their fields."""

from pathlib import Path

from vprlib.files import BadInput

NAMES = {"database": ("dbImage", "dbImageFns"), "query": ("qImage", "qImageFns")}
COORDINATES = {"database": "utmDb", "query": "utmQ"}


def index(root: Path, *, splits: dict, folders: dict, place):
    """Read one `.mat` a split.

    Args:
        root: the dataset's folder.
        splits: split -> the `.mat`, relative to the root.
        folders: role -> the folder, relative to the root, that the struct's image names are relative to.
        place: list of a split's database names -> list of their places' labels.
    """
    import numpy as np
    import pandas as pd

    parts = []
    for split, mat in splits.items():
        struct = read(root / mat)
        for role, folder in folders.items():
            names = [str(name).strip() for name in np.atleast_1d(_field(struct, NAMES[role], root / mat))]
            utm = np.asarray(_field(struct, (COORDINATES[role],), root / mat))
            utm = utm[:, None] if utm.shape == (2,) else utm
            if utm.shape != (2, len(names)):
                raise BadInput(f"{root / mat}: {COORDINATES[role]} is {utm.shape}, not 2 x {len(names)}")
            part = pd.DataFrame({"path": [str(Path(folder, name)) for name in names], "split": split, "role": role})
            part["place"] = place(names) if role == "database" else None
            part["east"], part["north"] = utm
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def read(path: Path) -> dict:
    """The struct's fields by name.

    Raises:
        BadInput: if the file is no MATLAB file of version 5 to 7 or holds no `dbStruct`.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, simplify_cells=True, appendmat=False)
    except Exception as error:
        raise BadInput(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if not isinstance(content.get("dbStruct"), dict):
        raise BadInput(f"{path}: holds no dbStruct")
    return content["dbStruct"]


def _field(struct: dict, names: tuple, path: Path):
    for name in names:
        if name in struct:
            return struct[name]
    raise BadInput(f"{path}: the dbStruct has no field {names[0]!r}; it has {', '.join(struct)}")
