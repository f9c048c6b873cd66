"""Descriptors of a few photos, for a program or a terminal of one's own."""

import os
from pathlib import Path

import h5py
import numpy as np
import torch

from vprlib.compute.device import select_device
from vprlib.data.photos import list_photos
from vprlib.images.loader import PhotoDataset
from vprlib.io.files import atomic, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.published_formats import read_published
from vprlib.retrieval.extract import extract_descriptors


def describe(checkpoint, images, *, whitening=None, device: str = "auto", batch: int = 16) -> np.ndarray:
    """Describe photos by a checkpoint of ours, or one that another project published.

    Args:
        checkpoint: the file of a trained network, of any format of `vprlib.models.published_formats`.
        images: a path, or a sequence of them; each photo is resized to the size that the network was made for.
        whitening: the PCA file to whiten by: `pca.h5` of a checkpoint of ours, or the one published beside another's.
            A published file with a PCA layer of its own is whitened by that.
        device: `auto` (the first GPU, if there is one), `cpu`, `cuda`, `cuda:1`.
        batch: photos in a pass.

    Returns:
        (N, D) float32, unit rows, in the order of `images`.

    Raises:
        InputError: one line that names the file: a photo that cannot be decoded, a checkpoint that cannot be read, a
            whitening that is not its own.
    """
    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    chosen = select_device(device)
    published = read_published(checkpoint, pca=whitening)
    photos = PhotoDataset(paths, *published.image.size)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # a GPU's descriptors are a CPU's
        x_ND = extract_descriptors(published.model, photos, range(len(paths)), device=chosen, batch=batch)
    return published.whitening.apply(x_ND) if published.whitening else x_ND


def expand_photo_paths(images) -> list:
    """The paths of photos: files as they are given, and of a folder all photos below it, sorted.

    Raises:
        InputError: if a folder has none.
    """
    found = []
    for path in map(Path, images):
        found += [path / name for name in list_photos(path)] if path.is_dir() else [path]
    return found


def write_descriptors(out, descriptors, paths, checkpoint):
    """Write descriptors: `.npy`, or `.h5` with `descriptors` (N, D), their `paths` and the checkpoint's SHA-256."""
    if Path(out).suffix == ".npy":
        with atomic(out) as partial, partial.open("wb") as file:
            np.save(file, descriptors)
        return
    names = np.array([str(path) for path in paths], h5py.string_dtype())
    write_h5(out, {"descriptors": descriptors, "paths": names}, {"checkpoint": sha256_of_file(checkpoint)})
