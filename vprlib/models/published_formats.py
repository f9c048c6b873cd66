"""Checkpoints that other projects published, read into ours and written back in their names and shapes.

| format | project, file |
|---|---|
| openibl | OpenIBL's training, `model_best.pth.tar`; its PCA lies beside it, `pca_params*.h5` |
| openibl_hub | OpenIBL's released model with the PCA layer, `vgg16_netvlad.pth` |
| pytorch_netvlad | pytorch-NetVlad, `checkpoint.pth.tar` (VGG16 or AlexNet); Patch-NetVLAD before its PCA |
| patch_netvlad | Patch-NetVLAD with the PCA layer, `mapillary_WPCA*.pth.tar`, `pittsburgh_WPCA*.pth.tar` |
| vprlib | ours, `.safetensors` |

All of them take conv5 before its ReLU, unit length over its channels, NetVLAD's softmax and residuals, intra-normalise,
flatten cluster by cluster and normalise; the PCA layer is a product, an offset and another norm. Conv weight and
centroids are free parameters of a trained file, so both are read. The `module.` of several GPUs may stand anywhere.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from vprlib.config import AggregatorConfig, BackboneConfig, CheckpointConfig, ImageConfig
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.download.download import RemoteFile, fetch_file
from vprlib.io.files import file_lock, write_bytes
from vprlib.io.fingerprints import code_version, sha256_of_file
from vprlib.models.checkpoint import check_tensors, load_checkpoint, save_checkpoint
from vprlib.models.network import DescriptorNetwork, build_network
from vprlib.models.weights import read_state_dict
from vprlib.models.whitening import Whitening, load_whitening

MATCONVNET = ImageConfig(
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255,) * 3
)  # means off, 0 to 255 kept
IMAGENET = ImageConfig()


@dataclass(frozen=True)
class PublishedFormat:
    """How a project names the parts of a network, and what it holds."""

    encoder: str  # prefix of the numbered convolutions' names
    pool: str  # prefix of NetVLAD's
    image: ImageConfig  # how the project prepares photos; its files do not say
    projection: str = ""  # prefix of the PCA layer's names
    backbones: tuple = ("vgg16",)
    biased: bool = False  # the assignment may have a bias
    prefix: str = ""  # before every name, where the project's reader skips names that lack it
    beside: dict | None = None  # what the project's reader wants beside a `state_dict`; none: the file is the state


FORMATS = {  # a format with a PCA layer before the one without
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
    """A network with its weights, the sections that rebuild it, and the whitening that was published with it."""

    image: ImageConfig
    backbone: BackboneConfig
    aggregator: AggregatorConfig
    model: DescriptorNetwork
    whitening: Whitening | None
    format: str


def read_published(path, *, format: str = "auto", pca=None) -> PublishedNetwork:
    """Read a checkpoint of any known format.

    Args:
        format: one of FORMATS, `vprlib`, or `auto`: known by its names.
        pca: the PCA that was published beside a checkpoint without a PCA layer: an HDF5 file with U, lams, mu, Utmu.

    Raises:
        InputError: the file cannot be read without running code, is of no such format, or its parts do not fit.
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
    """The file of a published checkpoint, downloaded if need be.

    Raises:
        InputError: if it cannot be had.
    """
    path = Path(checkpoint.path)
    if checkpoint.url:
        remote = RemoteFile(path.name, (checkpoint.url,), sha256=checkpoint.sha256)
        with file_lock(path.with_name(f"{path.name}.wanted"), wait=True):  # several runs may share it
            return fetch_file(remote, path.parent, offline=offline)
    return path


