"""Benchmarks of training: the step, mined photos, regions, neighbourhoods, and a projection of a whole run.

Axes: N photos, B photos of a batch, C channels, H x W or P positions, Q queries, M images, D dimensions.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.measure import (
    DEVICE,
    Durations,
    PeakMemory,
    Row,
    Size,
    alternate,
    duration_row,
    keep_freed_memory,
    random_unit_rows,
    rate_row,
)
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, SoftLabelsConfig, TrainConfig
from vprlib.models.feature_cache import CachedFeatures, feature_sum
from vprlib.models.network import DescriptorNetwork

LOSS = {"name": "sare_ind", "options": {"temperature": 0.07}}
JITTER = {"brightness": 0.7, "contrast": 0.7, "saturation": 0.7, "hue": 0.5}  # as SFRS was published
SARE = TrainConfig.model_validate({"loss": LOSS})
SFRS = TrainConfig.model_validate({"loss": LOSS, "regions": True, "soft": {"weight": 0.5}, "jitter": JITTER})
EPOCHS, GENERATIONS, REFRESHES = 16, 4, 8  # of an SFRS run on Pitts30k; refreshes per epoch
QUERIES, DATABASE, VAL = 7320, 10_000, 17_608  # Pitts30k: queries with a positive, database, and val split


def image_config(size: Size) -> ImageConfig:
    """Return the input size: that of the papers, or a toy's."""
    return ImageConfig(height=64, width=96) if size == "toy" else ImageConfig()


def build(size: Size) -> DescriptorNetwork:
    """Build VGG16 with NetVLAD, or a narrow toy of it, with random weights that neither vanish nor explode."""
    from vprlib.models.network import build_network

    keep_freed_memory(size)
    torch.manual_seed(0)
    backbone = BackboneConfig.model_validate({"options": {"width": 0.125} if size == "toy" else {}})
    network = build_network(image_config(size), backbone, AggregatorConfig.model_validate({})).to(DEVICE)
    for layer in network.backbone.layers.values():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    torch.nn.init.normal_(network.aggregator.assignment)
    return network


@cache
def shared_network(size: Size) -> DescriptorNetwork:
    """Return the network that all benchmarks of this module share."""
    return build(size)


def network_text(size: Size) -> str:
    """Return the network's name and input size, for a row."""
    image = image_config(size)
    return f"{image.height}x{image.width}, {'vgg16 x 0.125' if size == 'toy' else 'vgg16'}"


def random_photos(size: Size, count: int) -> torch.Tensor:
    """Draw photos of noise, (count, 3, H, W) uint8."""
    image = image_config(size)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, image.height, image.width), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def frozen_batch(size: Size, count: int) -> torch.Tensor:
    """Return the frozen layers' output for random photos as the feature cache stores it, (count, C, H, W) float16."""
    from vprlib.models.network import frozen_features

    network = shared_network(size)
    parts = [
        frozen_features(network.backbone, part, network.image, DEVICE) for part in random_photos(size, count).split(4)
    ]
    return torch.cat(parts).to(torch.float16).cpu()


@contextmanager
def feature_cache(size: Size, count: int) -> Iterator[CachedFeatures]:
    """Write the cached features of random photos to a temporary file, and open it."""
    import h5py

    from vprlib.io.files import write_h5

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.h5"
        frozen = frozen_batch(size, count).numpy()
        write_h5(path, {"activations": frozen})
        with h5py.File(path, "r") as file:
            sums = [feature_sum(x_CHW) for x_CHW in frozen]
            features = CachedFeatures(map(str, range(count)), range(count), sums, file["activations"], path)
        yield features


def step(size: Size) -> Iterator[Row]:
    """Measure a training step of one SARE tuple on cached features.

    The limit is the matrix products of block conv5: per photo three forward, three for the gradients of the weights,
    and two for those of the inputs, since nothing below the cut is trained.
    """
    from vprlib.models.network import frozen_features
    from vprlib.training.objective import Objective, TrainingTuple

    network, images = shared_network(size), 2 + SARE.negatives_per_query
    objective, tuples = Objective(network, None, SARE), [TrainingTuple(0, 1, list(range(2, images)), [])]
    features_BCHW = frozen_batch(size, images)
    channels, positions = network.backbone.channels, features_BCHW[0, 0].numel()
    weight = torch.randn(channels, 9 * channels, device=DEVICE)
    columns = torch.randn(9 * channels, positions, device=DEVICE)
    gradient = torch.randn(channels, positions, device=DEVICE)

    @torch.inference_mode()
    def products() -> None:
        for _ in range(images):
            for _ in range(3):
                torch.mm(weight, columns)
                torch.mm(gradient, columns.T)
            for _ in range(2):
                torch.mm(weight.T, gradient)

    def train() -> None:
        network.zero_grad()
        objective(frozen_features(network.backbone, features_BCHW, network.image, DEVICE), tuples).loss.backward()

    limit, taken = alternate(products, train, rounds={"toy": 1, "normal": 3, "full": 5}[size])
    yield duration_row("training step, cached", f"SARE, {images} photos, {network_text(size)}", taken, limit, 1.3)


