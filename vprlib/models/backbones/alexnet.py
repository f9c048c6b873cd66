"""AlexNet up to conv5 before its ReLU (cut and frozen as in pytorch-NetVlad: only conv5 is trained)."""

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}


def alexnet(train_from: str = "conv5") -> Backbone:
    """The first 11 modules of torchvision's `features`; 256 channels, stride 16."""
    import torchvision

    layers = list(torchvision.models.alexnet().features)[:-2]
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=256, stride=16)
