"""ResNets up to their third stage, stride 16 (He et al. 2016; cut as in deep-visual-geo-localization-benchmark)."""

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"layer1": 4, "layer2": 5, "layer3": 6}


def resnet18(train_from: str = "layer3") -> Backbone:
    """conv1 to layer3; 256 channels."""
    return _resnet("resnet18", 256, train_from)


def resnet50(train_from: str = "layer3") -> Backbone:
    """conv1 to layer3; 1024 channels."""
    return _resnet("resnet50", 1024, train_from)


def _resnet(name, channels, train_from):
    import torchvision

    layers = list(getattr(torchvision.models, name)().children())[:7]  # conv1, bn1, relu, maxpool, layer1 to layer3
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=channels, stride=16)
