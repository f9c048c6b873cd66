"""Photo files on disk: list the photos of a folder, open a photo, and turn it upright."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from vprlib.exceptions import InputError
from vprlib.io.folders import is_hidden, is_utf8, walk_folders

log = logging.getLogger(__name__)

PHOTO_SUFFIXES = (".avif", ".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")  # Pillow reads these with the package pillow-heif
RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw")
VIDEO_SUFFIXES = (".3gp", ".avi", ".insv", ".m4v", ".mkv", ".mov", ".mp4", ".mts", ".webm")
KINDS = {"HEIC": HEIF_SUFFIXES, "RAW": RAW_SUFFIXES, "video": VIDEO_SUFFIXES}
HEIF_HINT = "HEIC photos need the package pillow-heif: install the extra `heif`"


@cache
def register_heif() -> bool:
    """Let Pillow read HEIC photos; return whether it can."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def photo_suffixes() -> tuple[str, ...]:
    """Return the suffixes of the photos that can be read, in lower case."""
    return (*PHOTO_SUFFIXES, *HEIF_SUFFIXES) if register_heif() else PHOTO_SUFFIXES


def open_image(file: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """Open a photo, of HEIC too; only its header is read.

    Raises:
        OSError: the file is missing or no photo.
    """
    register_heif()
    return Image.open(file)


def heif_hint(path: str | os.PathLike[str]) -> str:
    """Return, for the message on a photo that cannot be decoded, what its format needs and is not installed."""
    return f"; {HEIF_HINT}" if str(path).lower().endswith(HEIF_SUFFIXES) and not register_heif() else ""


def upright(photo: Image.Image) -> Image.Image:
    """Turn a photo upright by its EXIF orientation, and convert 16-bit grey to 8 bits (Pillow's `convert` clips it)."""
    turned = ImageOps.exif_transpose(photo)
    return Image.fromarray((np.asarray(turned) // 257).astype(np.uint8)) if turned.mode.startswith("I") else turned


def list_photos(folder: Path) -> list[str]:
    """List the photos below a folder, as sorted paths relative to it.

    Links are followed, but each folder is read once. Hidden files and folders are left out. One line of the log counts
    the other files that are left out, by kind.

    Raises:
        InputError: there is no photo, a name is not UTF-8, or a folder cannot be read.
    """
    suffixes = photo_suffixes()
    names: list[str] = []
    others: list[str] = []
    for where, files, skipped in walk_folders(folder):
        for name in files:
            if not is_hidden(name):
                (names if name.lower().endswith(suffixes) else others).append(os.path.join(where, name))  # noqa: PTH118
        for name in skipped:
            log.warning(
                "warning: %s is not followed: it leads to a folder that is read once, or to itself",
                os.path.join(where, name),  # noqa: PTH118
            )
    left_out = count_kinds(others)
    if not names:
        raise InputError(f"{folder}: holds no photo ({', '.join(suffixes)})" + (f", but {left_out}" if others else ""))
    if others:
        log.info("%s: %d photos are read; left out: %s", folder, len(names), left_out)
    names = sorted(os.path.relpath(name, folder) for name in names)
    _check_encoding(folder, names)
    return names


def expand_photo_paths(images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace each folder by all photos below it, sorted; files stay as they are.

    Raises:
        InputError: a folder contains no photo, or a file is missing.
    """
    paths: list[Path] = []
    for path in map(Path, images):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        paths += [path / name for name in list_photos(path)] if path.is_dir() else [path]
    return paths


def count_kinds(names: Sequence[str]) -> str:
    """Return the number of files of each kind that cannot be read, with their suffixes.

    >>> count_kinds(["a.MOV", "b.mp4", "c.txt"])
    '2 video (.mov, .mp4), 1 other (.txt)'
    """
    suffixes = defaultdict(list)
    for name in names:
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        suffixes[next((kind for kind, members in KINDS.items() if suffix in members), "other")].append(suffix)
    kinds = [kind for kind in (*KINDS, "other") if kind in suffixes]
    shown = {kind: sorted({suffix or "no suffix" for suffix in suffixes[kind]}) for kind in kinds}
    counted = [
        f"{len(suffixes[kind])} {kind} ({', '.join(shown[kind][:6])}{', ...' if len(shown[kind]) > 6 else ''})"
        for kind in kinds
    ]
    return ", ".join(counted) + (f"; {HEIF_HINT}" if "HEIC" in kinds else "")


def _check_encoding(folder: Path, names: Sequence[str]) -> None:
    """Check that tables, pages and logs, which are UTF-8, can hold the names of photos.

    Raises:
        InputError: a name is not UTF-8.
    """
    if not is_utf8("".join(names)):
        wrong = [name for name in names if not is_utf8(name)]
        raise InputError(
            f"{folder / wrong[0]}: the name is not UTF-8 ({len(wrong)} of {len(names)} photos); rename it, for example "
            "by `convmv -f latin1 -t utf8 -r --notest FOLDER`"
        )
