"""Doubt the mean and std that photos are normalised with, by what a network's local features are then worth.

With pixels of a wrong scale, biases outweigh the photo, or the reverse: the local features of different places come
close to each other. So the normalisation of the configuration is compared with the usual ones, on two photos that come
with scikit-learn. Measured is the mean cosine of local features: of SqueezeNet's Caffe weights 0.15 with their own
pixels and 0.32 with ImageNet's; of a Caffe VGG16 (HED) 0.23 and 0.58; of EfficientNet-Lite0 0.22 with its own and 0.28
with MatConvNet's. The response of the first layer alone does not tell them, because weights for pixels of either scale
have the same size: std 0.7 with ImageNet's pixels and 40 with 0 to 255. A mean that is missing makes little difference
to networks that were trained with one, and is not found.

Axes: B photos, C channels, H x W pixels, M local features.
"""

import numpy as np
import torch
from torch.nn import functional as F

from vprlib.config import ImageConfig
from vprlib.config.published import IMAGENET, MATCONVNET
from vprlib.images.augment import normalize_photos
from vprlib.models.backbones.base import Backbone

SIZE = 224  # height and width of the photos, unless the backbone takes another size only
MARGIN = 0.04  # of the mean cosine; right normalisations differ from the best usual one by at most 0.01
USUAL = {"ImageNet's (torchvision)": IMAGENET, "MatConvNet's and Caffe's": MATCONVNET}


def doubt_pixels(network: Backbone, image: ImageConfig) -> str | None:
    """Say why the mean and std of the configuration are doubtful for a network's weights; None if they are plausible.

    Args:
        network: the backbone, with its weights.
        image: config section with the mean and std.
    """
    height, width = (max(1, SIZE // side) * side for side in getattr(network, "multiple", (1, 1)))
    photos_BCHW = sample_photos(*(getattr(network, "only", None) or (height, width)))
    given = mean_cosine(network, photos_BCHW, image)
    found = {name: mean_cosine(network, photos_BCHW, usual) for name, usual in USUAL.items()}
    best = min(found, key=lambda name: found[name])
    if given <= found[best] + MARGIN:
        return None
    mean, std, better_mean, better_std = (
        [float(f"{value:.6g}") for value in part] for one in (image, USUAL[best]) for part in (one.mean, one.std)
    )
    return (
        f"with image.mean {mean} and image.std {std}, the features of different places are too alike (mean cosine "
        f"{given:.2f}, and {found[best]:.2f} with {best}); if the weights want those, set image: "
        f"{{mean: {better_mean}, std: {better_std}}}"
    )


def sample_photos(height: int, width: int) -> torch.Tensor:
    """Return the left and right parts of two photos that come with scikit-learn: (4, 3, height, width) float32."""
    from sklearn.datasets import load_sample_image

    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    parts = [part for photo in photos for part in (photo[:, : photo.shape[0]], photo[:, -photo.shape[0] :])]
    x_BCHW = torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).float()
    return F.interpolate(x_BCHW, (height, width), mode="bilinear", antialias=True).clamp(0, 255)


@torch.inference_mode()
def mean_cosine(network: Backbone, photos_BCHW: torch.Tensor, image: ImageConfig) -> float:
    """Return the mean cosine between all local features of some photos, in [-1, 1].

    Args:
        network: the backbone.
        photos_BCHW: photos in [0, 255].
        image: config section with the mean and std.
    """
    x_BCHW = network(normalize_photos(photos_BCHW.clone(), image, "cpu"))
    x_MC = F.normalize(x_BCHW.float(), dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    return float(x_MC.mean(0).square().sum())
