"""The benchmarks: functions of no argument but `full`, yielding Rows. Inputs are seeded, so they are always the same.

Axes: B images, C channels, P positions, K clusters or candidates, Q queries, N database rows, D dimensions.
"""

import tempfile
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import report, scale, training
from benchmarks.measure import DEVICE, PeakMemory, Row, lasts, race, unit_rows, yields
from vprlib.config import AggregatorConfig, BackboneConfig, ExecutionConfig, ImageConfig, TrainConfig

CPU = torch.device("cpu")


def write_photos(folder, count: int, height: int, width: int) -> list:
    """JPEG files with detail at all scales, so that they are as large, and as slow to decode, as photos."""
    from torchvision.io import write_jpeg

    random = torch.Generator().manual_seed(0)
    paths = [Path(folder) / f"{number}.jpg" for number in range(count)]
    for path in paths:
        octaves = [torch.randn(1, 3, height >> n or 1, width >> n or 1, generator=random) for n in range(7)]
        grown = [F.interpolate(x, (height, width), mode="bilinear") * 1.7**n for n, x in enumerate(octaves)]
        write_jpeg((128 + 6 * sum(grown)[0]).clamp(0, 255).byte(), str(path), quality=90)
    return paths


def machine(full: bool):
    """The limits themselves: products in the shapes that are used below, copying, decoding."""
    from vprlib.images.decode import decode_photo
    from vprlib.images.framing import fit_to_size

    random = torch.Generator().manual_seed(0)
    shapes = {"conv5": (512, 4608, 1200), "search": (1024, 256, 8192), "whitening": (3000, 9830, 3000)}
    for name, (m, k, n) in shapes.items():
        a, b, out = (torch.randn(*shape, generator=random) for shape in ((m, k), (k, n), (m, n)))
        flops, size = 2 * m * n * k / 1e9, f"{name}: {m}x{k} x {k}x{n}"
        [taken] = race(partial(torch.mm, a.to(DEVICE), b.to(DEVICE), out=out.to(DEVICE)), rounds=5)
        yield Row(f"sgemm, torch {DEVICE.type}", size, flops / taken.wall, "GFLOP/s")
        [taken] = race(partial(np.matmul, a.numpy(), b.numpy(), out=out.numpy()), rounds=5, device=CPU)
        yield Row("sgemm, numpy", size, flops / taken.wall, "GFLOP/s")
    source = torch.ones(64 << 20, device=DEVICE)
    target = torch.empty_like(source)
    [taken] = race(lambda: target.copy_(source), rounds=9)
    yield Row(f"memory copy, {DEVICE.type}", "256 MB, read and written", 2 * source.nbytes / taken.wall / 1e9, "GB/s")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(folder, 32, 480, 640)
        size = f"480x640, {np.mean([path.stat().st_size for path in paths]) / 1e3:.0f} kB, one process"
        [taken] = race(
            lambda: [fit_to_size(decode_photo(path), (480, 640), "fixed") for path in paths], rounds=7, device=CPU
        )
        yield Row("decode", size, len(paths) / taken.wall, "JPEG/s")


def netvlad(full: bool):
    """Against the bare products on operands as they lie in memory: two forward, four more backward."""
    from vprlib.models.aggregators.netvlad import NetVLAD

    torch.manual_seed(0)
    batch, channels, height, width, clusters = 4, 512, 30, 40, 64
    layer = NetVLAD(channels, clusters).to(DEVICE)
    x_BCHW = torch.randn(batch, channels, height, width).relu().to(DEVICE, memory_format=torch.channels_last)
    x_BPC = x_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
    w_BKC = layer.assignment.detach().expand(batch, -1, -1)
    a_BKP = torch.rand(batch, clusters, height * width, device=DEVICE)
    g_BKC = torch.rand(batch, clusters, channels, device=DEVICE)
    loss_grad = torch.randn(batch, clusters * channels, device=DEVICE)
    input_BCHW = x_BCHW.clone().requires_grad_()

    @torch.inference_mode()
    def forward_products():
        torch.bmm(w_BKC, x_BPC.mT)
        torch.bmm(a_BKP, x_BPC)

    @torch.inference_mode()
    def backward_products():
        torch.bmm(g_BKC, x_BPC.mT)  # of the second product: for a,
        torch.bmm(a_BKP.mT, g_BKC)  # for x
        torch.bmm(a_BKP, x_BPC)  # of the first: for w,
        torch.bmm(a_BKP.mT, w_BKC)  # for x

    @torch.inference_mode()
    def forward():
        layer(x_BCHW)

    def step():
        layer.zero_grad()
        input_BCHW.grad = None
        layer(input_BCHW).backward(loss_grad)

    products, more, once, whole = race(forward_products, backward_products, forward, step, rounds=41)
    size = f"B={batch} C={channels} {height}x{width} K={clusters}"
    yield lasts("netvlad forward", size, once, products, scale=1e3, unit="ms")
    yield lasts("netvlad forward+backward", size, whole, products + more, 4, scale=1e3, unit="ms")


