"""VGG16 up to conv5_3 before its ReLU (Simonyan and Zisserman 2015).

Cut as in NetVLAD and OpenIBL (`ibl/models/vgg.py`).
"""

from torch import nn

from vprlib.models.backbones.base import Backbone, cut_at

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels
CUTS = {"conv1": 0, "conv2": 5, "conv3": 10, "conv4": 17, "conv5": 24}


def vgg16(width: float = 1.0, train_from: str = "conv5") -> Backbone:
    """The 29 modules of torchvision's `features` less its last ReLU and pooling; 512 channels, stride 16.

    Args:
        width: scales the channels of every convolution; 1 is VGG16.
        train_from: the first block that is trained.
    """
    layers, channels = [], 3
    for count, wide in BLOCKS:
        for _ in range(count):
            narrow = max(1, round(wide * width))
            layers += [nn.Conv2d(channels, narrow, 3, padding=1), nn.ReLU()]
            channels = narrow
        layers.append(nn.MaxPool2d(2))
    return Backbone(layers[:-2], cut=cut_at(CUTS, train_from), channels=channels, stride=16)
