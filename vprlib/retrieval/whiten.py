"""Fit a PCA whitening to the descriptors of the training set and bind it to its checkpoint."""

import numpy as np

from vprlib.config import WhitenConfig
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.feature_cache import open_inputs
from vprlib.models.whitening import fit
from vprlib.retrieval.extract import extract_descriptors


def fit_whitening(
    out, *, table, checkpoint, trunk, settings: WhitenConfig, seed: int, device, batch: int, workers: int
):
    """Fit a whitening to descriptors of random photos of the training split and write it, bound to its checkpoint.

    Raises:
        InputError: if the training split has too few photos for the dimension.
    """
    model, _ = load_checkpoint(checkpoint)
    pool = np.flatnonzero(table.split == "train")
    if len(pool) < 2:
        raise InputError("whiten: the training set has no train split; evaluate extract: {descriptors: [raw]}")
    some = np.sort(np.random.default_rng(seed).choice(pool, min(settings.images, len(pool)), replace=False))
    photos = open_inputs(table, model.image, trunk)
    descriptors = extract_descriptors(model, photos, some, device=device, batch=batch, workers=workers, desc="whiten")
    fit(descriptors, settings.dim).save(out, {"checkpoint": sha256_of_file(checkpoint)} | code_version())
