"""Encode the data of the page's scripts: JSON and typed arrays, deflated, as text that can stand in HTML."""

import base64
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALIGNED = 8  # bytes; a typed array must begin at a multiple of the size of its elements


def deflate(data: bytes, level: int = 6) -> str:
    """Deflate bytes and encode them in base64, the reverse of `unpack` in static/base.js."""
    return base64.b64encode(zlib.compress(data, level)).decode()


def encode_block(values: dict[str, Any]) -> str:
    """Encode named values as one text: arrays in binary, little-endian, anything else as JSON.

    Layout: the length of the header (uint32); the header (JSON: `plain` values, and for each of the `arrays` its type,
    its offset from the first array and its number of elements); padding to 8 bytes; the arrays.
    """
    arrays: dict[str, list[Any]] = {}
    plain: dict[str, Any] = {}
    offset, bodies = 0, []
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            plain[name] = value
            continue
        body = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
        body += b"\0" * (-len(body) % ALIGNED)
        arrays[name] = [value.dtype.name, offset, value.size]
        offset += len(body)
        bodies.append(body)
    header = json.dumps({"plain": plain, "arrays": arrays}, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-(4 + len(header)) % ALIGNED)
    return deflate(len(header).to_bytes(4, "little") + header + b"".join(bodies))


def smallest_type(values: ArrayLike) -> NDArray:
    """Convert non-negative integers to the smallest type that holds them.

    Examples:
        >>> smallest_type([1, 300]).dtype
        dtype('uint16')
    """
    values = np.asarray(values)
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def json_value(value: Any) -> Any:
    """Convert a value for JSON: NaN and infinity to null, numpy's numbers to Python's, floats to 6 decimals.

    Examples:
        >>> json_value({"recall": np.float32(0.5), "low": float("nan")})
        {'recall': 0.5, 'low': None}
    """
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
