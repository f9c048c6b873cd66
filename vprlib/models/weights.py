"""Fetch a backbone's initial weights: torchvision's, timm's or a user's state dict, written as one safetensors file."""

import logging
import os
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from vprlib.config import BackboneConfig, ImageConfig
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.backbones.timm import INNER, TimmBackbone, download_timm_weights
from vprlib.models.checkpoint import check_finite, check_module_state, write_weights
from vprlib.models.network import build_backbone
from vprlib.models.pixels import doubt_pixels

log = logging.getLogger(__name__)


STAGES = {
    "conv1": 0,
    "bn1": 1,
    "layer1": 4,
    "layer2": 5,
    "layer3": 6,
}  # torchvision's names in ResNets -> our layer numbers
OURS = re.compile(r"layers\.(\d+)\.")
PREFIXES = re.compile(r"^(?:module\.)?(?:features\.|layers\.)?(\d+\.)")
GLOBAL = re.compile(r"GLOBAL (\S+)")  # torch's safe unpickler so names a class or function that it refuses


class IgnoredScalar:
    """Placeholder for a NumPy scalar and its type, such as the best recall beside a state dict. It stores nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (IgnoredScalar, name) for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def fetch_weights(
    out: str | os.PathLike[str], backbone: BackboneConfig, *, image: ImageConfig | None = None, offline: bool = False
) -> None:
    """Write the initial weights that a backbone's config section names.

    Names in the source may be torchvision's (`features.0.weight`, `layer1.0.conv1.weight`), those of a bare stack
    (`0.weight`, the MatConvNet VGG16 file), timm's for a model of timm, or ours. Layers beyond the backbone's end, such
    as classifiers, are left out.

    Args:
        out: the safetensors file to write.
        backbone: config section of the backbone.
        image: section of the mean and std. If it is given, a warning is logged where the usual ones suit better.
        offline: use the local cache only.

    Raises:
        InputError: if the weights cannot be downloaded or read, or do not fit; the first misfits are named.
    """
    network = build_backbone(backbone)
    source = backbone.file or f"{backbone.name} {backbone.weights}"
    if isinstance(network, TimmBackbone):
        state = read_state_dict(backbone.file) if backbone.file else download_timm_weights(network.name, offline)
        state = timm_state(state, network)
    else:
        state = (
            read_state_dict(backbone.file) if backbone.file else download_torchvision_weights(backbone.name, offline)
        )
        state = stack_state(state, network)
    if backbone.channel_order == "bgr":
        state = with_red_first(state)
    check_module_state(network, state, source)
    if image:
        network.load_state_dict(state)
        if doubt := doubt_pixels(network, image):
            log.warning("%s: %s", source, doubt)
    attributes = {
        "backbone": backbone.model_dump(mode="json"),
        "sha256": sha256_of_file(backbone.file) if backbone.file else None,
    }
    write_weights(out, state, attributes)


def with_red_first(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict whose first convolution takes red first, of one that takes blue first.

    The photos then stay red, green and blue for every network.

    Raises:
        InputError: if no tensor is that of a convolution of three channels.
    """
    for name, tensor in state.items():
        if tensor.ndim == 4 and tensor.shape[1] == 3:
            return {**state, name: tensor.flip(1)}
    raise InputError("backbone.channel_order: no convolution of the file takes photos of three channels; remove it")


def stack_state(state: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict that belong to the layers of a stack, under our names."""
    last = max(int(name.split(".")[1]) for name in network.state_dict())
    renamed = {to_our_tensor_name(name): tensor for name, tensor in state.items()}
    return {name: renamed[name] for name in renamed if (ours := OURS.match(name)) and int(ours[1]) <= last}


def timm_state(state: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict that belong to a timm model, up to the stage used, under our names."""
    own = network.state_dict()
    plain = {name.removeprefix("module.").removeprefix(INNER): state[name] for name in state}
    return {INNER + name: plain[name] for name in plain if INNER + name in own}


def to_our_tensor_name(name: str) -> str:
    """Translate another project's name of a tensor to ours, `layers.<number>.…`; unknown names are returned unchanged.

    >>> to_our_tensor_name("features.0.weight"), to_our_tensor_name("layer1.0.conv1.weight")
    ('layers.0.weight', 'layers.4.0.conv1.weight')
    """
    if match := PREFIXES.match(name):
        return "layers." + name[match.start(1) :]
    stage, _, rest = name.removeprefix("module.").partition(".")
    return f"layers.{STAGES[stage]}.{rest}" if stage in STAGES else name


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read a state dict from safetensors, or from a torch file that holds only tensors and plain containers.

    Anything beside a `state_dict`, such as an optimiser's state, is ignored.

    Raises:
        InputError: if the file holds no state dict, a value in it is not finite, or reading it would call a class or
            function, which is named.
    """
    try:
        state: Any
        if str(path).endswith(".safetensors"):
            state = load_file(path)
        else:
            with torch.serialization.safe_globals(SCALARS):
                state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        if code := GLOBAL.search(str(error)):
            raise InputError(
                f"{path}: holds {code[1]}, which only a full unpickling would load; that would run any code in the "
                f"file, so it is never done. If you trust the file, save its state dict alone"
            ) from error
        reason = f"{type(error).__name__} {error}".splitlines()[0].split(". ")[0]  # torch adds long advice
        raise InputError(
            f"{path}: cannot be read as safetensors, or as a torch file that holds only tensors ({reason})"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path}: holds no state dict")
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()):
        raise InputError(f"{path}: holds no state dict, but other things beside tensors")
    check_finite(state, path)
    return state


def download_torchvision_weights(name: str, offline: bool = False) -> dict[str, torch.Tensor]:
    """Return torchvision's ImageNet weights, from torch's cache or downloaded and checked by the hash in their name.

    Args:
        name: torchvision's name of the model.
        offline: use the cache only.

    Raises:
        InputError: if they cannot be downloaded, or are not in the cache and `offline` is set.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    cached = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/")[-1])
    if offline and not cached.exists():
        raise InputError(
            f"{cached}: is missing, and downloads are disabled (offline); fetch {weights.url} elsewhere and put it "
            f"there"
        )
    try:
        return weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{weights.url}: cannot be downloaded ({error}); fetch it elsewhere and name it: "
            f"backbone: {{weights: torchvision, file: PATH}}, image: {{mean: [0.485, 0.456, 0.406], std: "
            f"[0.229, 0.224, 0.225]}}"
        ) from error
