"""Export our checkpoints, with their whitening, in the formats of other projects."""

import io
import os
from collections.abc import Sequence

import torch

from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.files import write_bytes
from vprlib.models.published_formats import FORMATS, NETVLAD, PublishedFormat, to_published_names
from vprlib.models.published_import import PublishedNetwork, read_published


def export_checkpoint(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: str,
    whitening: str | os.PathLike[str] | None = None,
) -> None:
    """Write one of our checkpoints in another project's format, with its whitening if the format has a PCA layer.

    The file holds tensors in plain dicts. Importing it again gives the network bit by bit, and the PCA layer up to the
    last digit of float32.

    Args:
        checkpoint: our checkpoint.
        out: the file to write.
        format: one of FORMATS.
        whitening: the whitening of the checkpoint.

    Raises:
        InputError: if the format cannot hold the network, or the project normalises photos otherwise.
    """
    if format not in FORMATS:
        raise InputError(f"format: unknown {format!r}; {did_you_mean(format, FORMATS)}")
    form = FORMATS[format]
    published = read_published(checkpoint, format="vprlib", pca=whitening)
    check_exportable(published, form, format, checkpoint)
    state = {form.prefix + name: tensor for name, tensor in to_published_names(published.model, form).items()}
    if form.projection and published.whitening:
        weight, bias = map(torch.from_numpy, published.whitening.layer())
        state |= {f"{form.projection}weight": weight[:, :, None, None], f"{form.projection}bias": bias}
    state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    buffer = io.BytesIO()
    torch.save(state if form.beside is None else {"state_dict": state} | form.beside, buffer)
    write_bytes(out, buffer.getvalue())


def check_exportable(
    published: PublishedNetwork, form: PublishedFormat, format: str, checkpoint: str | os.PathLike[str]
) -> None:
    """Check that a format can hold a network.

    Raises:
        InputError: with the first reason why it cannot.
    """
    image, backbone, aggregator = published[:3]
    reasons = [
        (aggregator.name != NETVLAD, f"holds NetVLAD, not {aggregator.name!r}"),
        (backbone.name not in form.backbones, f"holds {' or '.join(form.backbones)}, not {backbone.name!r}"),
        (
            aggregator.name == NETVLAD and aggregator.option("bias") and not form.biased,
            "has no bias in the assignment (aggregator.options.bias)",
        ),
        (
            not all(torch.tensor(getattr(image, part)).allclose(torch.tensor(getattr(form.image, part)), rtol=1e-5)
                    for part in ("mean", "std")),
            f"is read by a project that normalises by the mean {rounded(form.image.mean)} and std "
            f"{rounded(form.image.std)}, not {rounded(image.mean)} and {rounded(image.std)}",
        ),
        (form.projection and not published.whitening, "has a PCA layer; name the whitening (its pca.h5)"),
        (
            published.whitening and not form.projection,
            "has no PCA layer; leave out --whitening, and pass on pca.h5 as it is",
        ),
    ]  # fmt: skip
    for wrong, reason in reasons:
        if wrong:
            raise InputError(f"{checkpoint}: the format {format!r} {reason}")


def rounded(values: Sequence[float]) -> str:
    """Format numbers with eight significant digits, so that they can be written into a configuration.

    >>> rounded((0.485, 1 / 3))
    '[0.485, 0.33333333]'
    """
    return "[" + ", ".join(f"{value:.8g}" for value in values) + "]"
