"""Fit a PCA whitening to the descriptors of the training set and bind it to its checkpoint."""

import json
import os

import numpy as np
import pandas as pd
import torch

from vprlib.config import WhitenConfig
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.feature_cache import open_inputs
from vprlib.models.whitening import fit
from vprlib.retrieval.extract import extract_descriptors


def fit_whitening(
    out: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    checkpoint: str | os.PathLike[str],
    features: str | os.PathLike[str] | None,
    settings: WhitenConfig,
    seed: int,
    device: torch.device,
    batch: int,
    workers: int,
) -> None:
    """Fit a whitening to the descriptors of random photos of the training split and write it.

    The file names its checkpoint by SHA-256, so that it is used with no other one.

    Args:
        out: the HDF5 file to write.
        table: the image table of the training set.
        checkpoint: the network.
        features: the cached features, if there are any.
        settings: config section of the dimension and the sample.
        seed: seed of the sample.
        device: where the network runs.
        batch: photos per forward pass.
        workers: processes that decode photos.

    Raises:
        InputError: if the training split has too few photos for the dimension.
    """
    model, _ = load_checkpoint(checkpoint)
    pool = np.flatnonzero(table.split == "train")
    if len(pool) < 2:
        raise InputError("whiten: the training set has no train split; evaluate extract: {descriptors: [raw]}")
    rows = np.sort(np.random.default_rng(seed).choice(pool, min(settings.images, len(pool)), replace=False))
    photos = open_inputs(table, model.image, features)
    descriptors = extract_descriptors(model, photos, rows, device=device, batch=batch, workers=workers, desc="whiten")
    recipe = json.dumps({"whiten": settings.without_defaults()}, sort_keys=True)
    fit(descriptors, settings.dim).save(
        out, {"checkpoint": sha256_of_file(checkpoint), "recipe": recipe} | code_version()
    )