def import_checkpoint(out, *, file, format: str = "auto", sha256: str | None = None):
    """Write a published checkpoint as ours; its attributes tell the source, by name, format and SHA-256.

    Raises:
        InputError: as `convert`; or the file is not the one with that `sha256`.
    """
    if not Path(file).is_file():
        raise InputError(f"{file}: no such file")
    found = sha256_of_file(file)
    if sha256 and sha256.lower() != found:
        raise InputError(f"{file}: has the SHA-256 {found}, not {sha256}; download it again, or correct the sum")
    published = read_published(file, format=format)
    attributes = {"train": None, "epoch": 0, "generation": 0}
    if published.format == "vprlib":
        theirs = load_checkpoint(file)[1]
        attributes |= {name: theirs[name] for name in theirs if name not in ("image", "backbone", "aggregator")}
    source = {"file": Path(file).name, "sha256": found, "format": published.format}
    save_checkpoint(out, published.model, published.backbone, published.aggregator, **attributes | {"source": source})


def import_whitening(out, *, checkpoint, file, format: str = "auto", pca=None):
    """Write the whitening of a published checkpoint, bound to the `checkpoint` that was imported from that `file`.

    Raises:
        InputError: as `convert`; or there is none.
    """
    whitening = read_published(file, format=format, pca=pca).whitening
    if whitening is None:
        raise InputError(
            f"{file}: holds no PCA, so nothing whitens its descriptors; name its PCA file (checkpoint.pca), fit one to "
            f"the train set (checkpoint.whitening: fitted), or evaluate extract: {{descriptors: [raw]}}"
        )
    attributes = {"checkpoint": sha256_of_file(checkpoint), "source": sha256_of_file(pca or file)}
    whitening.save(out, attributes | code_version())


def export_checkpoint(checkpoint, out, *, format: str, whitening=None):
    """Write one of our checkpoints, and its whitening where the format has a PCA layer, in another project's format.

    The file holds tensors in plain dicts; the network's come back bit by bit, the PCA layer to float32's last digit.

    Raises:
        InputError: the format cannot hold the network, or the project would show it other pixels.
    """
    if format not in FORMATS:
        raise InputError(f"format: unknown {format!r}; {did_you_mean(format, FORMATS)}")
    form = FORMATS[format]
    published = read_published(checkpoint, format="vprlib", pca=whitening)
    check_exportable(published, form, format, checkpoint)
    state = {form.prefix + name: tensor for name, tensor in to_published_names(published.model, form).items()}
    if form.projection:
        weight, bias = map(torch.from_numpy, published.whitening.layer())
        state |= {f"{form.projection}weight": weight[:, :, None, None], f"{form.projection}bias": bias}
    state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    buffer = io.BytesIO()
    torch.save(state if form.beside is None else {"state_dict": state} | form.beside, buffer)
    write_bytes(out, buffer.getvalue())


def check_exportable(published: PublishedNetwork, form: PublishedFormat, format: str, checkpoint):
    """Refuse to export what the format cannot say.

    Raises:
        InputError: naming the first such thing.
    """
    image, backbone, aggregator = published[:3]
    reasons = [
        (aggregator.name != "netvlad", f"holds NetVLAD, not {aggregator.name!r}"),
        (backbone.name not in form.backbones, f"holds {' or '.join(form.backbones)}, not {backbone.name!r}"),
        (aggregator.bias and not form.biased, "has no bias in the assignment (aggregator.bias)"),
        (
            not all(torch.tensor(getattr(image, part)).allclose(torch.tensor(getattr(form.image, part)), rtol=1e-5)
                    for part in ("mean", "std")),
            f"is read by a project that takes out the mean {rounded(form.image.mean)} and std "
            f"{rounded(form.image.std)}, not {rounded(image.mean)} and {rounded(image.std)}",
        ),
        (form.projection and not published.whitening, "has a PCA layer; name the whitening (its pca.h5)"),
        (published.whitening and not form.projection, "keeps the PCA in a file of its own; pca.h5 is one already"),
    ]  # fmt: skip
    for wrong, reason in reasons:
        if wrong:
            raise InputError(f"{checkpoint}: the format {format!r} {reason}")


def rounded(values) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


