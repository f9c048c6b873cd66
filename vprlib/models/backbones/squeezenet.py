"""SqueezeNet 1.0 up to fire9 (Iandola et al. 2016)."""

from typing import Literal

from vprlib.models.backbones.base import Backbone, cut_at

CUTS = {"fire5": 7, "fire6": 8, "fire7": 9, "fire8": 10, "fire9": 12}


def squeezenet1_0(train_from: Literal["fire5", "fire6", "fire7", "fire8", "fire9"] = "fire9") -> Backbone:
    """Build all 13 modules of torchvision's `features`: 512 channels, stride 16.

    Args:
        train_from: the first module that is trained.
    """
    import torchvision

    layers = list(torchvision.models.squeezenet1_0().features)
    return Backbone(layers, cut=cut_at(CUTS, train_from), channels=512, stride=16)
