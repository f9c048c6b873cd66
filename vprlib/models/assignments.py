"""Compute the soft assignment of local features to visual words for given photos."""

import torch

from vprlib.exceptions import InputError
from vprlib.images.loader import PhotoDataset
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.network import local_features


@torch.inference_mode()
def soft_assignments(checkpoint, paths: list) -> tuple:
    """The photos as the network sees them, (B, 3, H, W) uint8, and their soft assignments, (B, K, h, w) float32.

    Raises:
        InputError: there is no photo, or the network's aggregator has no words.
    """
    if not paths:
        raise InputError("words: the test split has no query; it can be described, but not evaluated")
    model, _ = load_checkpoint(checkpoint)
    if not hasattr(model.aggregator, "assign"):
        raise InputError(
            f"{checkpoint}: its aggregator has no visual words; only NetVLAD's photos can be drawn by them"
        )
    photos = PhotoDataset(paths, model.image.height, model.image.width)
    batch_BCHW = torch.stack([photos[number] for number in range(len(paths))])
    x_BCHW = local_features(model.backbone, batch_BCHW, model.image, torch.device("cpu")).float()
    a_BKP, _ = model.aggregator.assign(x_BCHW.flatten(2))
    return batch_BCHW.numpy(), a_BKP.unflatten(2, x_BCHW.shape[2:]).numpy()
