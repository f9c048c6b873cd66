"""Read rows of descriptors from arrays or HDF5 files as float32, in blocks of bounded size.

Axes: N database images or queries, D dimensions, M rows of a block.
"""

import mmap
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vprlib.compute.threads import parallel_over_rows
from vprlib.exceptions import InputError

BLOCK = 1 << 25  # float32 values of a block: 128 MB
PIECE = 1 << 20  # values converted per read: they are still in the processor's cache then


class Descriptors(Protocol):
    """Rows of descriptors (N, D): an array, an HDF5 dataset, a `DescriptorView` or a compressed storage."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, D)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the values that indexing returns."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


class DescriptorView:
    """A lazy selection of rows of descriptors (N, D): a shard of a database, or the photos of a city.

    Args:
        x_ND: an array, an HDF5 dataset or another view.
        rows: a range, or an array of increasing row numbers.
        name: identifies the selection if it has an ANN index of its own.
    """

    def __init__(self, x_ND: Any, rows: range | NDArray[np.int64], name: str = "") -> None:
        self.x_ND, self.rows, self.name = x_ND, rows, name
        self.shape: tuple[int, ...] = (len(rows), *x_ND.shape[1:])
        self.dtype: np.dtype[Any] = x_ND.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> NDArray:
        """Read a slice of the rows, and of the columns if one is given."""
        rows, *columns = key if isinstance(key, tuple) else (key,)
        rows = self.rows[rows] if isinstance(rows, slice) else np.asarray(self.rows)[rows]
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return self.x_ND[(slice(rows[0], rows[-1] + 1), *columns)]
        return take_rows(self.x_ND, np.asarray(rows, np.int64))[(slice(None), *columns)]


def take_rows(x_ND: Any, rows: NDArray[np.int64]) -> NDArray:
    """Read rows, whose numbers increase: (n, D).

    An HDF5 dataset is memory-mapped for this call only: nothing but these rows is read or kept.
    """
    if isinstance(x_ND, DescriptorView):
        return take_rows(x_ND.x_ND, x_ND.rows.start + rows if isinstance(x_ND.rows, range) else x_ND.rows[rows])
    return np.asarray(memory_map(x_ND)[rows])


def memory_map(x_ND: Any) -> Any:
    """Memory-map a contiguous HDF5 dataset once, for repeated `take_rows` calls.

    Returns:
        The mapped array, or a view of it for a view. Arrays and datasets that are not contiguous are returned as they
        are.
    """
    if isinstance(x_ND, DescriptorView):
        return DescriptorView(memory_map(x_ND.x_ND), x_ND.rows)
    offset = None if isinstance(x_ND, np.ndarray) else x_ND.id.get_offset()
    return x_ND if offset is None else np.memmap(x_ND.file.filename, x_ND.dtype, "r", offset, x_ND.shape)


def iter_blocks(
    x_ND: Descriptors, name: str, size: int | None = None, *, first: int = 0, last: int | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (start, rows) for consecutive blocks of rows, as float32.

    A block is valid until the next one is requested, which may be converted into the same memory.

    Args:
        x_ND: the descriptors.
        name: names them in an error message.
        size: rows per block; by default 128 MB of them.
        first: number of the first row.
        last: number after the last row; by default all are read.

    Raises:
        InputError: if a value is not finite.
    """
    size, buffer = size or max(1, BLOCK // x_ND.shape[1]), None
    last = len(x_ND) if last is None else last
    for start in range(first, last, size):
        if x_ND.dtype == np.float32:
            rows = x_ND[start : min(start + size, last)]
        else:
            buffer = allocate_float32((min(size, last - start), *x_ND.shape[1:])) if buffer is None else buffer
            rows = buffer[: last - start]
            read_as_float32(x_ND, start, rows)
        yield start, as_finite_float32(rows, name, start)


def read_as_float32(x_ND: Descriptors, first: int, out_MD: NDArray[np.float32]) -> None:
    """Read the rows from number `first` on into `out_MD`, in small pieces."""
    step = max(1, PIECE // out_MD.shape[1])

    def convert(begin: int, end: int) -> None:
        for start in range(begin, end, step):
            stop = min(start + step, end)
            out_MD[start:stop] = x_ND[first + start : first + stop]

    parallel_over_rows(convert, len(out_MD))


def allocate_float32(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Allocate a float32 array by mmap.

    numpy's own allocation requests huge pages, and waiting for them takes longer than the conversion.
    """
    count = int(np.prod(shape))
    pages = mmap.mmap(-1, max(1, 4 * count), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, np.float32, count).reshape(shape)


def as_finite_float32(x_ND: NDArray, name: str, first: int = 0) -> NDArray[np.float32]:
    """Return contiguous float32 rows after checking that they are finite.

    Args:
        x_ND: the rows.
        name: names them in the error message.
        first: number of the first row in its file.

    Raises:
        InputError: if a value is not finite, with the numbers of its rows.
    """
    x_ND = np.ascontiguousarray(x_ND)
    if x_ND.dtype != np.float32:
        converted_ND = allocate_float32(x_ND.shape)
        read_as_float32(x_ND, 0, converted_ND)
        x_ND = converted_ND
    sums_N, ones_D = np.empty(len(x_ND), np.float32), np.ones(x_ND.shape[1], np.float32)
    # sums need one pass at memory speed, and no (N, D) mask
    parallel_over_rows(lambda begin, end: np.matmul(x_ND[begin:end], ones_D, out=sums_N[begin:end]), len(x_ND))
    bad = first + np.flatnonzero(~np.isfinite(sums_N))
    if len(bad):
        numbers = ", ".join(map(str, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise InputError(
            f"search: descriptors of {name} are not finite: numbers {numbers} (from 0); "
            f"run again with `-R extract_descriptors`"
        )
    return x_ND
