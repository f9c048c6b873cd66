"""Compute descriptors of photos and write them to files.

Axes: B images of a batch, C channels, H x W positions, D dimensions.
"""

import json
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from vprlib.data.image_table import hash_test_photos, row_numbers
from vprlib.data.protocol import FIXED
from vprlib.exceptions import InputError
from vprlib.images.framing import CROPS
from vprlib.images.loader import PhotoDataset, load_batches
from vprlib.io.files import read_recipe, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.feature_cache import CachedFeatures
from vprlib.models.network import DescriptorNetwork
from vprlib.models.whitening import apply_whitening, l2_normalize, load_whitening


@torch.inference_mode()
def extract_descriptors(
    model: DescriptorNetwork,
    source: PhotoDataset | CachedFeatures,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    device: torch.device,
    batch: int,
    workers: int = 0,
    desc: str | None = None,
    bf16: bool = False,
) -> NDArray[np.float32]:
    """Compute the descriptors of some rows of an image table.

    Args:
        model: the network.
        source: photos or cached features, indexed by row number.
        rows: row numbers.
        device: where the network runs.
        batch: photos per forward pass.
        workers: processes that decode photos.
        desc: text of the progress bar.
        bf16: compute convolutions in bfloat16.

    Returns:
        (n, dim) float32, unit rows, in the order of `rows`. For photos cut into five crops it is (n, 5, dim), or with
        the framing `five_mean` the normalised mean of the five.

    Raises:
        InputError: if a photo cannot be decoded, or its descriptor is not finite.
    """
    model.to(device)
    framing = getattr(source, "framing", "fixed")
    crops = (CROPS,) if framing.startswith("five") else ()
    result = np.empty((len(rows), *crops, model.dim), np.float32)
    batches = source.batches_by_shape(rows, batch)
    numbers = [[int(rows[position]) for position in positions] for positions in batches]
    loader = load_batches(source, numbers, workers=workers, desc=desc)
    for positions, batch_BCHW in zip(batches, loader, strict=True):
        x_BD = model.describe(batch_BCHW.flatten(0, -4), device, bf16).float().cpu().numpy()
        result[positions] = x_BD.reshape(len(positions), *crops, model.dim)
    bad = np.flatnonzero(~np.isfinite(result).all(tuple(range(1, result.ndim))))
    if len(bad):
        raise InputError(f"{source.paths[rows[bad[0]]]}: its descriptor is not finite ({len(bad)} such photos)")
    return l2_normalize(result.mean(1)) if framing == "five_mean" else result


def extract_shard(
    out: str | os.PathLike[str],
    *,
    table: pd.DataFrame,
    checkpoint: str | os.PathLike[str],
    whitening: str | os.PathLike[str] | None,
    kinds: Sequence[str],
    framings: Sequence[str],
    shard: int,
    shards: int,
    device: torch.device,
    batch: int,
    workers: int,
) -> None:
    """Compute the descriptors of every `shards`-th photo of the test split, from number `shard` on.

    The file has float16 datasets `<role>/<kind>` (n, D) for both roles and all kinds; its attributes name the sources.
    Queries are described with every framing. Those of another framing than `fixed` are `query/<kind>@<framing>`, and
    (n, 5, D) if five crops are kept apart.

    Args:
        out: the HDF5 file to write.
        table: the image table.
        checkpoint: the network.
        whitening: its whitening; needed for `whitened`.
        kinds: `raw` and `whitened`, or one of them.
        framings: how query photos are fitted to the network's size; see `PhotoDataset`.
        shard: number of the shard, from 0.
        shards: number of shards.
        device: where the network runs.
        batch: photos per forward pass.
        workers: processes that decode photos.

    Raises:
        InputError: if a photo cannot be decoded, a descriptor is not finite, or the whitening was fitted for another
            checkpoint.
        ValueError: if whitened descriptors are requested without a whitening.
    """
    model, attributes = load_checkpoint(checkpoint)
    fitted = None
    if "whitened" in kinds:
        if not whitening:
            raise ValueError("whitened descriptors need the file of a whitening")
        fitted = load_whitening(checkpoint, whitening)
    arrays = {}
    for role, framing in [("database", FIXED), *(("query", framing) for framing in framings)]:
        photos = PhotoDataset(table.path, model.image.height, model.image.width, framing)
        rows = row_numbers(table, "test", role)[shard::shards]
        raw = extract_descriptors(
            model, photos, rows, device=device, batch=batch, workers=workers, desc=f"extract {role} {framing}"
        )
        suffix = "" if framing == FIXED else f"@{framing}"
        for kind in kinds:
            described = raw if kind == "raw" or fitted is None else apply_whitening(fitted, raw)
            arrays[f"{role}/{kind}{suffix}"] = described.astype(np.float16)
    recipe = dict(attributes.get("recipe", {}))
    if fitted and whitening:
        recipe |= read_recipe(whitening)
    sources = {
        "checkpoint": sha256_of_file(checkpoint),
        "whitening": sha256_of_file(whitening) if fitted and whitening else "",
        "model": json.dumps(attributes, sort_keys=True),
        "recipe": json.dumps(recipe, sort_keys=True),
        "photos": hash_test_photos(table),
    }
    write_h5(out, arrays, sources)
