"""Read `.npy` arrays of Python lists without running code.

Such an array is a pickle, and a pickle may name any function to be called. Here it may name a few of numpy's and of
Python's, and each is replaced by a stand-in that only keeps what it is given; no array is made from its content.
"""

from __future__ import annotations

import math
import pickle
import re
from typing import IO, TYPE_CHECKING, Any

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEEPEST = 4  # an array of rows of lists of numbers
INTEGER = re.compile(r"[iu][1248]")
ORDERS = {"<": "little", ">": "big", "|": "little", "=": "little"}


class _Kept:
    """What an array, a type or a number was made from."""

    def __init__(self, kind: str, given: tuple[Any, ...]) -> None:
        self.kind, self.given, self.state = kind, given, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _UnfitError(ValueError):
    """The content is no nested list of whole numbers."""


def read_integer_lists(path: Path) -> list[Any]:
    """Read a `.npy` array of whole numbers, or of lists and arrays of them, as nested lists.

    Args:
        path: the file; an array of objects may hold integers, lists and arrays of integers, up to four deep.

    Raises:
        InputError: the file is no `.npy` array of these. It is never unpickled in the ordinary way.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise _UnfitError(f"version {version[0]} of the format is not read")
            _, _, dtype = read_header(file)
            rows = _to_lists(_load(file), 0) if dtype.hasobject else _plain_rows(path)
            if not isinstance(rows, list):
                raise _UnfitError("it holds a single value")
            return rows
    except (MemoryError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as lists of whole numbers (it is too large or too deep)") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{path}: cannot be read as lists of whole numbers ({error}); write them as JSON: json.dump([list(map(int, "
            "row)) for row in rows], file)"
        ) from error


def _plain_rows(path: Path) -> Any:
    """Return the values of an array without objects."""
    import numpy as np

    array = np.load(path, allow_pickle=False)
    if array.dtype.kind not in "iu":
        raise _UnfitError(f"it holds {array.dtype}")
    return array.tolist()


def _load(file: IO[bytes]) -> Any:
    """Return the content of a pickle of a numpy array, made of numbers, lists and stand-ins."""
    known = _stand_ins()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in known:
                raise _UnfitError(f"it names {module}.{name}, which is not called")
            return known[module, name]

    return Unpickler(file, encoding="latin1").load()


def _stand_ins() -> dict[tuple[str, str], Callable[..., Any]]:
    """Return what stands for the functions and classes that a pickled array names: fresh ones for each file."""

    result: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): lambda *given: _Kept("array", given),
        ("numpy", "dtype"): lambda *given: _Kept("type", given),
        ("_codecs", "encode"): lambda text, _: str(text).encode("latin1"),
    }
    for module in ("builtins", "__builtin__"):
        result[module, "bytes"] = _no_bytes
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        result[module, "_reconstruct"] = lambda *given: _Kept("array", given)
        result[module, "scalar"] = lambda *given: _Kept("number", given)
    return result


def _no_bytes(*given: Any) -> bytes:
    """Return the empty bytes that old pickles name so."""
    if given:
        raise _UnfitError("it holds bytes")
    return b""


def _to_lists(value: Any, depth: int) -> Any:
    """Return a value of a pickle as a number or nested lists of numbers."""
    if depth > DEEPEST:
        raise _UnfitError("its lists are too deep")
    if isinstance(value, (list, tuple)):
        return [_to_lists(item, depth + 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, _Kept) and value.kind == "array":
        return _array_values(value.state, depth)
    if isinstance(value, _Kept) and value.kind == "number":
        return _integers(*value.given)[0]
    raise _UnfitError(f"it holds {type(value).__name__}")


def _array_values(state: Any, depth: int) -> list[Any]:
    """Return the values of a pickled array by its shape.

    Args:
        state: version, shape, type, order and values: a list of objects, or bytes.
        depth: how deep the array lies.
    """
    _, shape, kind, _, data = state
    code = str(kind.given[0])
    if code.startswith("O"):
        values = _to_lists(data, depth)
        if len(shape) > 1:
            values = _reshape(values, [int(size) for size in shape])
    else:
        values = _integers(kind, data)
    if len(values) != (shape[0] if code.startswith("O") else math.prod(shape)):
        raise _UnfitError("the number of values is not that of the shape")
    return values


def _reshape(values: list[Any], shape: list[int]) -> list[Any]:
    """Return values in rows."""
    width = math.prod(shape[1:])
    if len(values) != shape[0] * width or len(shape) > DEEPEST or min(shape) < 0:
        raise _UnfitError("the number of values is not that of the shape")
    rows = [values[start : start + width] for start in range(0, len(values), max(width, 1))][: shape[0]]
    return [_reshape(row, shape[1:]) for row in rows] if len(shape) > 2 else rows


def _integers(kind: Any, data: Any) -> list[int]:
    """Return the whole numbers that bytes hold.

    Args:
        kind: the type: a code such as i8, and as its state the order of the bytes.
        data: the bytes, or in old pickles their text in latin1.
    """
    if not data:  # an empty list became an array of floats
        return []
    code = str(kind.given[0])
    if not INTEGER.fullmatch(code):
        raise _UnfitError(f"it holds {code}")
    data = data.encode("latin1") if isinstance(data, str) else bytes(data)
    size, order = int(code[1]), ORDERS[str(kind.state[1]) if kind.state else "<"]
    if len(data) % size:
        raise _UnfitError("its bytes are cut")
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return [int.from_bytes(chunk, "little" if order == "little" else "big", signed=code[0] == "i") for chunk in chunks]
