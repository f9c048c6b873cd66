"""Fit photos of any shape to the input size of a network."""

import torch
from torch.nn import functional as F

CROPS = 5  # of a photo: its corners and its middle
FRAMINGS = ("fixed", "shorter", "crop", "five_mean", "five_nearest")


def fit_to_size(photo_CHW, size: tuple, framing: str):
    """A photo fitted to (height, width); see `Photos`."""
    height, width = photo_CHW.shape[1:]
    if framing == "fixed":
        return resize(photo_CHW, size)
    if framing == "crop":
        factor = max(size[0] / height, size[1] / width)
        return center_crop(resize(photo_CHW, scaled_size(height, width, factor, size)), size)
    side = max(size) if framing == "shorter" else min(size)
    least = (side, side)
    photo_CHW = resize(photo_CHW, scaled_size(height, width, side / min(height, width), least))
    if framing == "shorter":
        return photo_CHW
    corners = [photo_CHW[:, rows, columns] for rows in (slice(side), slice(-side, None))
               for columns in (slice(side), slice(-side, None))]  # fmt: skip
    return torch.stack([*corners, center_crop(photo_CHW, least)])


def scaled_size(height: int, width: int, factor: float, least: tuple) -> tuple:
    """A size times a factor, rounded, but at least `least`."""
    return max(least[0], round(height * factor)), max(least[1], round(width * factor))


def center_crop(photo_CHW, size: tuple):
    """The (height, width) in the middle of a photo at least as large."""
    top, left = ((have - want) // 2 for have, want in zip(photo_CHW.shape[1:], size, strict=True))
    return photo_CHW[:, top : top + size[0], left : left + size[1]].contiguous()


def resize(photo_CHW, size: tuple):
    if photo_CHW.shape[1:] == size:
        return photo_CHW.contiguous()
    return F.interpolate(photo_CHW[None], size, mode="bilinear", antialias=True, align_corners=False)[0].contiguous()
