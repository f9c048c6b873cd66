"""What all backbones are: a stack cut where the frozen part ends."""

from torch import nn


class Backbone(nn.Module):
    """(B, 3, H, W) float, normalised -> (B, channels, H / stride, W / stride) local features.

    `trunk` is frozen in weakly supervised training, `head` is trained; the features are head(trunk(x)). The modules
    keep their numbers over the cut, so the state dict has the names of the uncut stack, `layers.<number>.…`.
    """

    def __init__(self, layers, *, cut: int, channels: int, stride: int):
        super().__init__()
        self.layers = nn.ModuleDict({str(number): layer for number, layer in enumerate(layers)})
        self.cut, self.channels, self.stride = cut, channels, stride
        for layer in list(self.layers.values())[:cut]:
            layer.requires_grad_(False)

    def trunk(self, x_BCHW):
        return self._through(x_BCHW, 0, self.cut)

    def head(self, x_BCHW):
        return self._through(x_BCHW, self.cut, len(self.layers))

    def forward(self, x_BCHW):
        return self.head(self.trunk(x_BCHW))

    def check_image(self, image, pretrained: bool):
        """Refuse photos that this backbone cannot take: none. `pretrained` tells that its source's weights are used."""

    def _through(self, x, start, end):
        for number in range(start, end):
            x = self.layers[str(number)](x)
        return x


def cut_at(cuts: dict, name: str) -> int:
    """The number of the first trained layer.

    Raises:
        ValueError: if `name` is not one of `cuts`.
    """
    if name not in cuts:
        raise ValueError(f"train_from: {name!r} is not one of {', '.join(cuts)}")
    return cuts[name]
