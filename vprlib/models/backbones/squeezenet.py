"""SqueezeNet 1.0 up to fire9 (Iandola et al. 2016)."""

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"fire5": 7, "fire6": 8, "fire7": 9, "fire8": 10, "fire9": 12}


def squeezenet1_0(train_from: str = "fire9") -> Backbone:
    """torchvision's `features`, all 13 modules; 512 channels, stride 16."""
    import torchvision

    layers = list(torchvision.models.squeezenet1_0().features)
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=512, stride=16)
