"""Read the attributes of a safetensors file from its header, without its tensors and without torch."""

import json
import os
from pathlib import Path
from typing import Any

from vprlib.exceptions import InputError

ATTRIBUTES = "vprlib"  # the key of the header's metadata that holds our attributes, as JSON
LENGTH = 8  # bytes in front of the header: its length, a little-endian integer
LARGEST = 100_000_000  # bytes; the format allows no larger header


def read_attributes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the attributes that `vprlib.models.checkpoint.write_weights` wrote; empty for a file of others.

    Raises:
        InputError: if the file is no safetensors file.
    """
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(LENGTH), "little")
            if not 2 <= length <= LARGEST:
                raise ValueError("no header")
            header = json.loads(file.read(length))
        return dict(json.loads((header.get("__metadata__") or {}).get(ATTRIBUTES, "{}")))
    except (OSError, ValueError, AttributeError, TypeError) as error:  # missing, another format, or cut short
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
