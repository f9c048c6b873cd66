"""Save and load networks as safetensors files that carry their configuration and origin."""

import json

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes
from vprlib.io.fingerprints import code_version
from vprlib.models.network import DescriptorNetwork, build_network


def load_weights(module: nn.Module, path):
    """Load a safetensors file into a module, strictly.

    Raises:
        InputError: naming the first tensors that are missing, unknown or of another shape.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
    check_module_state(module, state, path)
    module.load_state_dict(state)


def check_module_state(module: nn.Module, state: dict, path):
    """As `check_tensors`, of a module."""
    check_tensors(module.state_dict(), state, path)


def check_tensors(own: dict, state: dict, path):
    """Hold the names and shapes of a state dict against those that are wanted.

    Raises:
        InputError: naming the first tensors that are missing, unknown or of another shape.
    """
    own = {name: tuple(tensor.shape) for name, tensor in own.items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{name} is missing" for name in own if name not in given]
    wrong += [f"{name} is unknown" for name in given if name not in own]
    wrong += [f"{name} is {given[name]}, not {own[name]}" for name in own if given.get(name, own[name]) != own[name]]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise InputError(f"{path}: does not fit the network: {'; '.join(wrong[:3])}{more}")


def write_weights(path, state: dict, attributes: dict):
    """Write tensors and JSON attributes as safetensors, atomically; the same content gives the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    write_bytes(path, save(state, metadata={"vprlib": json.dumps(attributes, sort_keys=True)}))


def save_checkpoint(
    path, model: DescriptorNetwork, backbone: BackboneConfig, aggregator: AggregatorConfig, **attributes
):
    """Write a network with the sections that rebuild it, the code's version, and what else describes it."""
    sections = {"image": model.image, "backbone": backbone, "aggregator": aggregator}
    described = {name: section.model_dump(mode="json") for name, section in sections.items()}
    write_weights(path, model.state_dict(), described | attributes | code_version())


def load_checkpoint(path) -> tuple:
    """Return (network, attributes) of a checkpoint.

    Raises:
        InputError: if it is none, or does not fit the network that it describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            attributes = json.loads((file.metadata() or {}).get("vprlib", "{}"))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
    if "backbone" not in attributes:
        raise InputError(f"{path}: carries no description of its network; it was not written by `train`")
    model = build_network(
        ImageConfig(**attributes["image"]),
        BackboneConfig(**attributes["backbone"]),
        AggregatorConfig(**attributes["aggregator"]),
    )
    load_weights(model, path)
    return model, attributes
