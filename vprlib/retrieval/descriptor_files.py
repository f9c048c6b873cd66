"""Open files of descriptors that other programs wrote, and find the row of each photo.

Axes: N photos, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import h5py
import numpy as np
from numpy.typing import NDArray

from vprlib.data.photo_lists import PhotoFinder, read_photo_names
from vprlib.exceptions import InputError
from vprlib.io.files import open_h5

DESCRIBED = "descriptors"  # dataset of a file that `vprlib describe` wrote; `paths` beside it are its photos
KINDS = ("raw", "whitened")  # datasets of the files of a run
UNIT_ERROR = 1e-3  # a row whose length differs more from 1 is not of unit length: float16 has errors below it
BLOCK = 1 << 24  # values that are read together


class Origin(NamedTuple):
    """What the attributes of a file of this library say of its rows; empty where a file says nothing."""

    photos: str = ""  # `hash_test_photos` of the image table whose photos they are
    network: str = ""  # SHA-256 of the checkpoint, or the name of a network without one
    whitening: str = ""  # SHA-256, of whitened rows


class DescriptorFile(NamedTuple):
    """Descriptors as another program wrote them: rows of any order and length."""

    x_ND: Any  # a memory-mapped array or an HDF5 dataset, of floating point
    listed: list[str] | None  # the photo of each row, if the file or a list names them
    name: str  # of the file, and its dataset if it has several, for messages
    origin: Origin = Origin()


@contextmanager
def open_descriptors(
    path: str | Path, names: Sequence[str], paths: str | Path | None = None
) -> Iterator[DescriptorFile]:
    """Open a `.npy` array or an HDF5 file of descriptors.

    Args:
        path: the file.
        names: names that the dataset of an HDF5 file may have; the first one that is there is read. Its photos are
            listed in a dataset `<name>_paths`, or `paths` beside `descriptors`, if there is one.
        paths: a list with the photo of each row; see `read_photo_names`.

    Raises:
        InputError: the file cannot be read or has no such dataset, it holds no rows of floating-point numbers, or the
            list has another number of photos.
    """
    path, listed = Path(path), read_photo_names(Path(paths)) if paths else None
    if path.suffix == ".npy":
        yield _checked(_map_npy(path), listed, str(path), paths)
        return
    with open_h5(path, verify=()) as file:
        name = next((name for name in names if isinstance(file.get(name), h5py.Dataset)), None)
        if name is None:
            raise InputError(f"{path}: has no dataset {' or '.join(names)}; it has {', '.join(sorted(file)) or 'none'}")
        with open_h5(path, verify=(name,)):  # compared with its checksum, if this library wrote it
            pass
        beside = "paths" if name == DESCRIBED else f"{name}_paths"
        if listed is None and beside in file:
            listed = _read_paths(file[beside], f"{path}: {beside}")
        given = _checked(file[name], listed, f"{path}: {name}", paths or path)
        yield given._replace(origin=_read_origin(file, name))


def list_kinds(path: str | Path) -> list[str]:
    """Return the kinds of descriptors that a file of a run holds, raw first; none for a file of another form.

    Raises:
        InputError: as `open_h5`.
    """
    if Path(path).suffix == ".npy":
        return []
    with open_h5(path, verify=()) as file:
        return [kind for kind in KINDS if isinstance(file.get(kind), h5py.Dataset)]


def _map_npy(path: Path) -> NDArray:
    """Memory-map a `.npy` array."""
    try:
        x_ND = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a .npy array of numbers ({error})") from error
    if not isinstance(x_ND, np.ndarray):
        x_ND.close()
        raise InputError(f"{path}: is an .npz archive; save its array of descriptors by `numpy.save`")
    return x_ND


def _read_origin(file: h5py.File, name: str) -> Origin:
    """Read where the rows of a dataset come from."""
    values = {key: file.attrs.get(key, "") for key in ("photos", "checkpoint", "network", "whitening")}
    text = {key: value if isinstance(value, str) else "" for key, value in values.items()}  # others write other types
    whitening = text["whitening"] if name == "whitened" else ""
    return Origin(text["photos"], text["checkpoint"] or text["network"], whitening)


def _read_paths(listed: Any, name: str) -> list[str]:
    """Read the paths in an HDF5 file."""
    if not isinstance(listed, h5py.Dataset):
        raise InputError(f"{name}: is a group; it has to be a dataset with one path for each row")
    if listed.ndim != 1 or h5py.check_string_dtype(listed.dtype) is None:
        raise InputError(f"{name}: is {_shape(listed)} of {listed.dtype}; it has to be a row of texts, one path each")
    try:
        return list(listed.asstr("utf-8")[()])  # also if the file declares ASCII
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: cannot be read as paths in UTF-8 ({error})") from error


def _shape(array: Any) -> str:
    return " x ".join(map(str, array.shape or ())) or "a single value"


def _checked(x_ND: Any, listed: list[str] | None, name: str, source: str | Path | None) -> DescriptorFile:
    """Check the shape and type of descriptors, and the length of their list.

    Raises:
        InputError: they are no rows of floating-point numbers, or the list has another length.
    """
    if x_ND.ndim != 2 or x_ND.dtype.kind != "f" or x_ND.dtype.itemsize > 8 or not x_ND.shape[1]:
        raise InputError(
            f"{name}: is {_shape(x_ND)} of {x_ND.dtype}; descriptors are rows of floating-point numbers of 16, 32 or "
            "64 bits, photos x dimensions"
        )
    if listed is not None and len(listed) != len(x_ND):
        raise InputError(f"{source}: lists {len(listed)} photos, and {name} has {len(x_ND)} rows; name one for each")
    return DescriptorFile(x_ND, listed, name)


def find_rows(given: DescriptorFile, photos: Sequence[str], others: Sequence[str], what: str) -> NDArray[np.int64]:
    """Find the row of each photo.

    Args:
        given: the descriptors. Without a list, they are those of `photos` in this order.
        photos: N paths.
        others: photos that may be listed, too; their rows are left out.
        what: the photos, for messages, such as `database photos of the test split`.

    Returns:
        (N,) row numbers.

    Raises:
        InputError: naming a photo that is unknown, unclear, listed twice or missing; or without a list, if the number
            of rows is another one.
    """
    if given.listed is None:
        if len(given.x_ND) != len(photos):
            raise InputError(
                f"{given.name}: has {len(given.x_ND)} rows, and there are {len(photos)} {what}; give one row for each, "
                "in this order, or a list of the photos of the rows"
            )
        return np.arange(len(photos))
    row_N, finder, unknown = np.full(len(photos), -1), PhotoFinder(photos, among=others), []
    for row, name in enumerate(given.listed):
        numbers = finder.find(name)
        if len(numbers) > 1:
            raise InputError(f"{given.name}: {name} may be {len(numbers)} of the {what}; list more of its path")
        if numbers and row_N[numbers[0]] >= 0:
            raise InputError(f"{given.name}: {name} is listed twice; leave out one of its rows")
        if numbers:
            row_N[numbers[0]] = row
        elif not finder.knows(name):
            unknown.append(name)
    if unknown:
        raise InputError(
            f"{given.name}: {unknown[0]} is none of the {what} ({len(unknown)} such paths); list paths as the image "
            "table has them, or the ends of these"
        )
    if (missing := np.flatnonzero(row_N < 0)).size:
        raise InputError(
            f"{given.name}: {photos[missing[0]]} is not listed ({len(missing)} of the {len(photos)} {what}); each "
            "needs a descriptor"
        )
    return row_N


def read_rows(given: DescriptorFile, row_N: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray]]:
    """Yield (positions, rows) of blocks of the rows with these numbers, each number once, as the file has them."""
    step = max(1, BLOCK // given.x_ND.shape[1])
    for start in range(0, len(row_N), step):
        numbers = row_N[start : start + step]
        order = np.argsort(numbers)  # HDF5 reads increasing numbers only
        rows = np.empty((len(numbers), given.x_ND.shape[1]), given.x_ND.dtype)
        rows[order] = given.x_ND[numbers[order]]
        yield slice(start, start + len(numbers)), rows


def row_lengths(given: DescriptorFile, row_N: NDArray[np.int64], photos: Sequence[str]) -> NDArray[np.float64]:
    """Compute the length of each photo's descriptor, (N,) float64.

    Raises:
        InputError: naming a photo whose descriptor is not finite, or zero.
    """
    length_N = np.empty(len(row_N))
    for part, rows in read_rows(given, row_N):
        length_N[part] = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    for fault, wrong in (("not finite", ~np.isfinite(length_N)), ("zero", length_N == 0)):
        if wrong.any():
            number = int(wrong.argmax())
            raise InputError(
                f"{given.name}: row {row_N[number]} (from 0), the descriptor of {photos[number]}, is {fault} "
                f"({wrong.sum()} such rows); compute it again"
            )
    return length_N
