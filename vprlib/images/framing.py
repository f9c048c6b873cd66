"""Fit photos of any shape to the input size of a network.

Axes: C channels, H x W pixels.
"""

import torch
from torch.nn import functional as F

CROPS = 5  # crops per photo with the framings `five_*`: its four corners and its center
FRAMINGS = ("fixed", "shorter", "crop", "five_mean", "five_nearest")


def fit_to_size(photo_CHW: torch.Tensor, size: tuple[int, int], framing: str) -> torch.Tensor:
    """Fit a photo to a network's input size.

    Args:
        photo_CHW: uint8 photo.
        size: (height, width) of the network's input.
        framing: one of FRAMINGS; `vprlib.images.loader.PhotoDataset` explains each.

    Returns:
        uint8 tensor: (3, height, width); with `shorter` (3, h, w); with `five_mean` and `five_nearest`
        (5, 3, side, side), where side is the smaller of height and width.
    """
    height, width = photo_CHW.shape[1:]
    if framing == "fixed":
        return resize(photo_CHW, size)
    if framing == "crop":
        factor = max(size[0] / height, size[1] / width)
        return center_crop(resize(photo_CHW, scaled_size(height, width, factor, size)), size)
    side = max(size) if framing == "shorter" else min(size)
    photo_CHW = resize(photo_CHW, size_with_shorter_side(height, width, side))
    if framing == "shorter":
        return photo_CHW
    corners = [photo_CHW[:, rows, columns] for rows in (slice(side), slice(-side, None))
               for columns in (slice(side), slice(-side, None))]  # fmt: skip
    return torch.stack([*corners, center_crop(photo_CHW, (side, side))])


def size_with_shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the (height, width) of a photo whose shorter side becomes `side`; the other is cut to whole pixels.

    OpenIBL, by torchvision's Resize, cuts, too, where rounding would add a pixel.

    >>> size_with_shorter_side(450, 800, 640)
    (640, 1137)
    """
    shorter = min(height, width)
    return height * side // shorter, width * side // shorter


def scaled_size(height: int, width: int, factor: float, least: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) times a factor, rounded, but at least `least`.

    >>> scaled_size(480, 641, 0.5, (100, 100))
    (240, 320)
    """
    return max(least[0], round(height * factor)), max(least[1], round(width * factor))


def center_crop(photo_CHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the central (height, width) pixels of a photo at least as large."""
    top, left = ((length - cropped) // 2 for length, cropped in zip(photo_CHW.shape[1:], size, strict=True))
    return photo_CHW[:, top : top + size[0], left : left + size[1]].contiguous()


def resize(photo_CHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a photo to (height, width) by antialiased bilinear interpolation; its shape is not kept."""
    if photo_CHW.shape[1:] == size:
        return photo_CHW.contiguous()
    return F.interpolate(photo_CHW[None], size, mode="bilinear", antialias=True, align_corners=False)[0].contiguous()
