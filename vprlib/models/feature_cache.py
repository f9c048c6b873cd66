"""Cache of the frozen layers' output for the photos of a training set, shared by all stages that describe them.

Training changes only the layers after the cut. So mining, validation, centroids, whitening and, without photometric
jitter, the training step itself need no pass through the frozen layers. Features are stored as float16 (which changes
descriptors by a cosine of 1e-6) in one contiguous block, so that a row is read with one system call.

Axes: N photos, B photos of a batch, C channels, H x W positions.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from vprlib.config import BackboneConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.images.augment import normalize_photos
from vprlib.images.loader import PhotoDataset, batched, load_batches
from vprlib.io.files import h5_writer, open_h5, write_h5
from vprlib.models.checkpoint import load_weights
from vprlib.models.network import build_backbone

log = logging.getLogger(__name__)


SPLITS = ("train", "val")  # the splits that training reads; test photos are described only once per checkpoint


@torch.inference_mode()
def cache_frozen_features(
    out: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    weights: str | os.PathLike[str],
    image: ImageConfig,
    backbone: BackboneConfig,
    device: torch.device,
    batch: int,
    workers: int,
) -> None:
    """Write the cached features of the train and val splits.

    The file has `activations` (N, C, H, W) float16, their `rows` in the image table and their `sums`. If they need more
    than 90 % of the free disk space, it holds the two sizes as attributes instead, and `open_inputs` reads photos.

    Args:
        out: the HDF5 file to write.
        table: the image table.
        weights: the backbone's weights.
        image: config section of the input size.
        backbone: config section of the backbone.
        device: where the frozen layers run.
        batch: photos per forward pass.
        workers: processes that decode photos.

    Raises:
        InputError: if a photo cannot be decoded, or a feature exceeds the range of float16.
    """
    network = build_backbone(backbone, image)
    load_weights(network, weights)
    network.to(device).to(memory_format=torch.channels_last)
    photos = PhotoDataset(table.path, image.height, image.width)
    rows = np.flatnonzero(table.split.isin(SPLITS))
    shape = tuple(network.trunk(torch.zeros(1, 3, image.height, image.width, device=device)).shape[1:])
    needed, free = len(rows) * int(np.prod(shape)) * 2, shutil.disk_usage(Path(out).parent).free
    log.info("frozen features: %d photos need %.3g GB, %.3g GB are free", len(rows), needed / 1e9, free / 1e9)
    if not len(rows) or needed > 0.9 * free:
        log.warning("frozen features: not cached; every job passes the photos through the frozen layers")
        write_h5(out, {}, {"needed_bytes": needed, "free_bytes": free})
        return
    with h5_writer(out, lazy=("activations",)) as file:
        file["rows"], sums = rows, np.empty(len(rows), np.uint64)
        activations = file.create_dataset("activations", (len(rows), *shape), np.float16)
        start = 0
        for photos_BCHW in load_batches(photos, batched(rows, batch), workers=workers, desc="frozen features"):
            x_BCHW = network.trunk(normalize_photos(photos_BCHW, image, device)).to(torch.float16).cpu().numpy()
            if not np.isfinite(x_BCHW).all():
                raise InputError(
                    "frozen features: a value exceeds the range of float16; set cache_frozen_features: never"
                )
            activations[start : start + len(x_BCHW)] = x_BCHW
            sums[start : start + len(x_BCHW)] = [feature_sum(x_CHW) for x_CHW in x_BCHW]
            start += len(x_BCHW)
        file["sums"] = sums


def feature_sum(x_CHW: NDArray[np.float16]) -> int:
    """Sum the bytes of a feature map as 64-bit numbers, if it has so many: any changed bit changes the sum."""
    flat = np.ascontiguousarray(x_CHW).reshape(-1)
    return int(flat.view(np.uint16 if flat.size % 4 else np.uint64).sum(dtype=np.uint64))


class CachedFeatures(torch.utils.data.Dataset):
    """Cached features, (C, H, W) float16, indexed by the row number of their photo.

    Args:
        paths: the photos' paths, by row number.
        rows: row number of each stored feature map.
        sums: `feature_sum` of each.
        stored: the HDF5 dataset, which must be contiguous.
        path: its file.
    """

    def __init__(
        self,
        paths: Iterable[str],
        rows: Iterable[int],
        sums: Sequence[int] | NDArray[np.uint64],
        stored: Any,
        path: str | os.PathLike[str],
    ) -> None:
        self.paths, self.path, self.shape, self.sums = list(paths), str(path), stored.shape[1:], sums
        self.position = {int(row): number for number, row in enumerate(rows)}
        self.offset, self.size = stored.id.get_offset(), int(np.prod(self.shape)) * 2
        self.file: int | None = None  # each process that reads opens its own

    def batches_by_shape(self, rows: Sequence[int] | NDArray[np.int64], batch: int) -> list[list[int]]:
        """Split the positions in `rows` into batches; all features have the same shape."""
        return batched(range(len(rows)), batch)

    def __getitem__(self, row: int) -> torch.Tensor:
        self.file = self.file or os.open(self.path, os.O_RDONLY)
        x_CHW = torch.empty(self.shape, dtype=torch.float16)
        view = x_CHW.numpy().data.cast("B")
        if os.preadv(self.file, [view], self.offset + self.position[row] * self.size) != self.size:
            raise InputError(f"{self.path}: is cut short; run again with `-R cache_features`")
        if feature_sum(x_CHW.numpy()) != self.sums[self.position[row]]:
            raise InputError(
                f"{self.path}: has changed since it was written (checksum); run again with `-R cache_features`, and "
                "check the disk"
            )
        return x_CHW


def open_inputs(
    table: pd.DataFrame, image: ImageConfig, cached: str | os.PathLike[str] | None = None
) -> PhotoDataset | CachedFeatures:
    """Open the inputs of a network, indexed by row number: the cached features if the file has any, else the photos."""
    if cached:
        with open_h5(cached) as file:
            if "activations" in file and "sums" not in file:
                raise InputError(f"{cached}: was written by an earlier version; run again with `-R cache_features`")
            if "activations" in file:
                return CachedFeatures(table.path, file["rows"][:], file["sums"][:], file["activations"], cached)
    return PhotoDataset(table.path, image.height, image.width)
