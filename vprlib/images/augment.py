"""Normalise photos, and change their colours at random for training."""

import numpy as np
import torch

COLOURS = ("brightness", "contrast", "saturation", "hue")


def jitter_colours(photos_BCHW, settings, seeds: list, device):
    """Photos with their colours changed at random: float32 in [0, 255], on `device`.

    Brightness, contrast, saturation and hue in random order, as torchvision's ColorJitter and OpenIBL's training do,
    but on tensors: no rounding to bytes in between. Each photo has its own seed, so what happens to it depends on
    neither its batch mates nor the process.

    Args:
        photos_BCHW: uint8.
        settings: config's `train.jitter`.
        seeds: B sequences of integers.
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
    result = []
    for x_CHW, seed in zip(x_BCHW, seeds, strict=True):
        generator = np.random.default_rng(seed)
        for name in generator.permutation(list(changes)):
            change, between = changes[name]
            x_CHW = change(x_CHW, generator.uniform(*between))
        result.append(x_CHW)
    return torch.stack(result) * 255


def normalize_photos(photos_BCHW, image, device):
    """Photos in [0, 255] -> float32 on `device`, channels last, with config's `image.mean` and `.std` taken out."""
    x_BCHW = photos_BCHW.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (image.mean, image.std))
    return x_BCHW.sub_(mean).div_(std)
