"""VGG16 up to conv5_3 before its ReLU (Simonyan and Zisserman 2015).

Cut as in NetVLAD and OpenIBL (`ibl/models/vgg.py`).
"""

from typing import Annotated, Literal

from torch import nn

from vprlib.models.backbones.base import Backbone, cut_at

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels
CUTS = {"conv1": 0, "conv2": 5, "conv3": 10, "conv4": 17, "conv5": 24}


def vgg16(
    width: Annotated[float, "> 0"] = 1.0, train_from: Literal["conv1", "conv2", "conv3", "conv4", "conv5"] = "conv5"
) -> Backbone:
    """Build the 29 modules of torchvision's `features` without its last ReLU and pooling: 512 channels, stride 16.

    Args:
        width: factor of the channels of every convolution; 1 is VGG16.
        train_from: the first block that is trained.
    """
    layers: list[nn.Module] = []
    channels = 3
    for count, wide in BLOCKS:
        for _ in range(count):
            narrow = max(1, round(wide * width))
            layers += [nn.Conv2d(channels, narrow, 3, padding=1), nn.ReLU()]
            channels = narrow
        layers.append(nn.MaxPool2d(2))
    return Backbone(layers[:-2], cut=cut_at(CUTS, train_from), channels=channels, stride=16)
