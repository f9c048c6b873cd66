"""Compute the soft assignment of the local features of photos to NetVLAD's visual words.

Axes: B photos, C channels, H x W pixels, h x w or P positions, K visual words.
"""

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vprlib.exceptions import InputError
from vprlib.images.loader import PhotoDataset
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.network import local_features


@torch.inference_mode()
def soft_assignments(
    checkpoint: str | os.PathLike[str], paths: Sequence[str | os.PathLike[str]]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Assign the local features of photos to visual words.

    Args:
        checkpoint: the network.
        paths: the photos.

    Returns:
        The photos as the network takes them, (B, 3, H, W) uint8, and their soft assignments, (B, K, h, w) float32.

    Raises:
        InputError: if there is no photo, or the network's aggregator has no visual words.
    """
    if not paths:
        raise InputError("words: the test split has no query; it can be described, but not evaluated")
    model, _ = load_checkpoint(checkpoint)
    if not hasattr(model.aggregator, "assign"):
        raise InputError(f"{checkpoint}: its aggregator has no visual words; they can be drawn for NetVLAD only")
    photos = PhotoDataset(paths, model.image.height, model.image.width)
    batch_BCHW = torch.stack([photos[number] for number in range(len(paths))])
    x_BCHW = local_features(model.backbone, batch_BCHW, model.image, torch.device("cpu")).float()
    a_BKP, _ = model.aggregator.assign(x_BCHW.flatten(2))
    return batch_BCHW.numpy(), a_BKP.unflatten(2, x_BCHW.shape[2:]).numpy()
