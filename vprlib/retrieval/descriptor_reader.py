"""Descriptors as searches read them: some rows of a file, as float32, a bounded number at once."""

import mmap

import numpy as np

from vprlib.compute.threads import parallel_over_rows
from vprlib.exceptions import InputError

BLOCK = 1 << 25  # values held as float32: 128 MB
PIECE = 1 << 20  # values that are read at once to be converted: they are still in the cache then


class DescriptorView:
    """Some rows of descriptors (N, D), read when they are asked for: a shard of a database, or the photos of a city.

    Args:
        x_ND: an array, an HDF5 dataset or Rows.
        rows: a range, or an array of row numbers in rising order.
        name: of what has an index of its own.
    """

    def __init__(self, x_ND, rows, name: str = ""):
        self.x_ND, self.rows, self.name = x_ND, rows, name
        self.shape, self.dtype = (len(rows), *x_ND.shape[1:]), x_ND.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key) -> np.ndarray:
        """A slice of the rows, and of the columns if one is given."""
        rows, *columns = key if isinstance(key, tuple) else (key,)
        rows = self.rows[rows] if isinstance(rows, slice) else np.asarray(self.rows)[rows]
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return self.x_ND[(slice(rows[0], rows[-1] + 1), *columns)]
        return take_rows(self.x_ND, np.asarray(rows, np.int64))[(slice(None), *columns)]


def take_rows(x_ND, some) -> np.ndarray:
    """Rows in rising order, (n, D). An HDF5 dataset is mapped for this alone: nothing beside them is read or kept."""
    if isinstance(x_ND, DescriptorView):
        return take_rows(x_ND.x_ND, x_ND.rows.start + some if isinstance(x_ND.rows, range) else x_ND.rows[some])
    return np.asarray(memory_map(x_ND)[some])


def memory_map(x_ND):
    """The same descriptors for `gathered` to take from many times: a contiguous HDF5 dataset, mapped once."""
    if isinstance(x_ND, DescriptorView):
        return DescriptorView(memory_map(x_ND.x_ND), x_ND.rows)
    offset = None if isinstance(x_ND, np.ndarray) else x_ND.id.get_offset()
    return x_ND if offset is None else np.memmap(x_ND.file.filename, x_ND.dtype, "r", offset, x_ND.shape)


def iter_blocks(x_ND, whose: str, size: int | None = None, *, first: int = 0, last: int | None = None):
    """Yield (start, rows) from row `first` on, before `last`: float32, `size` rows at once, by default 128 MB of them.

    Rows are good until the next are asked for, which are converted into the same memory.

    Raises:
        InputError: as `finite`.
    """
    size, held = size or max(1, BLOCK // x_ND.shape[1]), None
    last = len(x_ND) if last is None else last
    for start in range(first, last, size):
        if x_ND.dtype == np.float32:
            rows = x_ND[start : min(start + size, last)]
        else:
            held = allocate_float32((min(size, last - start), *x_ND.shape[1:])) if held is None else held
            rows = held[: last - start]
            read_as_float32(x_ND, start, rows)
        yield start, as_finite_float32(rows, whose, start)


def read_as_float32(x_ND, first: int, out_MD):
    """Read rows from number `first` on into `out_MD`, a little at once."""
    step = max(1, PIECE // out_MD.shape[1])

    def convert(one, other):
        for start in range(one, other, step):
            end = min(start + step, other)
            out_MD[start:end] = x_ND[first + start : first + end]

    parallel_over_rows(convert, len(out_MD))


def allocate_float32(shape: tuple) -> np.ndarray:
    """A float32 array of our own: numpy asks for huge pages, and waiting for them takes longer than converting."""
    count = int(np.prod(shape))
    pages = mmap.mmap(-1, max(1, 4 * count), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, np.float32, count).reshape(shape)


def as_finite_float32(x_ND, whose: str, first: int = 0) -> np.ndarray:
    """Contiguous float32 rows, of which the first has number `first` in its file.

    Raises:
        InputError: if a value is not finite, naming the rows.
    """
    x_ND = np.ascontiguousarray(x_ND)
    if x_ND.dtype != np.float32:
        held_ND = allocate_float32(x_ND.shape)
        read_as_float32(x_ND, 0, held_ND)
        x_ND = held_ND
    sums_N, ones_D = np.empty(len(x_ND), np.float32), np.ones(x_ND.shape[1], np.float32)
    # one pass at memory speed, and no (N, D) mask
    parallel_over_rows(lambda one, other: np.matmul(x_ND[one:other], ones_D, out=sums_N[one:other]), len(x_ND))
    bad = first + np.flatnonzero(~np.isfinite(sums_N))
    if len(bad):
        named = ", ".join(map(str, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise InputError(
            f"search: descriptors of {whose} are not finite: numbers {named} (from 0); run `snakemake -R extract`"
        )
    return x_ND
