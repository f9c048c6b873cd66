"""Descriptors of photos, and their files."""

import json

import numpy as np
import torch

from vprlib.config import Whiten
from vprlib.data.dataset import FIXED, rows
from vprlib.images.loader import CROPS, Photos, batches
from vprlib.io import files
from vprlib.io.files import BadInput
from vprlib.models.feature_cache import source
from vprlib.models.network import Descriptor, load_checkpoint
from vprlib.models.whitening import Whitening, fit


@torch.inference_mode()
def describe(
    model: Descriptor,
    source,
    rows,
    *,
    device,
    batch: int,
    workers: int = 0,
    desc: str | None = None,
    bf16: bool = False,
):
    """Descriptors of some rows of an image table, in their order: (n, dim) float32 array, unit rows.

    Of photos cut into five it is (n, 5, dim), or with `five_mean` the mean of the five, normalised.

    Args:
        source: Photos or a trunk's Activations, indexed by row number.
        bf16: compute convolutions in bfloat16.

    Raises:
        BadInput: a photo cannot be decoded, or its descriptor is not finite.
    """
    model.to(device)
    framing = getattr(source, "framing", "fixed")
    crops = (CROPS,) if framing.startswith("five") else ()
    result = np.empty((len(rows), *crops, model.dim), np.float32)
    lots = source.lots(rows, batch)
    numbers = [[int(rows[position]) for position in lot] for lot in lots]
    for lot, batch_BCHW in zip(lots, batches(source, numbers, workers=workers, desc=desc), strict=True):
        x_BD = model.describe(batch_BCHW.flatten(0, -4), device, bf16).float().cpu().numpy()
        result[lot] = x_BD.reshape(len(lot), *crops, model.dim)
    bad = np.flatnonzero(~np.isfinite(result).all(tuple(range(1, result.ndim))))
    if len(bad):
        raise BadInput(f"{source.paths[rows[bad[0]]]}: its descriptor is not finite ({len(bad)} such photos)")
    return normalised(result.mean(1)) if framing == "five_mean" else result


def normalised(x_ND):
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=-1, keepdims=True), 1e-12)


def extract(
    out, *, table, checkpoint, whitening, kinds, framings, shard: int, shards: int, device, batch: int, workers: int
):
    """Describe every `shards`-th photo of the test split, from number `shard` on, and write them as float16.

    The file has `<role>/<kind>` (n, D) for both roles and the kinds asked for: `raw`, or `whitened` by the file
    `whitening`; its attributes tell the sources. Queries are fitted to the network's size in all the ways `framings`
    (see Photos): those of another than `fixed` are `query/<kind>@<framing>`, (n, 5, D) if five crops are kept apart.
    """
    model, attributes = load_checkpoint(checkpoint)
    project = whitening_of(checkpoint, whitening) if "whitened" in kinds else None
    arrays = {}
    for role, framing in [("database", FIXED), *(("query", framing) for framing in framings)]:
        photos = Photos(table.path, model.image.height, model.image.width, framing)
        some = rows(table, "test", role)[shard::shards]
        raw = describe(
            model, photos, some, device=device, batch=batch, workers=workers, desc=f"extract {role} {framing}"
        )
        for kind in kinds:
            name = f"{role}/{kind}" + ("" if framing == FIXED else f"@{framing}")
            arrays[name] = (raw if kind == "raw" else whitened(project, raw)).astype(np.float16)
    sources = {
        "checkpoint": files.digest(checkpoint),
        "whitening": files.digest(whitening) if project else "",
        "model": json.dumps(attributes, sort_keys=True),
    }
    files.write_h5(out, arrays, sources)


def whitened(project: Whitening, raw):
    """Whitened descriptors, (n, D) or of crops (n, 5, D)."""
    return project.apply(raw.reshape(-1, raw.shape[-1])).reshape(*raw.shape[:-1], project.dim)


def whitening_of(checkpoint, path) -> Whitening:
    """Load the whitening of a checkpoint.

    Raises:
        BadInput: if it was fitted for another one.
    """
    import h5py

    whitening = Whitening.load(path)
    with h5py.File(path, "r") as file:
        if file.attrs.get("checkpoint") != files.digest(checkpoint):
            raise BadInput(f"{path}: was fitted for another checkpoint than {checkpoint}; run `snakemake -R whiten`")
    return whitening


def whiten(out, *, table, checkpoint, trunk, settings: Whiten, seed: int, device, batch: int, workers: int):
    """Fit a whitening to descriptors of random photos of the training split and write it, bound to its checkpoint.

    Raises:
        BadInput: if the training split has too few photos for the dimension.
    """
    model, _ = load_checkpoint(checkpoint)
    pool = np.flatnonzero(table.split == "train")
    if len(pool) < 2:
        raise BadInput("whiten: the training set has no train split; evaluate extract: {descriptors: [raw]}")
    some = np.sort(np.random.default_rng(seed).choice(pool, min(settings.images, len(pool)), replace=False))
    photos = source(table, model.image, trunk)
    descriptors = describe(model, photos, some, device=device, batch=batch, workers=workers, desc="whiten")
    fit(descriptors, settings.dim).save(out, {"checkpoint": files.digest(checkpoint)} | files.provenance())