def extract_small(full: bool):
    """A network so small that all which is not convolution shows."""
    yield from extraction(ImageConfig(height=72, width=96), width=0.25, batch=32, photos=256, rounds=7)


def extract(full: bool):
    """The published network and size. Freed memory is kept from here on, as in the workflow's jobs."""
    batch = ExecutionConfig().batch
    photos, rounds = (32 * batch, 5) if DEVICE.type == "cuda" else (batch, 4 if full else 2)
    yield from extraction(ImageConfig(), width=1, batch=batch, photos=photos, rounds=rounds)


def extraction(image: ImageConfig, *, width: float, batch: int, photos: int, rounds: int):
    """`describe` on JPEG files against the bare backbone on a ready tensor."""
    from vprlib.compute.device import keep_freed_memory
    from vprlib.images.augment import normalize_photos
    from vprlib.images.loader import PhotoDataset
    from vprlib.models.network import build_network
    from vprlib.retrieval.extract import extract_descriptors

    if DEVICE.type == "cpu":
        keep_freed_memory()
    workers = torch.get_num_threads() if DEVICE.type == "cuda" else 0
    torch.manual_seed(0)
    model = build_network(image, BackboneConfig(options={"width": width}), AggregatorConfig()).to(DEVICE)
    ready = normalize_photos(
        torch.randint(256, (batch, 3, image.height, image.width), dtype=torch.uint8), image, DEVICE
    )

    @torch.inference_mode()
    def bare():
        for _ in range(photos // batch):
            model.backbone(ready)

    with tempfile.TemporaryDirectory() as folder:
        source = PhotoDataset(write_photos(folder, photos, image.height, image.width), image.height, image.width)
        options = {"device": DEVICE, "batch": batch, "workers": workers}
        limit, taken = race(bare, lambda: extract_descriptors(model, source, range(photos), **options), rounds=rounds)
    network = "vgg16" if width == 1 else f"vgg16 x {width:g}"
    size = f"{network}, {image.height}x{image.width}, B={batch}, {photos} photos"
    yield yields("extract", size, photos, taken, limit, 0.9, unit="images/s")


def indexing(full: bool):
    """The image table of Pitts250k, from structs of its size, against scipy's reading of them alone."""
    from dataclasses import replace

    from scipy.io import loadmat, savemat

    from vprlib.data.datasets.pittsburgh import PITTS250K
    from vprlib.io.files import write_csv

    rng, number = np.random.default_rng(0), iter(range(10**9))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in PITTS250K.files]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            struct = {"whichSet": path.stem.rpartition("_")[2]}
            for role, (names, where) in {"database": ("dbImageFns", "utmDb"), "query": ("qImageFns", "utmQ")}.items():
                count = PITTS250K.counts[struct["whichSet"], role]
                places = [
                    f"{n // 24000:03}/{n // 24:06}_pitch{n % 2 + 1}_yaw{n // 2 % 12 + 1}.jpg"
                    for n in islice(number, count)
                ]
                struct[names] = np.array(places, object)[:, None]
                struct[where] = rng.uniform((580_000, 4_470_000), (600_000, 4_480_000), (count, 2)).T
            savemat(path, {"dbStruct": struct}, do_compression=True)
        dataset, found = replace(PITTS250K, root=Path(folder)), {}
        with PeakMemory() as peak:
            taken = scale.once(lambda: found.update(it=dataset.table()))
            written = scale.once(lambda: write_csv(Path(folder) / "images.csv", found["it"]))
        limit = scale.once(lambda: [loadmat(path, simplify_cells=True) for path in paths])
    size = f"Pitts250k, {len(found['it'])} photos, with images.csv; limit: loadmat"
    row = lasts("index", size, taken + written, limit)
    row.target, row.ok = "<= 10 s", taken.wall + written.wall <= 10
    yield row
    yield Row("index memory", size, peak.gb, "GB", target="<= 1 GB", ok=peak.gb <= 1)


