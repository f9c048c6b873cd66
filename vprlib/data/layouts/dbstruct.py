"""The MATLAB `dbStruct` of NetVLAD's datasets, read by field name: files differ in the order of their fields.

Versions 5 to 7 and 7.3 (HDF5). Names are cells of strings, char matrices padded with blanks, or nested 1 x 1 cells.
Tokyo Time Machine's time stamps, where there are any, become the column `time`.
"""

from pathlib import Path

from vprlib.data.dataset import join_path
from vprlib.exceptions import InputError

NAMES = {"database": ("dbImage", "dbImageFns"), "query": ("qImage", "qImageFns")}
COORDINATES = {"database": "utmDb", "query": "utmQ"}
TIMES = {"database": "dbTimeStamp", "query": "qTimeStamp"}


def read_dbstruct(root: Path, *, splits: dict, folders: dict, place):
    """Read one `.mat` a split.

    Args:
        root: the dataset's folder.
        splits: split -> the `.mat`, relative to the root.
        folders: role -> the folder, relative to the root, that the struct's image names are relative to.
        place: list of a split's database names -> list of their places' labels.
    """
    import pandas as pd

    parts = []
    for split, mat in splits.items():
        struct = read_mat_struct(root / mat)
        for role, folder in folders.items():
            names = mat_strings(_field(struct, NAMES[role], root / mat), NAMES[role][0], root / mat)
            east, north = _matrix(struct, COORDINATES[role], 2, len(names), root / mat)
            paths = [join_path(folder, name) for name in names]
            part = pd.DataFrame({"path": paths, "split": split, "role": role, "east": east, "north": north})
            part["place"] = place(names) if role == "database" else None
            if TIMES[role] in struct:
                part["time"] = [f"{time:.0f}" for time in _matrix(struct, TIMES[role], 1, len(names), root / mat)[0]]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def read_mat_struct(path: Path) -> dict:
    """The struct's fields by name; text as strings or arrays of them, numbers as arrays.

    Raises:
        InputError: if the file is no MATLAB file of version 5 to 7.3 or holds no `dbStruct`.
    """
    import h5py
    from scipy.io import loadmat

    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                content = {"dbStruct": _hdf5(file, file["dbStruct"])} if "dbStruct" in file else {}
        else:
            content = loadmat(path, simplify_cells=True, appendmat=False, variable_names=["dbStruct"])
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if not isinstance(content.get("dbStruct"), dict):
        raise InputError(f"{path}: holds no dbStruct")
    return content["dbStruct"]


def mat_strings(value, name: str, path) -> list:
    """The strings in a value, in order, without the blanks around them.

    Raises:
        InputError: if there is something else in it.
    """
    import numpy as np

    if isinstance(value, str):
        return [value.strip()]
    if not isinstance(value, (list, np.ndarray)):
        raise InputError(f"{path}: {name} holds {value!r}, not the name of an image")
    return [found for item in np.ravel(np.asarray(value, object)) for found in mat_strings(item, name, path)]


def _hdf5(file, node):
    """What MATLAB 7.3 wrote: a struct is a group, a cell an array of references; every array is transposed."""
    import h5py
    import numpy as np

    if isinstance(node, h5py.Group):
        return {name: _hdf5(file, child) for name, child in node.items()}
    if node.attrs.get("MATLAB_empty"):
        return ""
    array = node[()].T
    if node.dtype == h5py.ref_dtype:
        return np.fromiter((_hdf5(file, file[reference]) for reference in array.ravel("F")), object, array.size)
    if node.dtype == np.uint16:  # text: a row of the array is a string
        rows = [row.astype("<u2").tobytes().decode("utf-16-le") for row in array]
        return rows[0] if len(rows) == 1 else np.array(rows, object)
    return array


def _field(struct: dict, names: tuple, path: Path):
    for name in names:
        if name in struct:
            return struct[name]
    raise InputError(f"{path}: the dbStruct has no field {names[0]!r}; it has {', '.join(struct)}")


def _matrix(struct: dict, name: str, height: int, width: int, path: Path):
    """A field of numbers, (height, width); MATLAB readers drop axes of one.

    Raises:
        InputError: if it is missing, of another shape or no numbers.
    """
    import numpy as np

    matrix = np.asarray(_field(struct, (name,), path))
    if matrix.ndim < 2 and matrix.size == height * width and 1 in (height, width):
        matrix = matrix.reshape(height, width)
    if matrix.shape != (height, width) or matrix.dtype.kind not in "iuf":
        raise InputError(f"{path}: {name} is {matrix.shape} {matrix.dtype}, not {height} x {width} numbers")
    return matrix
