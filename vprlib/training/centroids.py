"""Visual words: k-means centroids of local features, from which NetVLAD starts."""

import numpy as np
import torch
from torch.nn import functional as F

from vprlib.config import BackboneConfig, CentroidsConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.images.loader import batched, load_batches
from vprlib.io.files import write_h5
from vprlib.io.fingerprints import code_version
from vprlib.models.checkpoint import load_weights
from vprlib.models.feature_cache import SPLITS, open_inputs
from vprlib.models.network import build_backbone, local_features


def kmeans(x_MC, clusters: int, *, iterations: int, seed: int) -> np.ndarray:
    """(clusters, C) float32 centres by Lloyd's iterations on ALL points (faiss' default silently takes 256 a cluster).

    Raises:
        InputError: if there are fewer points than clusters.
    """
    import faiss

    if len(x_MC) < clusters:
        raise InputError(f"k-means: {len(x_MC)} local features are too few for {clusters} clusters")
    solver = faiss.Kmeans(
        x_MC.shape[1],
        clusters,
        niter=iterations,
        seed=seed,
        max_points_per_centroid=len(x_MC),
        min_points_per_centroid=1,
    )
    solver.train(np.ascontiguousarray(x_MC, np.float32))
    return solver.centroids.copy()


@torch.inference_mode()
def sample_local_features(
    network, photos, numbers, image: ImageConfig, *, per_image: int, rng, device, batch, workers
) -> np.ndarray:
    """(M, C) unit-length local features: `per_image` random positions, without replacement, of each photo."""
    network.to(device, memory_format=torch.channels_last)
    found = []
    for batch_BCHW in load_batches(photos, batched(numbers, batch), workers=workers, desc="features"):
        x_BCHW = local_features(network, batch_BCHW, image, device)
        for x_CP in F.normalize(x_BCHW, dim=1).flatten(2).float().cpu():
            chosen = rng.choice(x_CP.shape[1], min(per_image, x_CP.shape[1]), replace=False)
            found.append(x_CP[:, torch.from_numpy(chosen)].T.numpy())
    return np.concatenate(found)


def compute_centroids(
    out,
    *,
    table,
    weights,
    trunk,
    image: ImageConfig,
    backbone: BackboneConfig,
    clusters: int,
    settings: CentroidsConfig,
    seed,
    device,
    batch,
    workers,
):
    """Write `centroids` (clusters, C) and the sampled `descriptors` (M, C), the layout of the published files.

    The photos are drawn from the image table's order, so the same seed draws the same ones on every machine; OpenIBL
    drew from the list of a set, whose order changes from process to process.
    """
    rng = np.random.default_rng(seed)
    pool = np.flatnonzero((table.split == settings.split) & table.role.isin(settings.roles))
    if not len(pool):
        raise InputError(f"centroids: the training set has no {settings.split} {' or '.join(settings.roles)} images")
    network = build_backbone(backbone, image)
    load_weights(network, weights)
    photos = open_inputs(table, image, trunk if settings.split in SPLITS else None)
    some = np.sort(rng.choice(pool, min(settings.images, len(pool)), replace=False))
    options = {"per_image": settings.per_image, "rng": rng, "device": device, "batch": batch, "workers": workers}
    descriptors = sample_local_features(network, photos, some, image, **options)
    centres = kmeans(descriptors, clusters, iterations=settings.iterations, seed=seed)
    write_h5(out, {"centroids": centres, "descriptors": descriptors}, code_version())
