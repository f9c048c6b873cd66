"""The formats of checkpoints that other projects publish, and the recipes that can be written in them.

| format | project, file |
|---|---|
| openibl | OpenIBL's training, `model_best.pth.tar`; its PCA is a separate file, `pca_params*.h5` |
| openibl_hub | OpenIBL's released model with the PCA layer, `vgg16_netvlad.pth` |
| pytorch_netvlad | pytorch-NetVlad, `checkpoint.pth.tar` (VGG16 or AlexNet); Patch-NetVLAD before its PCA |
| patch_netvlad | Patch-NetVLAD with the PCA layer, `mapillary_WPCA*.pth.tar`, `pittsburgh_WPCA*.pth.tar` |
| vprlib | ours, `.safetensors` |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from vprlib.config.methods import AggregatorConfig, BackboneConfig
from vprlib.config.recipe import ImageConfig

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
    clusters: int | None = None  # that the project's reader is built with; None: it is told
    dims: int | None = None  # of the PCA layer, likewise


FORMATS = {  # a format with a PCA layer comes before the one without
    "openibl_hub": PublishedFormat(
        "base_model.base.", "net_vlad.", MATCONVNET, projection="pca_layer.", clusters=64, dims=4096
    ),
    "openibl": PublishedFormat(
        "base_model.base.",
        "net_vlad.",
        MATCONVNET,
        prefix="module.",
        beside={"epoch": 0, "best_recall5": 0.0},
        clusters=64,
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


def export_fault(format: str, image: ImageConfig, backbone: BackboneConfig, aggregator: AggregatorConfig) -> str:
    """Return why a format cannot hold a network, and which recipe it can hold; empty if it can hold this one.

    Args:
        format: one of FORMATS.
        image: config section of the input.
        backbone: config section of the backbone.
        aggregator: config section of the aggregator.
    """
    form, netvlad = FORMATS[format], aggregator.name == NETVLAD
    pixels = [
        (ours, theirs)
        for part in ("mean", "std")
        for ours, theirs in zip(getattr(image, part), getattr(form.image, part), strict=True)
    ]
    reasons = [
        (not netvlad, f"holds NetVLAD, not {aggregator.name!r}"),
        (backbone.name not in form.backbones, f"holds {' or '.join(form.backbones)}, not {backbone.name!r}"),
        (
            netvlad and aggregator.option("bias") and not form.biased,
            "has no bias in the assignment (aggregator.options.bias)",
        ),
        (
            not all(isclose(ours, theirs, rel_tol=1e-5) for ours, theirs in pixels),
            f"is read by a project that normalises by the mean {rounded(form.image.mean)} and std "
            f"{rounded(form.image.std)}, not {rounded(image.mean)} and {rounded(image.std)}",
        ),
    ]
    reason = next((reason for wrong, reason in reasons if wrong), "")
    return f"the format {format!r} {reason}; it holds {exportable_recipe(format)}" if reason else ""


def exportable_recipe(format: str) -> str:
    """Return the recipe that a format holds, in the keys of a run."""
    form = FORMATS[format]
    keys = [f"backbone: {' or '.join(form.backbones)}"]
    clusters = f"of {form.clusters} clusters" if form.clusters else "of any number of clusters"
    keys.append(f"aggregator: {NETVLAD} {clusters}{'' if form.biased else ', without bias'}")
    keys.append(f"image: {{mean: {rounded(form.image.mean)}, std: {rounded(form.image.std)}}}")
    if form.projection:
        keys.append("extract.descriptors: [whitened]" + (f" of {form.dims} dimensions" if form.dims else ""))
    return "; ".join(keys)


def reader_differs(format: str, backbone: BackboneConfig, aggregator: AggregatorConfig, dims: int | None) -> str:
    """Return how a network differs from the one that the project's own code builds for the file; empty if it does not.

    Such a file is complete, but the other project reads it only if its code builds this network.

    Args:
        format: one of FORMATS.
        backbone: config section of the backbone, one that the format holds.
        aggregator: config section of its NetVLAD.
        dims: dimension of the PCA layer; None without one.
    """
    form, width, clusters = FORMATS[format], backbone.options.get("width", 1), aggregator.option("clusters")
    differ = [f"{backbone.name} of width {width:g}, not 1"] * (width != 1)
    differ += [f"{clusters} clusters, not {form.clusters}"] * (form.clusters not in (None, clusters))
    differ += [f"{dims} dimensions, not {form.dims}"] * (None not in (dims, form.dims) and dims != form.dims)
    return ", ".join(differ)


def rounded(values: Sequence[float]) -> str:
    """Format numbers with eight significant digits, so that they can be written into a configuration.

    >>> rounded((0.485, 1 / 3))
    '[0.485, 0.33333333]'
    """
    return "[" + ", ".join(f"{value:.8g}" for value in values) + "]"
