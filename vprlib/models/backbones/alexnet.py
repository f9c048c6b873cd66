"""AlexNet up to conv5 before its ReLU, cut as in pytorch-NetVlad: by default only conv5 is trained."""

from typing import Literal

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}


def alexnet(train_from: Literal["conv1", "conv2", "conv3", "conv4", "conv5"] = "conv5") -> Backbone:
    """Build the first 11 modules of torchvision's `features`: 256 channels, stride 16.

    Args:
        train_from: the first layer that is trained.
    """
    import torchvision

    layers = list(torchvision.models.alexnet().features)[:-2]
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=256, stride=16)
