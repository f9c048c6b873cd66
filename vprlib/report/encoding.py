"""What the page's scripts read: JSON and typed arrays, deflated, as text that stands in HTML."""

import base64
import json
import zlib

import numpy as np

ALIGNED = 8  # bytes; a typed array must begin at a multiple of its element's size


def deflate(data: bytes, level: int = 6) -> str:
    """Deflated bytes in base64, the reverse of `unpack` in static/base.js."""
    return base64.b64encode(zlib.compress(data, level)).decode()


def encode_block(values: dict) -> str:
    """Named values as one text: arrays as they are, little-endian, anything else as JSON.

    Layout: the header's length (uint32), the header (JSON: `plain` values, and `arrays` by name: type, offset from the
    first array, length), padding to 8 bytes, the arrays.
    """
    arrays, plain, offset, bodies = {}, {}, 0, []
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


def smallest_type(values) -> np.ndarray:
    """Non-negative integers in the smallest type that holds them."""
    values = np.asarray(values)
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def json_value(value):
    """A value for JSON: NaN and infinity are null, numpy's numbers are Python's."""
    if isinstance(value, dict):
        return {name: json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
