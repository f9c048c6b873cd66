"""Read checkpoints that other projects published, with their whitening, and import them as ours."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from vprlib.config import AggregatorConfig, BackboneConfig, CheckpointConfig, ImageConfig
from vprlib.config.published import FORMATS, PublishedFormat
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.download.fetch import fetch_file
from vprlib.io.download.remote_file import RemoteFile
from vprlib.io.files import file_lock
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.checkpoint import check_tensors, load_checkpoint, save_checkpoint
from vprlib.models.network import DescriptorNetwork, build_network
from vprlib.models.published_formats import (
    detect_format,
    infer_config,
    strip_module_prefix,
    to_our_names,
    to_published_names,
)
from vprlib.models.weights import read_state_dict
from vprlib.models.whitening import Whitening, load_whitening


class PublishedNetwork(NamedTuple):
    """A network with its weights, the config sections that rebuild it, and the whitening published with it."""

    image: ImageConfig
    backbone: BackboneConfig
    aggregator: AggregatorConfig
    model: DescriptorNetwork
    whitening: Whitening | None
    format: str


def read_published(
    path: str | os.PathLike[str], *, format: str = "auto", pca: str | os.PathLike[str] | None = None
) -> PublishedNetwork:
    """Read a checkpoint of any known format.

    Args:
        path: the checkpoint.
        format: one of FORMATS, `vprlib`, or `auto`, which detects the format by the names of the tensors.
        pca: the PCA published beside a checkpoint without a PCA layer: an HDF5 file with U, lams, mu, Utmu.

    Raises:
        InputError: if the file cannot be read without running code, has another format, or its parts do not fit.
    """
    path = Path(path)
    if format not in ("auto", "vprlib", *FORMATS):
        raise InputError(f"format: unknown {format!r}; {did_you_mean(format, ('auto', 'vprlib', *FORMATS))}")
    if format == "vprlib" or (format == "auto" and is_vprlib_checkpoint(path)):
        model, attributes = load_checkpoint(path)
        backbone, aggregator = BackboneConfig(**attributes["backbone"]), AggregatorConfig(**attributes["aggregator"])
        whitening = load_whitening(path, pca) if pca else None
        return PublishedNetwork(model.image, backbone, aggregator, model, whitening, "vprlib")
    state = strip_module_prefix(read_state_dict(path), path)
    format = detect_format(state, path) if format == "auto" else format
    form = FORMATS[format]
    backbone, aggregator = infer_config(state, form, path, format)
    model = build_network(form.image, backbone, aggregator)
    projection = {name: state.pop(name) for name in list(state) if form.projection and name.startswith(form.projection)}
    check_tensors(to_published_names(model, form), state, path)
    model.load_state_dict(to_our_names(state, form))
    whitening = published_whitening(projection, pca, model.dim, form, path)
    return PublishedNetwork(form.image, backbone, aggregator, model, whitening, format)


def is_vprlib_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a safetensors file with the metadata of our checkpoints."""
    try:
        with safe_open(path, framework="pt") as file:
            return "vprlib" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def published_whitening(
    projection: Mapping[str, torch.Tensor],
    pca: str | os.PathLike[str] | None,
    dim: int,
    form: PublishedFormat,
    path: Path,
) -> Whitening | None:
    """Return the whitening of the PCA layer, or of the PCA file beside a checkpoint; None if there is neither.

    Args:
        projection: the tensors of the PCA layer.
        pca: the PCA file.
        dim: dimension of the network's descriptors.
        form: the format.
        path: the checkpoint, for error messages.

    Raises:
        InputError: if it takes another dimension than the descriptor's, or there are both.
    """
    if form.projection:
        weight = projection.get(f"{form.projection}weight", torch.empty(1, 0))
        if pca:
            raise InputError(f"{path}: holds its own PCA, {form.projection}weight; name no PCA file beside it")
        if weight.numel() and weight.shape[1] != dim:
            raise InputError(
                f"{path}: {form.projection}weight takes {weight.shape[1]} values, the network gives {dim}; "
                f"the file mixes parts of two checkpoints"
            )
        shapes = {"weight": (len(weight), dim, 1, 1), "bias": (len(weight),)}
        expected = {form.projection + name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        check_tensors(expected, projection, path)
        return Whitening.of_layer(weight.flatten(1).numpy(), projection[f"{form.projection}bias"].numpy())
    if not pca:
        return None
    whitening = Whitening.load(pca)
    if len(whitening.U) != dim:
        raise InputError(f"{pca}: was fitted on {len(whitening.U)}-D descriptors, {path} gives {dim}-D ones")
    return whitening


def download_if_needed(checkpoint: CheckpointConfig, *, offline: bool) -> Path:
    """Return the path of a published checkpoint, after downloading it if it is missing.

    Raises:
        InputError: if it cannot be downloaded.
    """
    path = Path(checkpoint.path)
    if checkpoint.url:
        remote = RemoteFile(path.name, (checkpoint.url,), sha256=checkpoint.sha256)
        with file_lock(path.with_name(f"{path.name}.wanted"), wait=True):  # several runs may share the file
            return fetch_file(remote, path.parent, offline=offline)
    return path


def import_checkpoint(
    out: str | os.PathLike[str],
    *,
    file: str | os.PathLike[str],
    format: str = "auto",
    sha256: str | None = None,
) -> None:
    """Write a published checkpoint as one of ours. Its attributes name the source by file name, format and SHA-256.

    Args:
        out: the safetensors file to write.
        file: the published checkpoint.
        format: as in `read_published`.
        sha256: the expected SHA-256 of `file`.

    Raises:
        InputError: as `read_published`; or if the file is missing or has another SHA-256.
    """
    if not Path(file).is_file():
        raise InputError(f"{file}: no such file")
    actual = sha256_of_file(file)
    if sha256 and sha256.lower() != actual:
        raise InputError(
            f"{file}: has the SHA-256 {actual}, not {sha256}; download it again, or correct checkpoint.sha256"
        )
    published = read_published(file, format=format)
    attributes: dict[str, Any] = {"train": None, "epoch": 0, "generation": 0}
    if published.format == "vprlib":
        original = load_checkpoint(file)[1]
        attributes |= {name: original[name] for name in original if name not in ("image", "backbone", "aggregator")}
    source = {"file": Path(file).name, "sha256": actual, "format": published.format}
    save_checkpoint(out, published.model, published.backbone, published.aggregator, **attributes | {"source": source})


def import_whitening(
    out: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str],
    file: str | os.PathLike[str],
    format: str = "auto",
    pca: str | os.PathLike[str] | None = None,
) -> None:
    """Write the whitening of a published checkpoint, bound to the checkpoint imported from it.

    Args:
        out: the HDF5 file to write.
        checkpoint: the checkpoint that `import_checkpoint` wrote.
        file: the published checkpoint.
        format, pca: as in `read_published`.

    Raises:
        InputError: as `read_published`; or if there is no whitening.
    """
    whitening = read_published(file, format=format, pca=pca).whitening
    if whitening is None:
        raise InputError(
            f"{file}: holds no PCA, so its descriptors cannot be whitened; name its PCA file (checkpoint.pca), fit one "
            f"to the train set (checkpoint.whitening: fitted), or evaluate extract: {{descriptors: [raw]}}"
        )
    attributes = {"checkpoint": sha256_of_file(checkpoint), "source": sha256_of_file(pca or file)}
    whitening.save(out, attributes | code_version())
