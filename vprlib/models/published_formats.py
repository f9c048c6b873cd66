"""Import checkpoints that other projects published, and export ours in their formats.

| format | project, file |
|---|---|
| openibl | OpenIBL's training, `model_best.pth.tar`; its PCA is a separate file, `pca_params*.h5` |
| openibl_hub | OpenIBL's released model with the PCA layer, `vgg16_netvlad.pth` |
| pytorch_netvlad | pytorch-NetVlad, `checkpoint.pth.tar` (VGG16 or AlexNet); Patch-NetVLAD before its PCA |
| patch_netvlad | Patch-NetVLAD with the PCA layer, `mapillary_WPCA*.pth.tar`, `pittsburgh_WPCA*.pth.tar` |
| vprlib | ours, `.safetensors` |

All these networks normalise conv5 before its ReLU over its channels, apply NetVLAD's softmax and residuals, normalise
per cluster, flatten cluster by cluster and normalise. The PCA layer is a product, an offset and another normalisation.
The conv weight and the centroids of a trained file are independent parameters, so both are read. The `module.` of
training on several GPUs may stand anywhere in a name.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from vprlib.config import AggregatorConfig, BackboneConfig, CheckpointConfig, ImageConfig
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.download.fetch import fetch_file
from vprlib.io.download.remote_file import RemoteFile
from vprlib.io.files import file_lock, write_bytes
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.checkpoint import check_tensors, load_checkpoint, save_checkpoint
from vprlib.models.network import DescriptorNetwork, build_network
from vprlib.models.weights import read_state_dict
from vprlib.models.whitening import Whitening, load_whitening

NETVLAD = "netvlad"  # the aggregator of all these formats
# MatConvNet's preprocessing: the mean is subtracted, and values stay in [0, 255]
MATCONVNET = ImageConfig.model_validate(
    {"mean": (123.68 / 255, 116.779 / 255, 103.939 / 255), "std": (1 / 255, 1 / 255, 1 / 255)}
)
IMAGENET = ImageConfig.model_validate({})


@dataclass(frozen=True)
class PublishedFormat:
    """How a project names the parts of a network, and which parts it has."""

    encoder: str  # prefix of the numbered convolutions
    pool: str  # prefix of NetVLAD
    image: ImageConfig  # how the project prepares photos; its files do not say it
    projection: str = ""  # prefix of the PCA layer
    backbones: tuple[str, ...] = ("vgg16",)
    biased: bool = False  # the assignment may have a bias
    prefix: str = ""  # before every name, where the project's reader skips names without it
    # entries that the project's reader needs beside a `state_dict`; None: the file is the state dict itself
    beside: dict[str, Any] | None = None


FORMATS = {  # a format with a PCA layer comes before the one without
    "openibl_hub": PublishedFormat("base_model.base.", "net_vlad.", MATCONVNET, projection="pca_layer."),
    "openibl": PublishedFormat(
        "base_model.base.", "net_vlad.", MATCONVNET, prefix="module.", beside={"epoch": 0, "best_recall5": 0.0}
    ),
    "patch_netvlad": PublishedFormat("encoder.", "pool.", IMAGENET, projection="WPCA.0.", biased=True, beside={}),
    "pytorch_netvlad": PublishedFormat(
        "encoder.",
        "pool.",
        IMAGENET,
        backbones=("vgg16", "alexnet"),
        biased=True,
        beside={"epoch": 0, "best_score": 0.0},
    ),
}


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
        raise InputError(f"{file}: has the SHA-256 {actual}, not {sha256}; download it again, or correct the sum")
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
        (published.whitening and not form.projection, "keeps the PCA in a file of its own; pca.h5 is one already"),
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


def is_vprlib_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a safetensors file with the metadata of our checkpoints."""
    try:
        with safe_open(path, framework="pt") as file:
            return "vprlib" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def strip_module_prefix(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Return a state dict in float32, without the `module` that parallel training inserts into the names.

    Raises:
        InputError: if a name occurs with and without it.
    """
    plain = {}
    for name, tensor in state.items():
        short = ".".join(part for part in name.split(".") if part != "module")
        if short in plain:
            raise InputError(f"{path}: holds {short} twice, with and without `module.`")
        plain[short] = tensor.float()
    return plain


def detect_format(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> str:
    """Return the first format whose parts all occur in a state dict.

    Raises:
        InputError: if there is none.
    """
    for format, form in FORMATS.items():
        if all(any(name.startswith(part) for name in state) for part in (form.encoder, form.pool, form.projection)):
            return format
    raise InputError(
        f"{path}: is a checkpoint of no known format (vprlib, {', '.join(FORMATS)}): it holds {', '.join([*state][:3])}"
        f", …; name a backbone's weights alone in backbone.file"
    )


def infer_config(
    state: Mapping[str, torch.Tensor], form: PublishedFormat, path: Path, format: str
) -> tuple[BackboneConfig, AggregatorConfig]:
    """Infer the config sections of backbone and aggregator from the shapes of a state dict.

    Other misfits are left to `check_tensors`.

    Raises:
        InputError: if the assignment and the centroids have different numbers of clusters.
    """
    first = state.get(f"{form.encoder}0.weight", torch.empty(64))
    name = "alexnet" if f"{form.encoder}3.weight" in state else "vgg16"
    narrow = name == "vgg16" and len(first) != 64
    backbone = BackboneConfig.model_validate(
        {
            "name": name,
            "weights": format,
            "file": path.name,
            "options": {"width": len(first) / 64} if narrow else {},
        }
    )
    assignment, centroids = (state.get(form.pool + part) for part in ("conv.weight", "centroids"))
    if assignment is not None and centroids is not None and len(assignment) != len(centroids):
        raise InputError(
            f"{path}: {form.pool}conv.weight has {len(assignment)} clusters, {form.pool}centroids {len(centroids)}; "
            f"parts of two checkpoints (Patch-NetVLAD: mapillary has 16, pittsburgh 64)"
        )
    clusters = 64 if centroids is None else max(2, len(centroids))
    options = {"clusters": clusters, "bias": form.biased and f"{form.pool}conv.bias" in state}
    return backbone, AggregatorConfig(name=NETVLAD, options=options)


def to_published_names(model: DescriptorNetwork, form: PublishedFormat) -> dict[str, torch.Tensor]:
    """Return a network's state dict in another project's names and shapes, without the PCA layer."""
    state = model.state_dict()
    layers = model.backbone.state_dict()
    published = {form.encoder + name.removeprefix("layers."): tensor for name, tensor in layers.items()}
    published[f"{form.pool}conv.weight"] = state["aggregator.assignment"][:, :, None, None]
    if "aggregator.bias" in state:
        published[f"{form.pool}conv.bias"] = state["aggregator.bias"]
    return published | {f"{form.pool}centroids": state["aggregator.centroids"]}


def to_our_names(state: Mapping[str, torch.Tensor], form: PublishedFormat) -> dict[str, torch.Tensor]:
    """Return a state dict, checked before, in our names and shapes: the inverse of `to_published_names`."""
    names = {f"{form.pool}conv.weight": "assignment", f"{form.pool}conv.bias": "bias"}
    names[f"{form.pool}centroids"] = "centroids"
    ours = {}
    for name, tensor in state.items():
        if name in names:
            ours[f"aggregator.{names[name]}"] = tensor.flatten(1) if tensor.ndim > 1 else tensor
        else:
            ours[f"backbone.layers.{name.removeprefix(form.encoder)}"] = tensor
    return ours


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
                f"parts of two checkpoints"
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
