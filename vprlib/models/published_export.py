"""Export our checkpoints, with their whitening, in the formats of other projects."""

import io
import logging
import os

import torch

from vprlib.config.published import FORMATS, export_fault, reader_differs
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.files import write_bytes
from vprlib.models.published_formats import to_published_names
from vprlib.models.published_import import PublishedNetwork, read_published

log = logging.getLogger(__name__)


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
    check_exportable(published, format, checkpoint)
    state = {form.prefix + name: tensor for name, tensor in to_published_names(published.model, form).items()}
    if form.projection and published.whitening:
        weight, bias = map(torch.from_numpy, published.whitening.layer())
        state |= {f"{form.projection}weight": weight[:, :, None, None], f"{form.projection}bias": bias}
    state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    buffer = io.BytesIO()
    torch.save(state if form.beside is None else {"state_dict": state} | form.beside, buffer)
    write_bytes(out, buffer.getvalue())


def check_exportable(published: PublishedNetwork, format: str, checkpoint: str | os.PathLike[str]) -> None:
    """Check that a format can hold a network, and warn if the other project's code builds another one for it.

    Raises:
        InputError: with the first reason why it cannot, and the recipe that it can hold.
    """
    form, (image, backbone, aggregator, *_) = FORMATS[format], published
    fault = export_fault(format, image, backbone, aggregator)
    if not fault and form.projection and not published.whitening:
        fault = f"the format {format!r} has a PCA layer; name the whitening (its pca.h5)"
    if not fault and published.whitening and not form.projection:
        fault = f"the format {format!r} has no PCA layer; leave out --whitening, and pass on pca.h5 as it is"
    if fault:
        raise InputError(f"{checkpoint}: {fault}")
    dims = published.whitening.dim if published.whitening else None
    if differs := reader_differs(format, backbone, aggregator, dims):
        log.warning("warning: %s: %s, as the project of %r builds it; adapt its code", checkpoint, differs, format)
