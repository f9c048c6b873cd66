"""Descriptors of photos, and their files."""

import json

import numpy as np
import torch

from vprlib.data.image_table import row_numbers
from vprlib.data.protocol import FIXED
from vprlib.exceptions import InputError
from vprlib.images.framing import CROPS
from vprlib.images.loader import PhotoDataset, load_batches
from vprlib.io.files import write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.checkpoint import load_checkpoint
from vprlib.models.network import DescriptorNetwork
from vprlib.models.whitening import apply_whitening, l2_normalize, load_whitening


@torch.inference_mode()
def extract_descriptors(
    model: DescriptorNetwork,
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
        InputError: a photo cannot be decoded, or its descriptor is not finite.
    """
    model.to(device)
    framing = getattr(source, "framing", "fixed")
    crops = (CROPS,) if framing.startswith("five") else ()
    result = np.empty((len(rows), *crops, model.dim), np.float32)
    lots = source.lots(rows, batch)
    numbers = [[int(rows[position]) for position in lot] for lot in lots]
    for lot, batch_BCHW in zip(lots, load_batches(source, numbers, workers=workers, desc=desc), strict=True):
        x_BD = model.describe(batch_BCHW.flatten(0, -4), device, bf16).float().cpu().numpy()
        result[lot] = x_BD.reshape(len(lot), *crops, model.dim)
    bad = np.flatnonzero(~np.isfinite(result).all(tuple(range(1, result.ndim))))
    if len(bad):
        raise InputError(f"{source.paths[rows[bad[0]]]}: its descriptor is not finite ({len(bad)} such photos)")
    return l2_normalize(result.mean(1)) if framing == "five_mean" else result


def extract_shard(
    out, *, table, checkpoint, whitening, kinds, framings, shard: int, shards: int, device, batch: int, workers: int
):
    """Describe every `shards`-th photo of the test split, from number `shard` on, and write them as float16.

    The file has `<role>/<kind>` (n, D) for both roles and the kinds asked for: `raw`, or `whitened` by the file
    `whitening`; its attributes tell the sources. Queries are fitted to the network's size in all the ways `framings`
    (see Photos): those of another than `fixed` are `query/<kind>@<framing>`, (n, 5, D) if five crops are kept apart.
    """
    model, attributes = load_checkpoint(checkpoint)
    project = load_whitening(checkpoint, whitening) if "whitened" in kinds else None
    arrays = {}
    for role, framing in [("database", FIXED), *(("query", framing) for framing in framings)]:
        photos = PhotoDataset(table.path, model.image.height, model.image.width, framing)
        some = row_numbers(table, "test", role)[shard::shards]
        raw = extract_descriptors(
            model, photos, some, device=device, batch=batch, workers=workers, desc=f"extract {role} {framing}"
        )
        for kind in kinds:
            name = f"{role}/{kind}" + ("" if framing == FIXED else f"@{framing}")
            arrays[name] = (raw if kind == "raw" else apply_whitening(project, raw)).astype(np.float16)
    sources = {
        "checkpoint": sha256_of_file(checkpoint),
        "whitening": sha256_of_file(whitening) if project else "",
        "model": json.dumps(attributes, sort_keys=True),
    }
    write_h5(out, arrays, sources)
