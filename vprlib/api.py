"""Describe a few photos from a program or the command line.

Axes: N photos, D dimensions.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from vprlib.compute.device import select_device
from vprlib.data.photos import list_photos
from vprlib.images.loader import PhotoDataset
from vprlib.io.files import atomic, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.published_import import read_published
from vprlib.retrieval.extract import extract_descriptors


def describe(
    checkpoint: str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    whitening: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 16,
) -> NDArray[np.float32]:
    """Compute the descriptors of photos with a checkpoint of ours, or with one published by another project.

    Args:
        checkpoint: the file of a trained network, in any format of `vprlib.models.published_formats`.
        images: a path, or a sequence of paths; each photo is resized to the size that the network was made for.
        whitening: the PCA file to whiten with: `pca.h5` of a checkpoint of ours, or the file published beside another
            project's. A published checkpoint with a PCA layer is whitened by that layer.
        device: `auto` (the first GPU, if there is one), `cpu`, `cuda` or `cuda:<number>`.
        batch: photos per forward pass.

    Returns:
        (N, D) float32, rows of unit length, in the order of `images`.

    Raises:
        InputError: one line that names the file: a photo cannot be decoded, a checkpoint cannot be read, or a whitening
            was fitted for another checkpoint.
    """
    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    torch_device = select_device(device)
    published = read_published(checkpoint, pca=whitening)
    photos = PhotoDataset(paths, *published.image.size)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # a GPU then gives the same descriptors as a CPU
        x_ND = extract_descriptors(published.model, photos, range(len(paths)), device=torch_device, batch=batch)
    return published.whitening.apply(x_ND) if published.whitening else x_ND


def expand_photo_paths(images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace each folder by all photos below it, sorted; files stay as they are.

    Raises:
        InputError: if a folder contains no photo.
    """
    paths = []
    for path in map(Path, images):
        paths += [path / name for name in list_photos(path)] if path.is_dir() else [path]
    return paths


def write_descriptors(
    out: str | os.PathLike[str],
    descriptors: NDArray[np.float32],
    paths: Iterable[str | os.PathLike[str]],
    checkpoint: str | os.PathLike[str],
) -> None:
    """Write descriptors as `.npy`, or as `.h5` with `descriptors` (N, D), `paths` and the checkpoint's SHA-256."""
    if Path(out).suffix == ".npy":
        with atomic(out) as partial, partial.open("wb") as file:
            np.save(file, descriptors)
        return
    names = np.array([str(path) for path in paths], h5py.string_dtype())
    write_h5(out, {"descriptors": descriptors, "paths": names}, {"checkpoint": sha256_of_file(checkpoint)})
