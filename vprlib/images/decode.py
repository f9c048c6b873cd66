"""Decode photo files to uint8 RGB tensors, upright by their EXIF orientation."""

import numpy as np
import torch
from PIL import Image, ImageOps

from vprlib.exceptions import InputError

ORIENTATION = 0x0112  # EXIF: 5 to 8 are turned by a quarter


def open_photo(path, read):
    """What `read` makes of an opened photo.

    Raises:
        InputError: if the file is missing, truncated or no photo.
    """
    try:
        with Image.open(path) as photo:
            return read(photo)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be decoded: truncated, or no photo"
        raise InputError(f"{path}: {reason}") from error


def upright_shape(path) -> tuple:
    """(height, width) of a photo once it is upright; only its header is read."""

    def upright(photo):
        turned = photo.getexif().get(ORIENTATION, 1) >= 5
        return photo.size if turned else photo.size[::-1]

    return open_photo(path, upright)


def decode_photo(path):
    """Read one photo as (3, h, w) uint8.

    By Pillow: torchvision's decoders are twice as fast on JPEG, but deprecated, and a damaged PNG crashes the process.

    Raises:
        InputError: if the file is missing, truncated or no photo.
    """

    def upright(photo):
        photo = ImageOps.exif_transpose(photo)
        if photo.mode.startswith("I"):  # 16-bit grey
            photo = Image.fromarray((np.asarray(photo) // 257).astype(np.uint8))
        return np.array(photo.convert("RGB"))

    return torch.from_numpy(open_photo(path, upright)).permute(2, 0, 1)
