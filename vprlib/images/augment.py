"""Normalize photos, and jitter their colours for training.

Axes: B photos, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from vprlib.config import ImageConfig, JitterConfig

COLOURS = ("brightness", "contrast", "saturation", "hue")


def jitter_colours(
    photos_BCHW: torch.Tensor, settings: JitterConfig, seeds: Sequence[Sequence[int]], device: torch.device | str
) -> torch.Tensor:
    """Change the brightness, contrast, saturation and hue of photos at random.

    The changes are applied in random order, as torchvision's ColorJitter and OpenIBL's training do, but on float
    tensors: nothing is rounded to bytes in between. Each photo has its own seed, so its changes depend neither on the
    other photos of the batch nor on the process.

    Args:
        photos_BCHW: uint8 photos.
        settings: the configuration's `train.jitter`; a change of size 0 is left out.
        seeds: B sequences of integers.
        device: torch device of the result.

    Returns:
        float32 photos in [0, 255], on `device`.
    """
    from torchvision.transforms.v2 import functional

    x_BCHW = photos_BCHW.to(device, non_blocking=True).float() / 255
    changes = {
        name: (
            getattr(functional, f"adjust_{name}"),
            (-reach, reach) if name == "hue" else (max(0, 1 - reach), 1 + reach),
        )
        for name in COLOURS
        if (reach := getattr(settings, name))
    }
    jittered = []
    for x_CHW, seed in zip(x_BCHW, seeds, strict=True):
        generator = np.random.default_rng(seed)
        for name in generator.permutation(list(changes)):
            change, bounds = changes[name]
            x_CHW = change(x_CHW, generator.uniform(*bounds))
        jittered.append(x_CHW)
    return torch.stack(jittered) * 255


def normalize_photos(photos_BCHW: torch.Tensor, image: ImageConfig, device: torch.device | str) -> torch.Tensor:
    """Subtract the mean of the RGB channels and divide by their standard deviation.

    Args:
        photos_BCHW: photos in [0, 255], of any dtype.
        image: the configuration's `image`, with `mean` and `std` of the channels in [0, 1].
        device: torch device of the result.

    Returns:
        float32 photos in channels-last memory format, on `device`.
    """
    x_BCHW = photos_BCHW.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (image.mean, image.std))
    return x_BCHW.sub_(mean).div_(std)
