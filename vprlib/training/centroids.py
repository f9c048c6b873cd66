"""Compute the k-means centroids (visual words) of local features from which NetVLAD starts.

Axes: M local features, C channels, B images, H x W or P positions.
"""

import json
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vprlib.config import BackboneConfig, CentroidsConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.images.loader import PhotoDataset, batched, load_batches
from vprlib.io.files import write_h5
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.backbones.base import Backbone
from vprlib.models.checkpoint import load_weights
from vprlib.models.feature_cache import SPLITS, CachedFeatures, open_inputs
from vprlib.models.network import build_backbone, local_features


def kmeans(x_MC: NDArray, clusters: int, *, iterations: int, seed: int) -> NDArray[np.float32]:
    """Compute (clusters, C) float32 centres by Lloyd's iterations on all points.

    faiss' default would silently sample 256 points per cluster.

    Raises:
        InputError: if there are fewer points than clusters.
    """
    import faiss

    if len(x_MC) < clusters:
        raise InputError(
            f"k-means: {len(x_MC)} local features are too few for {clusters} clusters; raise centroids.images or "
            f"centroids.per_image"
        )
    solver = faiss.Kmeans(
        x_MC.shape[1],
        clusters,
        niter=iterations,
        seed=seed,
        max_points_per_centroid=len(x_MC),
        min_points_per_centroid=1,
    )
    solver.train(np.ascontiguousarray(x_MC, np.float32))
    return np.array(solver.centroids)


@torch.inference_mode()
def sample_local_features(
    network: Backbone,
    photos: PhotoDataset | CachedFeatures,
    numbers: Sequence[int] | NDArray[np.int64],
    image: ImageConfig,
    *,
    per_image: int,
    rng: np.random.Generator,
    device: torch.device,
    batch: int,
    workers: int,
) -> NDArray[np.float32]:
    """Sample unit-length local features at random positions, without replacement.

    Args:
        network: the backbone.
        photos: photos or cached features, indexed by row number.
        numbers: row numbers of the photos sampled.
        image: config section of the input size.
        per_image: positions per photo; all of them if a photo has fewer.
        rng: source of randomness.
        device: where the backbone runs.
        batch: photos per forward pass.
        workers: processes that decode photos.

    Returns:
        (M, C) float32, in the order of the photos.
    """
    network.to(device).to(memory_format=torch.channels_last)
    samples = []
    for batch_BCHW in load_batches(photos, batched(numbers, batch), workers=workers, desc="features"):
        x_BCHW = local_features(network, batch_BCHW, image, device)
        for x_CP in F.normalize(x_BCHW, dim=1).flatten(2).float().cpu():
            positions = rng.choice(x_CP.shape[1], min(per_image, x_CP.shape[1]), replace=False)
            samples.append(x_CP[:, torch.from_numpy(positions)].T.numpy())
    return np.concatenate(samples)


def compute_centroids(
    out: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    weights: str | os.PathLike[str],
    features: str | os.PathLike[str] | None,
    image: ImageConfig,
    backbone: BackboneConfig,
    clusters: int,
    settings: CentroidsConfig,
    seed: int,
    device: torch.device,
    batch: int,
    workers: int,
) -> None:
    """Write `centroids` (clusters, C) and the sampled `descriptors` (M, C), in the layout of the published files.

    The photos are drawn from the image table in its order, so a seed draws the same photos on every machine. OpenIBL
    draws from the list of a set, whose order changes from process to process.

    Args:
        out: the HDF5 file to write.
        table: the image table of the training set.
        weights: the backbone's weights.
        features: the cached features, if there are any.
        image: config section of the input size.
        backbone: config section of the backbone.
        clusters: number of centroids.
        settings: config section of the sample and the k-means.
        seed: seed of the sample and the k-means.
        device: where the backbone runs.
        batch: photos per forward pass.
        workers: processes that decode photos.

    Raises:
        InputError: if the training set has no image of the split and roles, or there are fewer local features than
            clusters.
    """
    rng = np.random.default_rng(seed)
    pool = np.flatnonzero((table.split == settings.split) & table.role.isin(settings.roles))
    if not len(pool):
        raise InputError(f"centroids: the training set has no {settings.split} {' or '.join(settings.roles)} images")
    network = build_backbone(backbone, image)
    load_weights(network, weights)
    photos = open_inputs(table, image, features if settings.split in SPLITS else None)
    rows = np.sort(rng.choice(pool, min(settings.images, len(pool)), replace=False))
    descriptors = sample_local_features(
        network, photos, rows, image, per_image=settings.per_image, rng=rng, device=device, batch=batch, workers=workers
    )
    centres = kmeans(descriptors, clusters, iterations=settings.iterations, seed=seed)
    recipe = {"centroids": settings.without_defaults()}
    made = {"recipe": json.dumps(recipe, sort_keys=True), "weights": sha256_of_file(weights)} | code_version()
    write_h5(out, {"centroids": centres, "descriptors": descriptors}, made)
