"""The descriptor network: a backbone and an aggregator.

Axes: B images, C channels, H x W positions.
"""

from typing import Any, Self

import torch
from torch import nn

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.images.augment import normalize_photos
from vprlib.models.backbones.base import Backbone
from vprlib.registry import load_object


class DescriptorNetwork(nn.Module):
    """(B, 3, H, W) normalised photos -> (B, dim) L2-normalised descriptors.

    Normalisation layers always use their stored statistics, so a descriptor does not depend on the other photos of its
    batch.

    Args:
        image: config section of the input size.
        backbone: computes local features.
        aggregator: (B, C, H, W) local features -> (B, dim) descriptors. Its methods `assign`, `describe_regions` and
            `initialise` exist only where the registry gives it the trait.
    """

    backbone: Backbone
    aggregator: Any

    def __init__(self, image: ImageConfig, backbone: Backbone, aggregator: nn.Module) -> None:
        super().__init__()
        self.image, self.backbone, self.aggregator = image, backbone, aggregator
        self.eval()

    @property
    def dim(self) -> int:
        """Return the dimension of a descriptor."""
        return self.aggregator.dim

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever `mode` is."""
        return super().train(False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the descriptors of normalised photos."""
        return self.aggregator(self.backbone(x_BCHW))

    def describe(self, batch_BCHW: torch.Tensor, device: torch.device, bf16: bool = False) -> torch.Tensor:
        """Return the descriptors of a batch of photos or cached features.

        Args:
            batch_BCHW: uint8 photos, or float16 cached features.
            device: where to compute.
            bf16: compute convolutions in bfloat16; the rest is computed in float32.
        """
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            x_BCHW = local_features(self.backbone, batch_BCHW, self.image, device)
        return self.aggregator(x_BCHW.float())


def local_features(
    backbone: Backbone, batch_BCHW: torch.Tensor, image: ImageConfig, device: torch.device
) -> torch.Tensor:
    """Return the local features of a batch of photos (uint8) or cached features (float16)."""
    return backbone.head(frozen_features(backbone, batch_BCHW, image, device))


def frozen_features(
    backbone: Backbone, batch_BCHW: torch.Tensor, image: ImageConfig, device: torch.device
) -> torch.Tensor:
    """Return the frozen layers' output for a batch, on `device`.

    Cached features, float16, are only converted to float32. Photos, in [0, 255], are normalised and passed through
    `backbone.trunk`.
    """
    if batch_BCHW.dtype == torch.float16:
        x_BCHW = batch_BCHW.to(device, non_blocking=True)
        return x_BCHW.to(torch.float32, memory_format=torch.channels_last)
    return backbone.trunk(normalize_photos(batch_BCHW, image, device))


def build_backbone(backbone: BackboneConfig, image: ImageConfig | None = None) -> Backbone:
    """Build an untrained backbone from its config section; its normalisation layers use their stored statistics.

    Raises:
        InputError: if the backbone does not take one of the options, or photos as the section `image` describes them.
    """
    build = load_object("backbone", backbone.name)
    try:
        network = build(**backbone.options).eval()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"backbone.options: {error}") from error
    if image:
        network.check_image(image, pretrained=backbone.weights == "imagenet")
    return network


def build_network(image: ImageConfig, backbone: BackboneConfig, aggregator: AggregatorConfig) -> DescriptorNetwork:
    """Build an untrained network from its config sections.

    Raises:
        InputError: as `build_backbone`.
    """
    network = build_backbone(backbone, image)
    make = load_object("aggregator", aggregator.name)
    layer = make(network.channels, **aggregator.options)
    return DescriptorNetwork(image, network, layer).to(memory_format=torch.channels_last)
