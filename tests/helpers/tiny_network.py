"""A network of 128 dimensions for photos of 32 x 48 pixels, with random weights, as a checkpoint."""

from pathlib import Path

import torch

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.models.checkpoint import save_checkpoint
from vprlib.models.network import build_network


def write_tiny_network(path: Path) -> None:
    """Write the checkpoint; it is the same each time."""
    sections = (
        ImageConfig(height=32, width=48),
        BackboneConfig(options={"width": 1 / 16}),
        AggregatorConfig(options={"clusters": 4}),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_network(*sections)
    for layer in model.backbone.layers.values():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    save_checkpoint(path, model, *sections[1:])
