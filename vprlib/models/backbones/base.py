"""The base class of backbones: a stack of layers, cut where the frozen part ends.

Axes: B images, C channels, H x W positions.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from vprlib.config import ImageConfig


class Backbone(nn.Module):
    """(B, 3, H, W) float, normalised -> (B, channels, H / stride, W / stride) local features.

    `trunk` is frozen in weakly supervised training, `head` is trained; the features are head(trunk(x)). The modules
    keep their numbers across the cut, so the state dict has the names of the uncut stack, `layers.<number>.…`.

    Args:
        layers: the modules of the stack, in order.
        cut: number of the first trained layer.
        channels: channels of the local features.
        stride: pixels between neighbouring local features.
    """

    def __init__(self, layers: Iterable[nn.Module], *, cut: int, channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({str(number): layer for number, layer in enumerate(layers)})
        self.cut, self.channels, self.stride = cut, channels, stride
        for layer in list(self.layers.values())[:cut]:
            layer.requires_grad_(False)

    def trunk(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the output of the frozen layers."""
        return self._through(x_BCHW, 0, self.cut)

    def head(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the local features, from the output of the frozen layers."""
        return self._through(x_BCHW, self.cut, len(self.layers))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the local features of normalised photos."""
        return self.head(self.trunk(x_BCHW))

    @property
    def usual_image(self) -> ImageConfig:
        """Return the section `image` that the published weights are used with where none is given."""
        return ImageConfig()

    def check_image(self, image: ImageConfig, pretrained: bool) -> None:
        """Check that the backbone takes photos of the size and normalisation of `image`; this class takes all.

        Args:
            image: config section of the input size.
            pretrained: whether the backbone's published weights are used.
        """

    def _through(self, x_BCHW: torch.Tensor, start: int, end: int) -> torch.Tensor:
        for number in range(start, end):
            x_BCHW = self.layers[str(number)](x_BCHW)
        return x_BCHW


def cut_at(cuts: Mapping[str, int], name: str) -> int:
    """Return the number of the first trained layer.

    Args:
        cuts: name of a block -> number of its first layer.
        name: the first trained block.

    Raises:
        ValueError: if `name` is not one of `cuts`.
    """
    if name not in cuts:
        raise ValueError(f"train_from: {name!r} is not one of {', '.join(cuts)}")
    return cuts[name]
