"""Pretrain a backbone by contrastive learning on pairs of rendered photos.

The result serves the synthetic city as ImageNet weights serve the real datasets. A pair shows one place twice, from
slightly different viewpoints, with different exposure and cars. None of its cities is trained or tested on. The loss
is InfoNCE over the batch (van den Oord et al. 2018, eq. 4) in both directions.

Axes: 2 views of a pair, N pairs, B photos of a batch, C channels, H x W positions, D dimensions.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from tqdm import tqdm, trange

from vprlib.config import BackboneConfig, ImageConfig, PretrainConfig
from vprlib.data.synthetic.camera import Shot, jitter_shot
from vprlib.data.synthetic.city_layout import build_city, street_points
from vprlib.data.synthetic.renderer import render_photo
from vprlib.images.augment import normalize_photos
from vprlib.io.fingerprints import code_version
from vprlib.models.checkpoint import check_module_state, write_weights
from vprlib.models.network import build_backbone

log = logging.getLogger(__name__)


BLOCKS = 4  # per side of a pretraining city


def pretrain_backbone(
    out: str | os.PathLike[str],
    *,
    backbone: BackboneConfig,
    image: ImageConfig,
    settings: PretrainConfig,
    device: torch.device,
    workers: int,
) -> None:
    """Train a backbone's initial weights and write them as safetensors.

    A backbone without batch normalisation is trained with one after every convolution, which is then folded into the
    weights.

    Args:
        out: the file to write.
        backbone: config section of the backbone.
        image: config section of the input size.
        settings: config section of the pretraining.
        device: where the backbone is trained.
        workers: processes that render.
    """
    photos_2NCHW = render_training_pairs(settings, image.height, image.width, workers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        plain = build_backbone(backbone)
        channels, network = plain.channels, add_batch_norm(plain).requires_grad_(True)
        projection = nn.Sequential(nn.Linear(2 * channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels))
    network.to(device).to(memory_format=torch.channels_last).train()
    projection.to(device)
    parameters = [*network.parameters(), *projection.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    steps = photos_2NCHW.shape[1] // settings.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(1, steps * settings.epochs)
    )
    shuffle = torch.Generator().manual_seed(settings.seed)
    for epoch in trange(settings.epochs, desc="pretrain", disable=None, unit="epoch"):
        order = torch.randperm(photos_2NCHW.shape[1], generator=shuffle)
        losses = []
        for pairs in order[: steps * settings.batch].split(settings.batch):
            x_BCHW = normalize_photos(photos_2NCHW[:, pairs].flatten(0, 1), image, device)
            loss = info_nce(projection(mean_max_pool(network(x_BCHW))), settings.temperature)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        log.info("epoch %d of %d, loss %.4f", epoch + 1, settings.epochs, np.mean(losses))
    described = {"backbone": backbone.model_dump(mode="json"), "recipe": {"pretrain": settings.without_defaults()}}
    state = fold_batch_norm(network.eval()).state_dict()
    check_module_state(build_backbone(backbone), state, out)
    write_weights(out, state, described | code_version())


def render_training_pairs(settings: PretrainConfig, height: int, width: int, workers: int) -> torch.Tensor:
    """Render two views each of `settings.pairs` places in `settings.cities` cities: (2, N, 3, height, width) uint8."""
    counts = [len(part) for part in np.array_split(np.arange(settings.pairs), settings.cities)]
    render = partial(render_city_pairs, night=settings.night, height=height, width=width)
    seeds = [(settings.seed, number) for number in range(settings.cities)]
    with ProcessPoolExecutor(workers) as pool:
        rendered = pool.map(render, seeds, counts)
        cities = list(tqdm(rendered, total=settings.cities, desc="render", disable=None, unit="city"))
    return torch.from_numpy(np.concatenate(cities, axis=1)).permute(0, 1, 4, 2, 3)


def render_city_pairs(
    seed: int | tuple[int, ...], count: int, *, night: float, height: int, width: int
) -> NDArray[np.uint8]:
    """Render two views each of `count` random places in one city.

    Args:
        seed: seed of the city, its places and its views.
        count: number of places.
        night: darkness of a photo at most, in [0, 1].
        height, width: size of a photo in pixels.

    Returns:
        (2, count, height, width, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    city = build_city(int(rng.integers(2**31)), BLOCKS)
    points = street_points(city, 1.0)
    result = np.empty((2, count, height, width, 3), np.uint8)
    for pair in range(count):
        east, north = points[rng.integers(len(points))]
        shot = Shot(east, north, rng.uniform(0, 360), rng.uniform(0, night))
        for view in range(2):
            result[view, pair], _ = render_photo(city, jitter_shot(shot, rng), rng, height=height, width=width)
    return result


def mean_max_pool(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the mean and the maximum of each channel: (B, 2C)."""
    return torch.cat([x_BCHW.mean((2, 3)), x_BCHW.amax((2, 3))], dim=1)


def info_nce(x_BD: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the InfoNCE loss of a batch, a scalar in nats.

    Rows i and i + B/2 are a pair; every other row of the batch is a negative. Rows need not be normalised.
    """
    x_BD = F.normalize(x_BD, dim=1)
    half = len(x_BD) // 2
    logits_BB = (x_BD @ x_BD.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits_BB, torch.arange(len(x_BD), device=x_BD.device).roll(half))


class ConvBatchNorm(nn.Sequential):
    """A convolution followed by the batch normalisation that pretraining added."""


def add_batch_norm(module: nn.Module) -> nn.Module:
    """Add a batch normalisation after every convolution, in place; a network that has any is left as it is."""
    if any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    return _replace(module, nn.Conv2d, lambda conv: ConvBatchNorm(conv, nn.BatchNorm2d(conv.out_channels)))


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold what `add_batch_norm` added into the convolutions, in place; the output in evaluation mode is the same."""
    return _replace(module, ConvBatchNorm, lambda pair: fuse_conv_bn_eval(*pair))


def _replace(module: nn.Module, kind: type[nn.Module], change: Callable[..., nn.Module]) -> nn.Module:
    """Replace every submodule of a kind by `change(submodule)`, in place."""
    for name, child in module.named_children():
        module.add_module(name, change(child) if isinstance(child, kind) else _replace(child, kind, change))
    return module
