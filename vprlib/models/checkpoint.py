"""Save and load networks as safetensors files that carry their configuration and origin."""

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.config.options import options_of
from vprlib.exceptions import InputError
from vprlib.io.checksums import array_checksum
from vprlib.io.files import CHECKSUM, write_bytes
from vprlib.io.fingerprints import code_version, short_hash
from vprlib.io.safetensors_header import ATTRIBUTES, read_attributes
from vprlib.models.network import DescriptorNetwork, build_network


def load_weights(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a safetensors file into a module, strictly.

    Raises:
        InputError: naming the first tensors that are missing, unknown, of another shape or not finite.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
    attributes = read_attributes(path)
    if CHECKSUM in attributes and attributes[CHECKSUM] != state_checksum(state, attributes):
        raise InputError(
            f"{path}: its tensors have changed since they were written (checksum); delete the file, so that it is made "
            "again, and check the disk"
        )
    check_module_state(module, state, path)
    check_finite(state, path)
    module.load_state_dict(state)


def check_module_state(module: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Check that a state dict fits a module; see `check_tensors`."""
    check_tensors(module.state_dict(), state, path)


def check_tensors(
    own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]
) -> None:
    """Check that a state dict has the expected names and shapes.

    Args:
        own: the expected tensors by name.
        state: the tensors of a file.
        path: the file, for the error message.

    Raises:
        InputError: naming the first tensors that are missing, unknown or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{name} is missing" for name in expected if name not in shapes]
    wrong += [f"{name} is unknown" for name in shapes if name not in expected]
    for name, shape in expected.items():
        if shapes.get(name, shape) != shape:
            wrong.append(f"{name} is {shapes[name]}, not {shape}")
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise InputError(f"{path}: does not fit the network: {'; '.join(wrong[:3])}{more}")


def check_finite(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Check that no value of a state dict is NaN or infinite.

    Args:
        state: the tensors of a file, by name.
        path: the file, for the error message.

    Raises:
        InputError: naming the first tensor that has such values, and how many.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and (count := int((~torch.isfinite(tensor)).sum())):
            raise InputError(
                f"{path}: {name} has {count} values that are not finite, of {tensor.numel()}; the file is damaged, or "
                f"its training diverged: use another one"
            )


def write_weights(
    path: str | os.PathLike[str], state: Mapping[str, torch.Tensor], attributes: Mapping[str, Any]
) -> None:
    """Write tensors and attributes (as JSON) to a safetensors file, atomically. Equal content gives equal bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    described = dict(attributes) | {CHECKSUM: state_checksum(state, attributes)}
    write_bytes(path, save(state, metadata={ATTRIBUTES: json.dumps(described, sort_keys=True)}))


def state_checksum(state: Mapping[str, torch.Tensor], attributes: Mapping[str, Any]) -> str:
    """Return hexadecimal digits that change with any bit of any tensor, and with the attributes (`array_checksum`)."""
    sums = {name: array_checksum(tensor.reshape(-1).view(torch.uint8).numpy()) for name, tensor in state.items()}
    return short_hash(
        {"tensors": sums, "attributes": {name: attributes[name] for name in attributes if name != CHECKSUM}}
    )


def save_checkpoint(
    path: str | os.PathLike[str],
    model: DescriptorNetwork,
    backbone: BackboneConfig,
    aggregator: AggregatorConfig,
    **attributes: Any,
) -> None:
    """Write a network with the config sections that rebuild it, the code's version and further attributes."""
    sections = {"image": model.image, "backbone": backbone, "aggregator": aggregator}
    described = {name: section.model_dump(mode="json") for name, section in sections.items()}
    write_weights(path, model.state_dict(), described | attributes | code_version())


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[DescriptorNetwork, dict[str, Any]]:
    """Read a checkpoint.

    Returns:
        (network, attributes), with the config sections of today for older checkpoints.

    Raises:
        InputError: if the file is no checkpoint, or its tensors do not fit the network that it describes.
    """
    attributes = read_attributes(path)
    if "backbone" not in attributes:
        raise InputError(f"{path}: carries no description of its network; it was not written by `train`")
    attributes |= _current_sections(attributes)
    model = build_network(
        ImageConfig(**attributes["image"]),
        BackboneConfig(**attributes["backbone"]),
        AggregatorConfig(**attributes["aggregator"]),
    )
    load_weights(model, path)
    return model, attributes


def _current_sections(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sections `backbone` and `aggregator` of a checkpoint as today's configuration writes them.

    Older checkpoints have the backbone's `cache_name` under `label`, and the options of the aggregator beside its name.
    """
    backbone, aggregator = dict(attributes["backbone"]), dict(attributes["aggregator"])
    if "label" in backbone:
        backbone["cache_name"] = backbone.pop("label")
    if "options" not in aggregator:
        name = aggregator.pop("name")
        known = options_of("aggregator", name)
        aggregator = {"name": name, "options": {key: aggregator[key] for key in aggregator if key in known}}
    return {"backbone": backbone, "aggregator": aggregator}
