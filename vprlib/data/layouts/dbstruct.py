"""Read the MATLAB `dbStruct` of NetVLAD's datasets, by field name: files differ in the order of their fields.

MATLAB versions 5 to 7 and 7.3 (HDF5) are read. Names are cells of strings, char matrices padded with blanks, or nested
1 x 1 cells. Tokyo Time Machine's time stamps, if there are any, become the column `time`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.dataset import Dataset, join_path
from vprlib.data.protocol import Protocol, check_stated_radius
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from numpy.typing import NDArray

NAMES = {"database": ("dbImage", "dbImageFns"), "query": ("qImage", "qImageFns")}
COORDINATES = {"database": "utmDb", "query": "utmQ"}
TIMES = {"database": "dbTimeStamp", "query": "qTimeStamp"}
THRESHOLD = "posDistThr"


def mat_dataset(mat: str, *, database: str | None, queries: str | None, protocol: Protocol, chosen: bool) -> Dataset:
    """Declare a custom dataset whose positions and names are in a `dbStruct`.

    Args:
        mat: the file.
        database: the folder that the names of the database images are relative to; None for the file's folder.
        queries: that of the queries, likewise.
        protocol: what a hit is.
        chosen: whether the configuration sets the radius.
    """
    beside = str(Path(mat).parent)
    folders = {"database": database or beside, "query": queries or beside}
    return Dataset(
        read_images=partial(read_own_struct, mat=mat, folders=folders, protocol=protocol, chosen=chosen),
        files=(mat,),
        root=Path(),
        protocols=(protocol,),
        access="Name a .mat with a dbStruct, and the folders of its photos: mat, database, queries",
    )


def read_own_struct(
    root: Path, *, mat: str, folders: Mapping[str, str], protocol: Protocol, chosen: bool
) -> pd.DataFrame:
    """Read a `.mat` file into an image table of the test split; see `read_dbstruct`.

    Args:
        root: the dataset's root.
        mat: the file, relative to the root.
        folders: role -> the folder, relative to the root, that names are relative to.
        protocol: what a hit is.
        chosen: whether the configuration sets the radius; else the file's must be the same.

    Raises:
        InputError: as `read_dbstruct`, a named folder is a file, or the file's radius is another one.
    """
    for key, folder in folders.items():
        if (root / folder).is_file():
            raise InputError(f"{root / folder}: is a file, and a .mat needs the folder of its {key} photos")
    struct = read_mat_struct(root / mat)
    table = _read_split(struct, root / mat, "test", folders, lambda names: [None] * len(names))
    if THRESHOLD in struct:
        check_stated_radius(struct[THRESHOLD], protocol, chosen=chosen, source=f"{root / mat}: {THRESHOLD}")
    return table


def read_dbstruct(
    root: Path,
    *,
    splits: Mapping[str, str],
    folders: Mapping[str, str],
    place: Callable[[list[str]], list[str]],
) -> pd.DataFrame:
    """Read one `.mat` file per split into an image table.

    Args:
        root: the dataset's folder.
        splits: split -> the `.mat` file, relative to the root.
        folders: role -> the folder, relative to the root, that the struct's image names are relative to.
        place: maps the list of a split's database names to the list of their places' labels.

    Raises:
        InputError: a file cannot be read, or a field is missing, holds other values or has another length.
    """
    import pandas as pd

    return pd.concat(
        [_read_split(read_mat_struct(root / mat), root / mat, split, folders, place) for split, mat in splits.items()],
        ignore_index=True,
    )


def _read_split(
    struct: Mapping[str, Any],
    path: Path,
    split: str,
    folders: Mapping[str, str],
    place: Callable[[list[str]], Sequence[str | None]],
) -> pd.DataFrame:
    """Return the image table of one struct; `path` is its file, for messages."""
    import pandas as pd

    parts = []
    for role, folder in folders.items():
        names = mat_strings(_read_field(struct, NAMES[role], path), NAMES[role][0], path)
        east, north = _read_matrix(struct, COORDINATES[role], 2, len(names), path)
        paths = [join_path(folder, name) for name in names]
        part = pd.DataFrame({"path": paths, "split": split, "role": role, "east": east, "north": north})
        part["place"] = place(names) if role == "database" else None
        if TIMES[role] in struct:
            times = _read_matrix(struct, TIMES[role], 1, len(names), path)[0]
            part["time"] = [f"{time:.0f}" for time in times]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def read_mat_struct(path: Path) -> dict[str, Any]:
    """Read the fields of a file's `dbStruct` by name: text as strings or arrays of strings, numbers as arrays.

    Raises:
        InputError: the file is no MATLAB file of version 5 to 7.3, or holds no `dbStruct`.
    """
    import h5py
    from scipy.io import loadmat

    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                content = {"dbStruct": _read_hdf5(file, file["dbStruct"])} if "dbStruct" in file else {}
        else:
            content = loadmat(path, simplify_cells=True, appendmat=False, variable_names=["dbStruct"])
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if not isinstance(content.get("dbStruct"), dict):
        raise InputError(f"{path}: holds no dbStruct")
    return content["dbStruct"]


def mat_strings(value: Any, name: str, path: Path) -> list[str]:
    """Return the strings of a field's value in order, without leading and trailing blanks; cells may be nested.

    Args:
        value: a field of `read_mat_struct`.
        name: the field's name, for messages.
        path: the file, for messages.

    Raises:
        InputError: the value holds something that is no string.
    """
    import numpy as np

    if isinstance(value, str):
        return [value.strip()]
    if not isinstance(value, (list, np.ndarray)):
        raise InputError(f"{path}: {name} holds {value!r}, not the name of an image")
    return [text for item in np.ravel(np.asarray(value, object)) for text in mat_strings(item, name, path)]


def _read_hdf5(file: h5py.File, node: h5py.Group | h5py.Dataset) -> Any:
    """Read a node of a MATLAB 7.3 file: a struct is a group, a cell an array of references; arrays are transposed."""
    import h5py
    import numpy as np

    if isinstance(node, h5py.Group):
        return {name: _read_hdf5(file, child) for name, child in node.items()}
    if node.attrs.get("MATLAB_empty"):
        return ""
    array = node[()].T
    if node.dtype == h5py.ref_dtype:
        return np.fromiter((_read_hdf5(file, file[reference]) for reference in array.ravel("F")), object, array.size)
    if node.dtype == np.uint16:  # text: each row of the array is a string
        rows = [row.astype("<u2").tobytes().decode("utf-16-le") for row in array]
        return rows[0] if len(rows) == 1 else np.array(rows, object)
    return array


def _read_field(struct: Mapping[str, Any], names: tuple[str, ...], path: Path) -> Any:
    """Return the first of the named fields that the struct has.

    Raises:
        InputError: it has none of them.
    """
    for name in names:
        if name in struct:
            return struct[name]
    raise InputError(f"{path}: the dbStruct has no field {names[0]!r}; it has {', '.join(struct)}")


def _read_matrix(struct: Mapping[str, Any], name: str, height: int, width: int, path: Path) -> NDArray:
    """Return a numeric field as (height, width); axes of length one that MATLAB readers drop are restored.

    Raises:
        InputError: the field is missing, has another shape or is not numeric.
    """
    import numpy as np

    matrix = np.asarray(_read_field(struct, (name,), path))
    if matrix.ndim < 2 and matrix.size == height * width and 1 in (height, width):
        matrix = matrix.reshape(height, width)
    if matrix.shape != (height, width) or matrix.dtype.kind not in "iuf":
        raise InputError(f"{path}: {name} is {matrix.shape} {matrix.dtype}, not {height} x {width} numbers")
    return matrix
