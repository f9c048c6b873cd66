"""Checksums of arrays and of the bytes around them, at the cost of reading them once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.io.fingerprints import short_hash

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

BLANK = b"written at end.."  # stands where the checksum of a file will stand; as long as it
SUMMED = 1 << 17  # 64-bit numbers that are summed before they are hashed: 1 MB


def array_checksum(array: ArrayLike) -> str:
    """Return 16 hexadecimal digits that change with any single bit of an array, its shape or its type.

    The bytes are summed as 64-bit numbers, megabyte by megabyte, and the sums are hashed. This takes no longer than
    reading the array from memory, and finds flipped bits and lost blocks. It does not find numbers
    that change places within a megabyte, and is no protection against forgery.

    >>> array_checksum([1.0, 2.0]) == array_checksum([1.0, 2.5])
    False
    """
    import numpy as np

    array = np.asarray(array)
    if array.dtype.hasobject:  # texts of any length
        return short_hash([item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()])
    hashed = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(data) // 8 * 8
    words = data[:whole].view(np.uint64)
    sums = np.add.reduceat(words, np.arange(0, len(words), SUMMED)) if len(words) else words
    hashed.update(sums.tobytes() + data[whole:].tobytes())
    return hashed.hexdigest()[:16]


def checksum_around(
    path: str | os.PathLike[str], blocks: Iterable[tuple[int, int]], written: bytes
) -> tuple[bytes, int]:
    """Compute the checksum of a file without some of its blocks, and find where it is written in that file.

    Args:
        path: the file.
        blocks: first and end byte of what is left out, increasing, without overlap.
        written: what stands at the place of the checksum; BLANK is hashed in its stead.

    Returns:
        16 hexadecimal digits, and the first byte of `written` in the file, or -1 if it is not there.
    """
    hashed, position, start = hashlib.sha256(), -1, 0
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        for first, end in (*blocks, (size, size)):
            file.seek(start)
            part = file.read(first - start)
            if position < 0 and (found := part.find(written)) >= 0:
                position = start + found
                part = part.replace(written, BLANK, 1)
            hashed.update(b"%d %d " % (start, first) + part)
            start = end
    return hashed.hexdigest()[:16].encode(), position