def search(full: bool):
    """The size of Pitts250k's test set."""
    yield from scale.searching(8280, 4096 if full else 256, rounds=2 if full else 5)


def mining(full: bool):
    """One refresh: as many queries as are mined at once, pool and negatives by default."""
    from vprlib.training.miners.hardest import select_tuples

    rng = np.random.default_rng(0)
    settings, count, width = TrainConfig(), 10_000, 4096
    queries = settings.queries_per_refresh
    query_QD, database_ND = unit_rows(rng, queries, width), unit_rows(rng, count, width)
    excluded = [np.sort(rng.choice(count, 120, replace=False)) for _ in range(queries)]
    positives = [near[::3] for near in excluded]
    cache = rng.integers(0, count, (queries, settings.negatives))

    def select():
        options = {"negatives": settings.negatives, "pool": settings.negative_pool, "cache": cache}
        select_tuples(query_QD, database_ND, positives, excluded, generator=np.random.default_rng(0), **options)

    limit, taken = race(lambda: query_QD @ database_ND.T, select, rounds=5, device=CPU)
    row = lasts("mining", f"{queries} x {count}, D={width}", taken, limit)
    row.target, row.ok = "+ <= 1 s", taken.wall - limit.wall <= 1
    yield row


def whiten(full: bool):
    """Against the Gram matrix and its eigenvectors alone."""
    from scipy.linalg import eigh

    from vprlib.models.whitening import fit

    rng = np.random.default_rng(0)
    count, width, dim = (10_000, 32_768, 4096) if full else (3000, 9830, 1228)
    x_ND = rng.standard_normal((count, width), np.float32)
    x_ND *= np.arange(1, width + 1, dtype=np.float32) ** -0.5
    x_ND /= np.linalg.norm(x_ND, axis=1, keepdims=True)
    fitted = {}

    def bare():
        eigh((x_ND @ x_ND.T).astype(np.float64), subset_by_index=[count - dim, count - 1], overwrite_a=True)

    with PeakMemory() as peak:
        once = scale.once(lambda: fitted.update(it=fit(x_ND, dim)))
    size = f"{count} x {width} -> {dim}"
    if full:
        yield Row("whitening", size, once.wall, "s")
    else:
        limit, taken = race(bare, lambda: fit(x_ND, dim), rounds=2, device=CPU)
        yield lasts("whitening", size, taken, limit, 1.3)
    held = peak.gb + x_ND.nbytes / 1e9
    yield Row(
        "whitening memory",
        "with the descriptors, the limit",
        held,
        "GB",
        x_ND.nbytes / 1e9,
        target="<= 6 GB",
        ok=held <= 6,
    )
    covariance = np.cov(fitted["it"].project(x_ND).astype(np.float64), rowvar=False)
    error = float(np.abs(covariance - np.eye(dim)).max())
    eps = float(np.finfo(np.float32).eps)
    yield Row("whitening error", "max |covariance - 1|; limit: eps", error, "", eps, target="<= 1e-5", ok=error <= 1e-5)


RUNS = (
    machine,
    indexing,
    netvlad,
    training.regions,
    search,
    mining,
    training.neighbourhoods,
    whiten,
    extract_small,
    extract,
)
RUNS += (training.step, training.describing, training.sfrs, training.projection, scale.scale, report.report)
SUITE = {run.__name__: run for run in RUNS}
