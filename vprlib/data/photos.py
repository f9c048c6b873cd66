"""Photo files on disk: list the photos of a folder, and turn a decoded photo upright."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vprlib.exceptions import InputError

PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def upright(photo: Image.Image) -> Image.Image:
    """Turn a photo upright by its EXIF orientation, and convert 16-bit grey to 8 bits (Pillow's `convert` clips it)."""
    turned = ImageOps.exif_transpose(photo)
    return Image.fromarray((np.asarray(turned) // 257).astype(np.uint8)) if turned.mode.startswith("I") else turned


def list_photos(folder: Path) -> list[str]:
    """List the photos below a folder, as sorted paths relative to it; links are followed, hidden files are left out.

    Raises:
        InputError: there is no photo.
    """
    names = sorted(
        os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118
        for where, _, files in os.walk(folder, followlinks=True)
        for name in files
        if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".")
    )
    if not names:
        raise InputError(f"{folder}: holds no photo ({', '.join(PHOTO_SUFFIXES)})")
    return names
