"""The registry of benchmarks: functions of a size that yield rows. Inputs are seeded, so they are always the same.

Axes: B images, C channels, H x W or P positions, K clusters, Q queries, N database rows, D dimensions.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import report, scale, training
from benchmarks.measure import (
    CPU,
    DEVICE,
    PeakMemory,
    Row,
    Size,
    alternate,
    duration_row,
    keep_freed_memory,
    random_unit_rows,
    rate_row,
    time_once,
)
from vprlib.config import AggregatorConfig, BackboneConfig, ExecutionConfig, ImageConfig, TrainConfig


def write_photos(folder: str | Path, count: int, height: int, width: int) -> list[Path]:
    """Write JPEG files with detail at all scales, which are as large, and as slow to decode, as photos."""
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    paths = [Path(folder) / f"{number}.jpg" for number in range(count)]
    for path in paths:
        octaves = [torch.randn(1, 3, height >> n or 1, width >> n or 1, generator=generator) for n in range(7)]
        scaled = [F.interpolate(x, (height, width), mode="bilinear") * 1.7**n for n, x in enumerate(octaves)]
        pixels_HWC = (128 + 6 * torch.stack(scaled).sum(0)[0]).clamp(0, 255).byte().permute(1, 2, 0)
        Image.fromarray(pixels_HWC.numpy()).save(path, quality=90)
    return paths


def machine(size: Size) -> Iterator[Row]:
    """Measure what other benchmarks take as limits: matrix products in the shapes used below, copying, decoding.

    Products are compared with those of numpy, copying with filling, and decoding with Pillow alone.
    """
    from PIL import Image

    from vprlib.images.decode import decode_photo
    from vprlib.images.framing import fit_to_size

    toy = size == "toy"
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv5": (512, 4608, 1200), "search": (1024, 256, 8192), "whitening": (3000, 9830, 3000)}
    for name, shape in shapes.items():
        m, k, n = (length // 8 for length in shape) if toy else shape
        a, b, out = (torch.randn(*ends, generator=generator) for ends in ((m, k), (k, n), (m, n)))
        gflop, text = 2 * m * n * k / 1e9, f"{name}: {m}x{k} x {k}x{n}; limit: numpy"
        multiply = partial(torch.mm, a.to(DEVICE), b.to(DEVICE), out=out.to(DEVICE))
        limit, taken = alternate(partial(np.matmul, a.numpy(), b.numpy(), out=out.numpy()), multiply, rounds=5)
        yield rate_row(f"sgemm, torch {DEVICE.type}", text, gflop, taken, limit, unit="GFLOP/s")
    source = torch.ones(1 << 20 if toy else 64 << 20, device=DEVICE)
    target = torch.empty_like(source)
    limit, taken = alternate(lambda: target.fill_(1), lambda: target.copy_(source), rounds=9)
    text = f"{source.nbytes / 1e6:.0f} MB; limit: filling"
    yield rate_row(f"memory copy, {DEVICE.type}", text, source.nbytes / 1e9, taken, limit, unit="GB/s")

    def decode_by_pillow() -> None:
        for path in paths:
            with Image.open(path) as photo:
                photo.load()

    with tempfile.TemporaryDirectory() as folder:
        height, width = (120, 160) if toy else (480, 640)
        paths = write_photos(folder, 4 if toy else 32, height, width)
        limit, taken = alternate(
            decode_by_pillow,
            lambda: [fit_to_size(decode_photo(path), (height, width), "fixed") for path in paths],
            rounds=3 if toy else 7,
            device=CPU,
        )
        kilobytes = np.mean([path.stat().st_size for path in paths]) / 1e3
    text = f"{height}x{width}, {kilobytes:.0f} kB; limit: Pillow alone"
    yield rate_row("decoding", text, len(paths), taken, limit, unit="JPEG/s")


def indexing(size: Size) -> Iterator[Row]:
    """Measure making the image table of Pitts250k from structs of its size; the limit is scipy's reading of them."""
    from scipy.io import loadmat, savemat

    from vprlib.data.datasets.pittsburgh import PITTS250K
    from vprlib.io.files import write_csv

    divisor = 50 if size == "toy" else 1
    counts = {key: count // divisor for key, count in PITTS250K.counts.items()}
    generator, numbers = np.random.default_rng(0), iter(range(10**9))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in PITTS250K.files]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            split = path.stem.rpartition("_")[2]
            struct: dict[str, object] = {"whichSet": split}
            for role, names, positions in (("database", "dbImageFns", "utmDb"), ("query", "qImageFns", "utmQ")):
                count = counts[split, role]
                images = [
                    f"{n // 24000:03}/{n // 24:06}_pitch{n % 2 + 1}_yaw{n // 2 % 12 + 1}.jpg"
                    for n in islice(numbers, count)
                ]
                struct[names] = np.array(images, object)[:, None]
                struct[positions] = generator.uniform((580_000, 4_470_000), (600_000, 4_480_000), (count, 2)).T
            savemat(path, {"dbStruct": struct}, do_compression=True)
        dataset, tables = replace(PITTS250K, root=Path(folder), counts=counts), []
        with PeakMemory() as peak:
            read = time_once(lambda: tables.append(dataset.table()))
            written = time_once(lambda: write_csv(Path(folder) / "images.csv", tables[0]))
        limit = time_once(lambda: [loadmat(path, simplify_cells=True) for path in paths])
        struct_gb = sum(path.stat().st_size for path in paths) / 1e9
    text = f"Pitts250k, {len(tables[0])} photos; limit: loadmat"
    taken = read.plus(written)
    row = duration_row("image table", text, taken, limit)
    row.target, row.ok = "<= 10 s", taken.wall <= 10
    yield row
    text = "limit: the files, compressed"
    yield Row("image table memory", text, peak.gb, "GB", struct_gb, target="<= 1 GB", ok=peak.gb <= 1)


