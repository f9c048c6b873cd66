"""Decode photo files to uint8 RGB tensors, upright by their EXIF orientation."""

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vprlib.data.photos import heif_hint, open_image
from vprlib.exceptions import InputError

ORIENTATION = 0x0112  # EXIF tag; its values 5 to 8 stand for a turn by 90 or 270 degrees

Result = TypeVar("Result")


def open_photo(path: str | os.PathLike[str], read: Callable[[Image.Image], Result]) -> Result:
    """Open a photo with Pillow and return `read(photo)`.

    Raises:
        InputError: the file is missing, truncated or no photo.
    """
    try:
        with open_image(path) as photo:
            return read(photo)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be decoded: truncated, or no photo"
        raise InputError(f"{path}: {reason}{heif_hint(path)}") from error


def upright_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (height, width) of a photo after its EXIF rotation; only the file's header is read.

    Raises:
        InputError: the file is missing or no photo.
    """

    def read_shape(photo: Image.Image) -> tuple[int, int]:
        width, height = photo.size
        return (width, height) if photo.getexif().get(ORIENTATION, 1) >= 5 else (height, width)

    return open_photo(path, read_shape)


def decode_photo(path: str | os.PathLike[str]) -> torch.Tensor:
    """Decode one photo as RGB, upright by its EXIF orientation: (3, h, w) uint8.

    Pillow decodes it. Torchvision's decoders are twice as fast on JPEG, but they are deprecated, and a damaged PNG
    crashes the process.

    Raises:
        InputError: the file is missing, truncated or no photo.
    """

    def read_upright(photo: Image.Image) -> NDArray[np.uint8]:
        photo = ImageOps.exif_transpose(photo)
        if photo.mode.startswith("I"):  # 16-bit grey, which `convert` would clip
            photo = Image.fromarray((np.asarray(photo) // 257).astype(np.uint8))
        return np.array(photo.convert("RGB"))

    return torch.from_numpy(open_photo(path, read_upright)).permute(2, 0, 1)
