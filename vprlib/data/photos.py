"""Photo files on disk: which files are photos, and how a decoded photo is turned upright."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vprlib.exceptions import InputError


def upright(photo):
    """A photo as people see it: turned as its EXIF says, and 16-bit grey in 8 bits, which Pillow's `convert` clips."""
    turned = ImageOps.exif_transpose(photo)
    return Image.fromarray((np.asarray(turned) // 257).astype(np.uint8)) if turned.mode.startswith("I") else turned


PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def list_photos(folder: Path) -> list:
    """The photos below a folder, as sorted paths relative to it; links are followed, hidden files are not seen.

    Raises:
        InputError: if there is none.
    """
    names = sorted(
        os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118
        for where, _, found in os.walk(folder, followlinks=True)
        for name in found
        if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".")
    )
    if not names:
        raise InputError(f"{folder}: holds no photo ({', '.join(PHOTO_SUFFIXES)})")
    return names