def is_vprlib_checkpoint(path) -> bool:
    """Whether a file is safetensors that describe a network of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            return "vprlib" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def strip_module_prefix(state: dict, path) -> dict:
    """A state dict in float32, without the `module` that parallel training puts between the parts of a name."""
    plain = {}
    for name, tensor in state.items():
        short = ".".join(part for part in name.split(".") if part != "module")
        if short in plain:
            raise InputError(f"{path}: holds {short} twice, with and without `module.`")
        plain[short] = tensor.float()
    return plain


def detect_format(state: dict, path) -> str:
    """The first format all of whose parts a state dict has.

    Raises:
        InputError: if there is none.
    """
    for format, form in FORMATS.items():
        if all(any(name.startswith(part) for name in state) for part in (form.encoder, form.pool, form.projection)):
            return format
    raise InputError(
        f"{path}: is a checkpoint of no known format (vprlib, {', '.join(FORMATS)}): it holds {', '.join([*state][:3])}"
        f", …; a backbone's weights alone belong into backbone.file"
    )


def infer_config(state: dict, form: PublishedFormat, path, format: str) -> tuple:
    """The backbone and the aggregator that a state dict's shapes tell; what they leave open `check_tensors` finds.

    Raises:
        InputError: if the assignment and the centroids have different numbers of clusters.
    """
    first = state.get(f"{form.encoder}0.weight", torch.empty(64))
    name = "alexnet" if f"{form.encoder}3.weight" in state else "vgg16"
    narrow = name == "vgg16" and len(first) != 64
    backbone = BackboneConfig(
        name=name, weights=format, file=path.name, options={"width": len(first) / 64} if narrow else {}
    )
    assignment, centroids = (state.get(form.pool + part) for part in ("conv.weight", "centroids"))
    if assignment is not None and centroids is not None and len(assignment) != len(centroids):
        raise InputError(
            f"{path}: {form.pool}conv.weight has {len(assignment)} clusters, {form.pool}centroids {len(centroids)}; "
            f"parts of two checkpoints (Patch-NetVLAD: mapillary has 16, pittsburgh 64)"
        )
    clusters = 64 if centroids is None else max(2, len(centroids))
    return backbone, AggregatorConfig(clusters=clusters, bias=form.biased and f"{form.pool}conv.bias" in state)


def to_published_names(model: DescriptorNetwork, form: PublishedFormat) -> dict:
    """A network's state in another project's names and shapes, without the PCA layer."""
    state = model.state_dict()
    layers = model.backbone.state_dict()
    theirs = {form.encoder + name.removeprefix("layers."): tensor for name, tensor in layers.items()}
    theirs[f"{form.pool}conv.weight"] = state["aggregator.assignment"][:, :, None, None]
    if "aggregator.bias" in state:
        theirs[f"{form.pool}conv.bias"] = state["aggregator.bias"]
    return theirs | {f"{form.pool}centroids": state["aggregator.centroids"]}


def to_our_names(state: dict, form: PublishedFormat) -> dict:
    """The reverse of `outward`, of a state dict that was checked."""
    names = {f"{form.pool}conv.weight": "assignment", f"{form.pool}conv.bias": "bias"}
    names[f"{form.pool}centroids"] = "centroids"
    ours = {}
    for name, tensor in state.items():
        if name in names:
            ours[f"aggregator.{names[name]}"] = tensor.flatten(1) if tensor.ndim > 1 else tensor
        else:
            ours[f"backbone.layers.{name.removeprefix(form.encoder)}"] = tensor
    return ours


def published_whitening(projection: dict, pca, dim: int, form: PublishedFormat, path) -> Whitening | None:
    """The whitening of the PCA layer, or of the PCA file beside a checkpoint.

    Raises:
        InputError: if it is of another dimension than the descriptor, or there are two.
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
        wanted = {form.projection + name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        check_tensors(wanted, projection, path)
        return Whitening.of_layer(weight.flatten(1).numpy(), projection[f"{form.projection}bias"].numpy())
    if not pca:
        return None
    whitening = Whitening.load(pca)
    if len(whitening.U) != dim:
        raise InputError(f"{pca}: was fitted on {len(whitening.U)}-D descriptors, {path} gives {dim}-D ones")
    return whitening
