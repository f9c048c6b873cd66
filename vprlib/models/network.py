"""A descriptor network: backbone and aggregator; and its checkpoint, which carries what it was made from."""

import inspect

import torch
from torch import nn

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.exceptions import InputError, did_you_mean
from vprlib.images.augment import normalize_photos
from vprlib.registry import load_object


class DescriptorNetwork(nn.Module):
    """(B, 3, H, W) normalised photos -> (B, dim) L2-normalised descriptors.

    Normalisation layers always use their stored statistics, so a descriptor does not depend on its batch mates.
    """

    def __init__(self, image: ImageConfig, backbone: nn.Module, aggregator: nn.Module):
        super().__init__()
        self.image, self.backbone, self.aggregator = image, backbone, aggregator
        self.eval()

    @property
    def dim(self) -> int:
        return self.aggregator.dim

    def train(self, mode: bool = True):
        return super().train(False)

    def forward(self, x_BCHW):
        return self.aggregator(self.backbone(x_BCHW))

    def describe(self, batch_BCHW, device, bf16: bool = False):
        """Descriptors of a batch as its source yields it; convolutions in bfloat16 if so asked, the rest in float32."""
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            x_BCHW = local_features(self.backbone, batch_BCHW, self.image, device)
        return self.aggregator(x_BCHW.float())


def local_features(backbone, batch_BCHW, image: ImageConfig, device):
    """Local features of a batch as its source yields it: uint8 photos, or float16 activations of the trunk."""
    return backbone.head(frozen_features(backbone, batch_BCHW, image, device))


def frozen_features(backbone, batch_BCHW, image: ImageConfig, device):
    """The trunk's activations of a batch: of float16 ones the copy in float32, of photos in [0, 255] the trunk's."""
    if batch_BCHW.dtype == torch.float16:
        x_BCHW = batch_BCHW.to(device, non_blocking=True)
        return x_BCHW.to(torch.float32, memory_format=torch.channels_last)
    return backbone.trunk(normalize_photos(batch_BCHW, image, device))


def build_backbone(backbone: BackboneConfig, image: ImageConfig | None = None) -> nn.Module:
    """Build an untrained backbone from its config section; its normalisation layers use their stored statistics.

    Raises:
        InputError: if it does not take one of the options, or photos of the section `image`.
    """
    build = load_object("backbone", backbone.name)
    known = inspect.signature(build).parameters
    unknown = [option for option in backbone.options if option not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise InputError(f"backbone.options: {backbone.name} has no option {unknown[0]!r}; {hint}")
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
    """Build an untrained network from its config sections."""
    network = build_backbone(backbone, image)
    make = load_object("aggregator", aggregator.name)
    taken = inspect.signature(make).parameters
    options = {name: value for name, value in aggregator.model_dump().items() if name in taken}
    return DescriptorNetwork(image, network, make(network.channels, **options)).to(memory_format=torch.channels_last)
