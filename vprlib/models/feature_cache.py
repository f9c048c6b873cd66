"""The frozen trunk's activations, computed once and shared by all that describes the same photos.

Training changes only what comes after the cut, so mining, validation, centroids, whitening and, without photometric
jitter, the training step itself need no pass through the trunk. They are stored as float16 (descriptors change by a
cosine of 1e-6) in one contiguous block, so that a row is read with one system call.
"""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import torch

from vprlib.config import BackboneConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.images.augment import normalize_photos
from vprlib.images.loader import PhotoDataset, batched, load_batches
from vprlib.io.files import h5_writer, write_h5
from vprlib.models.checkpoint import load_weights
from vprlib.models.network import build_backbone

log = logging.getLogger(__name__)


SPLITS = ("train", "val")  # what training reads; test photos are described once a checkpoint


@torch.inference_mode()
def cache_frozen_features(
    out, *, table, weights, image: ImageConfig, backbone: BackboneConfig, device, batch: int, workers: int
):
    """Write `activations` (N, C, h, w) float16 and their `rows` in the image table, of the train and val splits.

    If the disk is too full for them, the file holds the reason instead, and `source` reads photos.
    """
    network = build_backbone(backbone, image)
    load_weights(network, weights)
    network.to(device, memory_format=torch.channels_last)
    photos = PhotoDataset(table.path, image.height, image.width)
    rows = np.flatnonzero(table.split.isin(SPLITS))
    shape = tuple(network.trunk(torch.zeros(1, 3, image.height, image.width, device=device)).shape[1:])
    needed, free = len(rows) * int(np.prod(shape)) * 2, shutil.disk_usage(Path(out).parent).free
    log.info("trunk: %d photos need %.3g GB, %.3g GB are free", len(rows), needed / 1e9, free / 1e9)
    if not len(rows) or needed > 0.9 * free:
        log.warning("trunk: not cached; every job passes the photos through it")
        return write_h5(out, {}, {"needed_bytes": needed, "free_bytes": free})
    with h5_writer(out) as file:
        file["rows"] = rows
        activations = file.create_dataset("activations", (len(rows), *shape), np.float16)
        start = 0
        for photos_BCHW in load_batches(photos, batched(rows, batch), workers=workers, desc="trunk"):
            found = network.trunk(normalize_photos(photos_BCHW, image, device)).to(torch.float16).cpu().numpy()
            if not np.isfinite(found).all():
                raise InputError("trunk: an activation is beyond float16; set cache_trunk: never")
            activations[start : start + len(found)] = found
            start += len(found)
    return None


def open_inputs(table, image: ImageConfig, cached=None):
    """What to read the rows of an image table from: the cached activations if there are any, else the photos."""
    import h5py

    if cached:
        with h5py.File(cached, "r") as file:
            if "activations" in file:
                return CachedFeatures(table.path, file["rows"][:], file["activations"], cached)
    return PhotoDataset(table.path, image.height, image.width)


class CachedFeatures(torch.utils.data.Dataset):
    """Cached activations by the row number of their photo: (C, h, w) float16."""

    def __init__(self, paths, rows, stored, path):
        self.paths, self.path, self.shape = list(paths), str(path), stored.shape[1:]
        self.position = {int(row): number for number, row in enumerate(rows)}
        self.offset, self.size = stored.id.get_offset(), int(np.prod(self.shape)) * 2
        self.file = None  # opened by each process that reads

    def lots(self, rows, batch: int) -> list:
        """Cut the positions in `rows` into lots that pass together."""
        return batched(range(len(rows)), batch)

    def __getitem__(self, row):
        self.file = self.file or os.open(self.path, os.O_RDONLY)
        found = torch.empty(self.shape, dtype=torch.float16)
        view = memoryview(found.numpy()).cast("B")
        if os.preadv(self.file, [view], self.offset + self.position[row] * self.size) != self.size:
            raise InputError(f"{self.path}: is cut short; run `snakemake -R trunk`")
        return found
