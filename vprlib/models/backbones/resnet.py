"""ResNets up to their third stage, stride 16 (He et al. 2016; cut as in deep-visual-geo-localization-benchmark)."""

from typing import Literal

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"layer1": 4, "layer2": 5, "layer3": 6}


def resnet18(train_from: Literal["layer1", "layer2", "layer3"] = "layer3") -> Backbone:
    """Build ResNet-18 from conv1 to layer3: 256 channels.

    Args:
        train_from: the first stage that is trained.
    """
    return _resnet("resnet18", 256, train_from)


def resnet50(train_from: Literal["layer1", "layer2", "layer3"] = "layer3") -> Backbone:
    """Build ResNet-50 from conv1 to layer3: 1024 channels.

    Args:
        train_from: the first stage that is trained.
    """
    return _resnet("resnet50", 1024, train_from)


def _resnet(name: str, channels: int, train_from: str) -> Backbone:
    """Build a ResNet of torchvision up to layer3."""
    import torchvision

    layers = list(getattr(torchvision.models, name)().children())[:7]  # conv1, bn1, relu, maxpool, layer1 to layer3
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=channels, stride=16)
