"""The formats of checkpoints that other projects published: how they name and shape the parts of a network.

The formats are those of `vprlib.config.published`. All these networks normalise conv5 before its ReLU over its
channels, apply NetVLAD's softmax and residuals, normalise per cluster, flatten cluster by cluster and normalise. The
PCA layer is a product, an offset and another normalisation. The conv weight and the centroids of a trained file are
independent parameters, so both are read. The `module.` of training on several GPUs may stand anywhere in a name.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from vprlib.config import AggregatorConfig, BackboneConfig
from vprlib.config.published import FORMATS, NETVLAD, PublishedFormat
from vprlib.exceptions import InputError
from vprlib.models.network import DescriptorNetwork


def strip_module_prefix(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Return a state dict in float32, without the `module` that parallel training inserts into the names.

    Raises:
        InputError: if a name occurs with and without it.
    """
    plain = {}
    for name, tensor in state.items():
        short = ".".join(part for part in name.split(".") if part != "module")
        if short in plain:
            raise InputError(f"{path}: holds {short} twice, with and without `module.`; remove one of them")
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
        f"{path}: has no known format (vprlib, {', '.join(FORMATS)}); its first tensors are "
        f"{', '.join([*state][:3])}; if it holds only a backbone, name it in backbone.file"
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
            f"the file mixes parts of two checkpoints (Patch-NetVLAD: mapillary has 16, pittsburgh 64)"
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
