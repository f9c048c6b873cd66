"""Benchmarks of training: the step, mined photos, regions, neighbourhoods, and what a whole run adds up to.

Axes as in `suite`.
"""

from functools import cache, partial

import numpy as np
import torch

from benchmarks.measure import DEVICE, PeakMemory, Row, lasts, race, unit_rows
from vprlib.config import (
    AggregatorConfig,
    BackboneConfig,
    ExecutionConfig,
    ImageConfig,
    JitterConfig,
    SoftLabelsConfig,
    TrainConfig,
)

SARE = TrainConfig(loss="sare_ind", temperature=0.07)
PUBLISHED = JitterConfig(brightness=0.7, contrast=0.7, saturation=0.7, hue=0.5)
PITTS30K = {"queries": 7320, "database": 10_000, "refreshes": 8, "val": 17_608}


@cache
def network():
    """The published network, and one image's activations at its cut."""
    from vprlib.compute.device import keep_freed_memory
    from vprlib.models.network import build_network

    if DEVICE.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(0)
    model = build_network(ImageConfig(), BackboneConfig(), AggregatorConfig()).to(DEVICE)
    for layer in model.backbone.layers.values():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    torch.nn.init.normal_(model.aggregator.assignment)
    return model


def photos(count: int):
    return torch.randint(256, (count, 3, 480, 640), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def cached(count: int):
    """Activations as the trunk's cache holds them."""
    from vprlib.models.network import frozen_features

    model = network()
    parts = [frozen_features(model.backbone, part, model.image, DEVICE) for part in photos(count).split(4)]
    return torch.cat(parts).to(torch.float16).cpu()


def step(full: bool):
    """One SARE tuple from cached activations, against the matrix products that conv5 is: 3 + 3 + 2 a photo."""
    from vprlib.models.network import frozen_features
    from vprlib.training.objective import Objective, TrainingTuple

    model, images = network(), 2 + SARE.negatives
    objective, own = Objective(model, None, SARE), [TrainingTuple(0, 1, list(range(2, images)), [])]
    stored = cached(images)
    w, x, g = (torch.randn(*shape, device=DEVICE) for shape in ((512, 4608), (4608, 1200), (512, 1200)))

    @torch.inference_mode()
    def products():
        for _ in range(images):
            for _ in range(3):
                torch.mm(w, x)
                torch.mm(g, x.T)
            for _ in range(2):  # nothing is below the cut
                torch.mm(w.T, g)

    def train():
        model.zero_grad()
        objective(frozen_features(model.backbone, stored, model.image, DEVICE), own).loss.backward()

    limit, taken = race(products, train, rounds=5 if full else 3)
    yield lasts("training step, cached", f"SARE, {images} photos, 480x640, vgg16", taken, limit, 1.3)


class Stored:
    """Activations in memory, read as `CachedFeatures` are."""

    def __init__(self, stored):
        self.stored, self.paths = stored, ["stored"] * len(stored)

    def __getitem__(self, row):
        return self.stored[row]


def describing(full: bool):
    """A photo that is mined, from its cached activations, against a whole pass of the network; more is better."""
    from vprlib.retrieval.extract import extract_descriptors

    model, batch = network(), 8
    whole, stored = Stored(photos(batch)), Stored(cached(batch))
    options = {"device": DEVICE, "batch": batch}

    limit, taken, halved = race(
        lambda: extract_descriptors(model, whole, range(batch), **options),
        lambda: extract_descriptors(model, stored, range(batch), **options),
        lambda: extract_descriptors(model, stored, range(batch), bf16=True, **options),
        rounds=5 if full else 3,
    )
    for name, times in (("mined photo, cached", taken), ("mined photo, cached, bf16", halved)):
        wall, cpu = limit.over(times)
        row = Row(name, "times faster than a whole pass", batch / times.wall, "img/s", batch / limit.wall, wall, cpu)
        row.target, row.ok = ">= 15 x", wall >= 15
        yield row


def regions(full: bool):
    """The memory of region descriptors and their gradients."""
    from vprlib.models.aggregators.netvlad import NetVLAD, region_descriptors

    torch.manual_seed(0)
    layer = NetVLAD(512).to(DEVICE)
    x_BCHW = torch.randn(12, 512, 30, 40, device=DEVICE).relu().requires_grad_()
    gradient = torch.randn(12, 9, layer.dim, device=DEVICE)
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
    name, size = "regions, memory", "12 photos, forward+backward"
    yield Row(name, size, gb, "GB", least, target="<= 0.3 GB", ok=gb <= 0.3)


def sfrs(full: bool):
    """An SFRS step with jitter: what passes the trunk, of 1 + 1 + 10 + 10 photos and a teacher; and its time."""
    seconds, passed = sfrs_step()
    size = "1+1+10+10 photos, 480x640, vgg16"
    yield Row("SFRS step, trunk passes", size, passed, "photos", 22, target="<= 22", ok=passed <= 22)
    yield Row("SFRS step, jitter", size, seconds, "s")


@cache
def sfrs_step() -> tuple:
    """(seconds, photos that passed a trunk) of one tuple with jitter and soft labels."""
    from vprlib.images.augment import jitter_colours
    from vprlib.models.network import build_network, frozen_features
    from vprlib.training.objective import Objective, TrainingTuple

    settings = SARE.model_copy(update={"regions": True, "soft": SoftLabelsConfig(weight=0.5), "jitter": PUBLISHED})
    model = network()
    teacher = build_network(ImageConfig(), BackboneConfig(), AggregatorConfig()).to(DEVICE).requires_grad_(False)
    teacher.load_state_dict(model.state_dict())
    objective = Objective(model, teacher, settings)
    own = [TrainingTuple(0, 1, list(range(2, 12)), list(range(12, 22)))]
    passed, batch_BCHW = [], photos(22)

    def once():
        changed = jitter_colours(batch_BCHW, settings.jitter, [(0, n) for n in range(22)], DEVICE)
        with torch.no_grad():
            below = torch.cat([frozen_features(model.backbone, part, model.image, DEVICE) for part in changed.split(8)])
        model.zero_grad()
        objective(below, own).loss.backward()

    hooks = [
        one.backbone.layers["0"].register_forward_hook(lambda layer, x, y: passed.append(len(y)))
        for one in (model, teacher)
    ]
    once()
    for hook in hooks:
        hook.remove()
    [taken] = race(once, rounds=1)
    return taken.wall, sum(passed)


def neighbourhoods(full: bool):
    """One k-reciprocal refresh at the size of Pitts30k's training set, at D=512, beside its product."""
    limit, taken, gb = jaccard(512)
    size = f"{PITTS30K['queries'] + PITTS30K['database']} photos, 1000 queries, D=512"
    yield lasts("k-reciprocal Jaccard", size, taken, limit)
    yield Row(
        "k-reciprocal, memory", "limit: (N, N) float32", gb, "GB", 4 * 17_320**2 / 1e9, target="< 1.2 GB", ok=gb < 1.2
    )


@cache
def jaccard(width: int) -> tuple:
    """(product, k-reciprocal refresh, GB): times and peak memory at so many dimensions."""
    from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard

    rng, soft = np.random.default_rng(0), SoftLabelsConfig()
    places = unit_rows(rng, 500, width)
    x = places[rng.integers(500, size=17_320)] + 0.5 * unit_rows(rng, 17_320, width)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    query, database = x[:7320], x[7320:]
    options = {"rows": np.arange(1000), "device": DEVICE}
    find = partial(k_reciprocal_jaccard, query, database, soft.k1, soft.k2, soft.euclid, **options)
    with PeakMemory() as peak:
        find()
    on = torch.from_numpy(x).to(DEVICE)

    def product():
        for part in on.split(1024):
            torch.mm(part, on.T)

    limit, taken = race(product, find, rounds=1)
    return limit, taken, peak.gb


def projection(full: bool):
    """A published SFRS run on Pitts30k, 16 epochs of 8 refreshes, from measured parts; no such run was made.

    Reading and decoding photos, which loader processes do beside, is not counted.
    """
    from vprlib.retrieval.extract import extract_descriptors

    model, count = network(), 8
    options = {"device": DEVICE, "batch": ExecutionConfig().batch if DEVICE.type == "cuda" else count}
    stored, whole = Stored(cached(count)), Stored(photos(count))
    read, passed = race(
        lambda: extract_descriptors(model, stored, range(count), **options),
        lambda: extract_descriptors(model, whole, range(count), **options),
        rounds=2,
    )
    every, queries, epochs = PITTS30K["queries"] + PITTS30K["database"], PITTS30K["queries"], 16
    _, narrow, _ = jaccard(512)
    _, wider, _ = jaccard(2048)
    described = epochs * PITTS30K["refreshes"] * every + (epochs + 4) * PITTS30K["val"]
    wide = narrow.wall + (wider.wall - narrow.wall) * (32_768 - 512) / (2048 - 512)  # linear in D
    hours = {
        "trunk cached once": (every + PITTS30K["val"]) * passed.wall / count,
        "mining and validation": described * read.wall / count,
        "neighbourhoods": 15 * PITTS30K["refreshes"] * wide,
        "steps, with jitter": epochs * queries * sfrs_step()[0],
    }
    for name, seconds in hours.items():
        yield Row(f"SFRS, {name}", f"projected, {DEVICE.type}, fp32", seconds / 3600, "h")
    yield Row("SFRS, whole run", f"projected, {DEVICE.type}, fp32", sum(hours.values()) / 3600, "h")