def netvlad(size: Size) -> Iterator[Row]:
    """Measure NetVLAD; the limit is the bare products of its operands: two forward, four more backward."""
    from vprlib.models.aggregators.netvlad import NetVLAD

    toy = size == "toy"
    torch.manual_seed(0)
    batch, channels, height, width, clusters = (2, 64, 6, 8, 16) if toy else (4, 512, 30, 40, 64)
    layer = NetVLAD(channels, clusters).to(DEVICE)
    x_BCHW = torch.randn(batch, channels, height, width).relu().to(DEVICE, memory_format=torch.channels_last)
    x_BPC = x_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
    w_BKC = layer.assignment.detach().expand(batch, -1, -1)
    a_BKP = torch.rand(batch, clusters, height * width, device=DEVICE)
    g_BKC = torch.rand(batch, clusters, channels, device=DEVICE)
    loss_grad = torch.randn(batch, clusters * channels, device=DEVICE)
    input_BCHW = x_BCHW.clone().requires_grad_()

    @torch.inference_mode()
    def forward_products() -> None:
        torch.bmm(w_BKC, x_BPC.mT)
        torch.bmm(a_BKP, x_BPC)

    @torch.inference_mode()
    def backward_products() -> None:
        torch.bmm(g_BKC, x_BPC.mT)  # second product, gradient of the assignments
        torch.bmm(a_BKP.mT, g_BKC)  # second product, gradient of the features
        torch.bmm(a_BKP, x_BPC)  # first product, gradient of the weights
        torch.bmm(a_BKP.mT, w_BKC)  # first product, gradient of the features

    @torch.inference_mode()
    def forward() -> None:
        layer(x_BCHW)

    def step() -> None:
        layer.zero_grad()
        input_BCHW.grad = None
        layer(input_BCHW).backward(loss_grad)

    first, more, once, both = alternate(forward_products, backward_products, forward, step, rounds=5 if toy else 41)
    text = f"B={batch} C={channels} {height}x{width} K={clusters}"
    yield duration_row("netvlad forward", text, once, first, scale=1e3, unit="ms")
    yield duration_row("netvlad forward+backward", text, both, first.plus(more), 4, scale=1e3, unit="ms")


def extract_small(size: Size) -> Iterator[Row]:
    """Measure extraction with a network so small that everything but the convolutions shows."""
    keep_freed_memory(size)
    batch, photos, rounds = (4, 8, 1) if size == "toy" else (32, 256, 7)
    yield extraction_row(ImageConfig(height=72, width=96), width=0.25, batch=batch, photos=photos, rounds=rounds)


def extract(size: Size) -> Iterator[Row]:
    """Measure extraction with the network and the input size of the papers."""
    keep_freed_memory(size)
    if size == "toy":
        yield extraction_row(training.image_config(size), width=0.125, batch=4, photos=8, rounds=1)
        return
    batch = ExecutionConfig().inference_batch_size
    photos, rounds = (32 * batch, 5) if DEVICE.type == "cuda" else (batch, 4 if size == "full" else 2)
    yield extraction_row(ImageConfig(), width=1, batch=batch, photos=photos, rounds=rounds)