def describing(size: Size) -> Iterator[Row]:
    """Measure how many photos per second mining describes from cached features.

    The rate next to it is that of the whole network on photos that are decoded already. Here more is better: a cached
    photo should take a fifteenth of the time.
    """
    from vprlib.retrieval.extract import extract_descriptors

    network, batch = shared_network(size), 8
    photos_BCHW = random_photos(size, batch)
    with feature_cache(size, batch) as features:
        describe = partial(extract_descriptors, network, features, range(batch), device=DEVICE, batch=batch)
        limit, float32, bfloat16 = alternate(
            partial(describe_photos, network, photos_BCHW),
            describe,
            partial(describe, bf16=True),
            rounds={"toy": 1, "normal": 3, "full": 5}[size],
        )
    for name, taken in (("mined photo, cached", float32), ("mined photo, cached, bf16", bfloat16)):
        yield rate_row(name, "limit: a whole pass of the network", batch, taken, limit, 15, unit="img/s")


@torch.inference_mode()
def describe_photos(network: DescriptorNetwork, photos_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the descriptors of decoded photos."""
    return network.describe(photos_BCHW, DEVICE)


def regions(size: Size) -> Iterator[Row]:
    """Measure the memory of region descriptors and of their gradients; the limit is inputs, outputs and gradients."""
    from vprlib.models.aggregators.netvlad import NetVLAD, region_descriptors

    photos, channels, height, width = (4, 128, 12, 16) if size == "toy" else (12, 512, 30, 40)
    torch.manual_seed(0)
    layer = NetVLAD(channels).to(DEVICE)
    x_BCHW = torch.randn(photos, channels, height, width, device=DEVICE).relu().requires_grad_()
    gradient = torch.randn(photos, 9, layer.dim, device=DEVICE)
    region_descriptors(layer, x_BCHW[:1]).sum().backward()
    least = 2 * (x_BCHW.nbytes + gradient.nbytes) / 1e9
    if DEVICE.type == "cpu":
        with PeakMemory() as peak:
            region_descriptors(layer, x_BCHW).backward(gradient)
        gb = peak.gb
    else:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        region_descriptors(layer, x_BCHW).backward(gradient)
        gb = (torch.cuda.max_memory_allocated() - before) / 1e9
    text = f"{photos} photos; limit: inputs and outputs"
    yield Row("regions, memory", text, gb, "GB", least, target="<= 0.3 GB", ok=gb <= 0.3)


def sfrs(size: Size) -> Iterator[Row]:
    """Measure an SFRS step with photometric jitter: the photos that pass the trunk, and the time.

    The limits are the 22 photos of the tuple (1 query, 1 positive, 10 negatives, 10 difficult positives), and the time
    of a bare pass of the backbone over them.
    """
    measured = sfrs_step(size)
    text = f"1+1+10+10 photos, {network_text(size)}"
    yield Row("SFRS step, trunk passes", text, measured.passes, "photos", 22, target="<= 22", ok=measured.passes <= 22)
    yield duration_row("SFRS step, jitter", "limit: a forward pass", measured.step, measured.limit)


class SfrsStep(NamedTuple):
    """The measurement of an SFRS step."""

    step: Durations
    limit: Durations  # of a forward pass of the backbone over the same photos
    passes: int  # photos that passed the trunk of the student or the teacher


@cache
def sfrs_step(size: Size) -> SfrsStep:
    """Measure one training step of one tuple with jitter and soft labels."""
    from vprlib.images.augment import jitter_colours, normalize_photos
    from vprlib.models.network import frozen_features
    from vprlib.training.objective import Objective, TrainingTuple

    student, teacher = shared_network(size), build(size).requires_grad_(False)
    teacher.load_state_dict(student.state_dict())
    objective = Objective(student, teacher, SFRS)
    tuples = [TrainingTuple(0, 1, list(range(2, 12)), list(range(12, 22)))]
    photos_BCHW = random_photos(size, 22)
    parts = normalize_photos(photos_BCHW, student.image, DEVICE).split(8)
    passes = []

    @torch.inference_mode()
    def forward() -> None:
        for part in parts:
            student.backbone(part)

    def train() -> None:
        jittered = jitter_colours(photos_BCHW, SFRS.jitter, [(0, n) for n in range(len(photos_BCHW))], DEVICE)
        with torch.no_grad():
            trunk_BCHW = torch.cat(
                [frozen_features(student.backbone, part, student.image, DEVICE) for part in jittered.split(8)]
            )
        student.zero_grad()
        objective(trunk_BCHW, tuples).loss.backward()

    hooks = [
        network.backbone.layers["0"].register_forward_hook(lambda layer, x, y: passes.append(len(y)))
        for network in (student, teacher)
    ]
    train()
    for hook in hooks:
        hook.remove()
    limit, taken = alternate(forward, train, rounds=1)
    return SfrsStep(taken, limit, sum(passes))


def neighbourhoods(size: Size) -> Iterator[Row]:
    """Measure one k-reciprocal refresh at the size of Pitts30k's training set, next to its matrix product."""
    measured = jaccard(size, 512)
    text = f"{measured.images} photos, {measured.rows} queries, D=512"
    yield duration_row("k-reciprocal Jaccard", text, measured.refresh, measured.product)
    dense = 4 * measured.images**2 / 1e9
    text = "limit: all pairs in float32"
    yield Row("k-reciprocal, memory", text, measured.gb, "GB", dense, target="< 1.2 GB", ok=measured.gb < 1.2)


class JaccardRefresh(NamedTuple):
    """The measurement of one refresh of k-reciprocal Jaccard distances."""

    refresh: Durations
    product: Durations  # of all images with all
    gb: float
    images: int
    rows: int  # queries whose distances were computed


@cache
def jaccard(size: Size, width: int) -> JaccardRefresh:
    """Measure one refresh of k-reciprocal Jaccard distances with descriptors of `width` dimensions."""
    from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard

    places, queries, images, rows = (20, 100, 300, 50) if size == "toy" else (500, QUERIES, QUERIES + DATABASE, 1000)
    generator, soft = np.random.default_rng(0), SoftLabelsConfig()
    place_ND = random_unit_rows(generator, places, width)
    x_MD = place_ND[generator.integers(places, size=images)] + 0.5 * random_unit_rows(generator, images, width)
    x_MD /= np.linalg.norm(x_MD, axis=1, keepdims=True)
    refresh = partial(
        k_reciprocal_jaccard,
        x_MD[:queries],
        x_MD[queries:],
        soft.k1,
        soft.k2,
        soft.euclidean_weight,
        rows=np.arange(rows),
        device=DEVICE,
    )
    with PeakMemory() as peak:
        distances = refresh()
    on_device = torch.from_numpy(x_MD).to(DEVICE)

    def product() -> None:
        for part in on_device.split(1024):
            torch.mm(part, on_device.T)

    limit, taken = alternate(product, refresh, rounds=1)
    return JaccardRefresh(taken, limit, peak.gb, images, len(distances))


def projection(size: Size) -> Iterator[Row]:
    """Project the duration of a published SFRS run on Pitts30k, 16 epochs of 8 refreshes, from measured parts.

    No such run was made. Reading and decoding photos is not counted; loader processes do it at the same time. The
    limits are projected in the same way from the limits of the parts: passes of the bare layers and matrix products.
    """
    from vprlib.images.augment import normalize_photos
    from vprlib.models.network import frozen_features
    from vprlib.retrieval.extract import extract_descriptors

    network, count = shared_network(size), 8
    backbone, photos_BCHW = network.backbone, random_photos(size, count)
    ready_BCHW = normalize_photos(photos_BCHW, network.image, DEVICE)
    trunk_BCHW = frozen_features(backbone, frozen_batch(size, count), network.image, DEVICE)
    with feature_cache(size, count) as features:
        bare_trunk, trunk, bare_head, cached = alternate(
            torch.inference_mode()(lambda: backbone.trunk(ready_BCHW)),
            torch.inference_mode()(lambda: frozen_features(backbone, photos_BCHW, network.image, DEVICE).half().cpu()),
            torch.inference_mode()(lambda: backbone.head(trunk_BCHW)),
            partial(extract_descriptors, network, features, range(count), device=DEVICE, batch=count),
            rounds=1 if size == "toy" else 2,
        )
    narrow, wide = jaccard(size, 512), jaccard(size, 2048)
    training_step = sfrs_step(size)
    images = QUERIES + DATABASE
    described = EPOCHS * REFRESHES * images + (EPOCHS + GENERATIONS) * VAL
    refreshes, steps = (EPOCHS - 1) * REFRESHES, EPOCHS * QUERIES
    seconds = {
        "trunk cached once": ((images + VAL) / count * trunk.wall, (images + VAL) / count * bare_trunk.wall),
        "mining, validation": (described / count * cached.wall, described / count * bare_head.wall),
        "neighbourhoods": (
            refreshes * extrapolate(narrow.refresh.wall, wide.refresh.wall),
            refreshes * extrapolate(narrow.product.wall, wide.product.wall),
        ),
        "steps, with jitter": (steps * training_step.step.wall, steps * training_step.limit.wall),
    }
    seconds["whole run"] = (sum(taken for taken, _ in seconds.values()), sum(limit for _, limit in seconds.values()))
    for name, (taken, limit) in seconds.items():
        text = f"projected, {DEVICE.type}, float32"
        yield Row(f"SFRS, {name}", text, taken / 3600, "h", limit / 3600, taken / limit)


def extrapolate(narrow: float, wide: float) -> float:
    """Return the duration at 32,768 dimensions from those at 512 and 2048; it is linear in the dimension.

    It is not below the duration at 512 dimensions, even if a busy machine makes that one the longer of the two.
    """
    return max(narrow, narrow + (wide - narrow) * (32_768 - 512) / (2048 - 512))