def extraction_row(image: ImageConfig, *, width: float, batch: int, photos: int, rounds: int) -> Row:
    """Measure the extraction of descriptors from JPEG files; the limit is the bare backbone on a ready tensor.

    Args:
        image: the input size.
        width: factor of VGG16's channels.
        batch: photos per forward pass.
        photos: number of files.
        rounds: repetitions.
    """
    from vprlib.images.augment import normalize_photos
    from vprlib.images.loader import PhotoDataset
    from vprlib.models.network import build_network
    from vprlib.retrieval.extract import extract_descriptors

    workers = torch.get_num_threads() if DEVICE.type == "cuda" else 0
    torch.manual_seed(0)
    backbone = BackboneConfig.model_validate({"options": {"width": width}})
    network = build_network(image, backbone, AggregatorConfig.model_validate({})).to(DEVICE)
    random_BCHW = torch.randint(256, (batch, 3, image.height, image.width), dtype=torch.uint8)
    ready_BCHW = normalize_photos(random_BCHW, image, DEVICE)

    @torch.inference_mode()
    def pass_backbone() -> None:
        for _ in range(photos // batch):
            network.backbone(ready_BCHW)

    with tempfile.TemporaryDirectory() as folder:
        source = PhotoDataset(write_photos(folder, photos, image.height, image.width), image.height, image.width)
        describe = partial(
            extract_descriptors, network, source, range(photos), device=DEVICE, batch=batch, workers=workers
        )
        limit, taken = alternate(pass_backbone, describe, rounds=rounds)
    name = "vgg16" if width == 1 else f"vgg16 x {width:g}"
    text = f"{name}, {image.height}x{image.width}, B={batch}, {photos} photos"
    return rate_row("extract", text, photos, taken, limit, 0.9, unit="images/s")


def search(size: Size) -> Iterator[Row]:
    """Measure exact search at the size of Pitts250k's test split."""
    queries, count = (100, 1000) if size == "toy" else scale.PITTS250K
    width, rounds = {"toy": (64, 1), "normal": (256, 5), "full": (4096, 2)}[size]
    yield from scale.search_rows(queries, count, width, rounds)


def mining(size: Size) -> Iterator[Row]:
    """Measure the selection of tuples in one refresh, with default settings; the limit is the matrix product."""
    from vprlib.training.miners.hardest import select_tuples

    generator = np.random.default_rng(0)
    settings = TrainConfig()
    queries, count, width, near = (
        (50, 500, 64, 20) if size == "toy" else (settings.cache_refresh_queries, 10_000, 4096, 120)
    )
    query_QD, database_ND = random_unit_rows(generator, queries, width), random_unit_rows(generator, count, width)
    excluded = [np.sort(generator.choice(count, near, replace=False)) for _ in range(queries)]
    positives = [rows[::3] for rows in excluded]
    previous = generator.integers(0, count, (queries, settings.negatives_per_query))

    def select() -> None:
        select_tuples(
            query_QD,
            database_ND,
            positives,
            excluded,
            negatives=settings.negatives_per_query,
            pool=settings.negative_pool_size,
            cache=previous,
            generator=np.random.default_rng(0),
        )

    limit, taken = alternate(lambda: query_QD @ database_ND.T, select, rounds=5, device=CPU)
    row = duration_row("mining", f"{queries} x {count}, D={width}", taken, limit)
    row.target, row.ok = "+ <= 1 s", taken.wall - limit.wall <= 1
    yield row


def whiten(size: Size) -> Iterator[Row]:
    """Measure fitting a PCA whitening; the limit is the Gram matrix and its eigenvectors alone.

    In the full size, the limit would take too long and is not measured.
    """
    from scipy.linalg import eigh

    from vprlib.models.whitening import Whitening, fit

    generator = np.random.default_rng(0)
    shapes = {"toy": (300, 1000, 100), "normal": (3000, 9830, 1228), "full": (10_000, 32_768, 4096)}
    count, width, dim = shapes[size]
    x_ND = generator.standard_normal((count, width), np.float32)
    x_ND *= np.arange(1, width + 1, dtype=np.float32) ** -0.5
    x_ND /= np.linalg.norm(x_ND, axis=1, keepdims=True)
    fitted: list[Whitening] = []

    def decompose() -> None:
        eigh((x_ND @ x_ND.T).astype(np.float64), subset_by_index=[count - dim, count - 1], overwrite_a=True)

    with PeakMemory() as peak:
        once = time_once(lambda: fitted.append(fit(x_ND, dim)))
    text = f"{count} x {width} -> {dim}"
    if size == "full":
        yield Row("whitening", text, once.wall, "s")
    else:
        limit, taken = alternate(decompose, lambda: fit(x_ND, dim), rounds=2, device=CPU)
        yield duration_row("whitening", text, taken, limit, 1.3)
    least = x_ND.nbytes / 1e9
    gb = peak.gb + least
    text = "descriptors included; limit: these alone"
    yield Row("whitening memory", text, gb, "GB", least, target="<= 6 GB", ok=gb <= 6)
    covariance = np.cov(fitted[0].project(x_ND).astype(np.float64), rowvar=False)
    error = float(np.abs(covariance - np.eye(dim)).max())
    eps = float(np.finfo(np.float32).eps)
    text = "max |covariance - 1|; limit: float32 eps"
    yield Row("whitening error", text, error, "", eps, target="<= 1e-5", ok=error <= 1e-5)


# name on the command line -> benchmark; `extract_small` and those after it keep freed memory
SUITE: dict[str, Callable[[Size], Iterator[Row]]] = {
    "machine": machine,
    "indexing": indexing,
    "netvlad": netvlad,
    "regions": training.regions,
    "search": search,
    "mining": mining,
    "neighbourhoods": training.neighbourhoods,
    "whiten": whiten,
    "extract_small": extract_small,
    "extract": extract,
    "step": training.step,
    "describing": training.describing,
    "sfrs": training.sfrs,
    "projection": training.projection,
    "scale": scale.scale,
    "report": report.report,
}
