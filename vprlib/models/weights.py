"""A backbone's initial weights: torchvision's, timm's, or a state dict of one's own, as one safetensors file."""

import pickle
import re
import sys
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vprlib.config import BackboneConfig
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.backbones.timm import INNER, TimmBackbone, download_timm_weights
from vprlib.models.checkpoint import check_module_state, write_weights
from vprlib.models.network import build_backbone

STAGES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6}  # of torchvision's ResNets, as our layer numbers
OURS = re.compile(r"layers\.(\d+)\.")
PREFIXES = re.compile(r"^(?:module\.)?(?:features\.|layers\.)?(\d+\.)")
GLOBAL = re.compile(r"GLOBAL (\S+)")  # what torch's safe unpickler says of a class or function that it does not know


class IgnoredScalar:
    """Stands for a NumPy scalar and its type, such as the best recall beside a state dict; nothing of it is read."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


SCALARS = [
    (IgnoredScalar, name) for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def fetch_weights(out, backbone: BackboneConfig, *, offline: bool = False):
    """Write the weights that a backbone's section names.

    Source names may be torchvision's (`features.0.weight`, `layer1.0.conv1.weight`), a bare stack's (`0.weight`, the
    MatConvNet VGG16 file), timm's for a model of timm, or ours; layers beyond the backbone's end, such as classifiers,
    are left out.

    Raises:
        InputError: the file cannot be had or read, or its layers do not fit (the first of them named).
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
    check_module_state(network, state, source)
    attributes = {
        "backbone": backbone.model_dump(mode="json"),
        "sha256": sha256_of_file(backbone.file) if backbone.file else None,
    }
    write_weights(out, state, attributes)


def stack_state(state: dict, network) -> dict:
    """What a state dict has of a stack's layers, by their names."""
    last = max(int(name.split(".")[1]) for name in network.state_dict())
    renamed = {to_our_tensor_name(name): tensor for name, tensor in state.items()}
    return {name: renamed[name] for name in renamed if (ours := OURS.match(name)) and int(ours[1]) <= last}


def timm_state(state: dict, network) -> dict:
    """What a state dict has of a timm model up to the stage that is used."""
    own = network.state_dict()
    plain = {name.removeprefix("module.").removeprefix(INNER): state[name] for name in state}
    return {INNER + name: plain[name] for name in plain if INNER + name in own}


def to_our_tensor_name(name: str) -> str:
    """Another project's name of a tensor -> ours, `layers.<number>.…`; unknown ones stay as they are."""
    if match := PREFIXES.match(name):
        return "layers." + name[match.start(1) :]
    stage, _, rest = name.removeprefix("module.").partition(".")
    return f"layers.{STAGES[stage]}.{rest}" if stage in STAGES else name


def read_state_dict(path) -> dict:
    """Read a state dict: safetensors, or a torch file that holds nothing but tensors and plain containers.

    What lies beside a `state_dict`, such as an optimiser's state, is left.

    Raises:
        InputError: if it cannot be read so; a class or function that the file wants called is named.
    """
    try:
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
                f"{path}: holds {code[1]}, which only a full unpickling would load; that runs whatever code a file "
                f"brings, so it is never done. Whoever trusts the file can save its state dict alone"
            ) from error
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise InputError(f"{path}: cannot be read as a file of weights alone ({reason})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path}: holds no state dict")
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()):
        raise InputError(f"{path}: holds no state dict, but other things beside tensors")
    return state


def download_torchvision_weights(name: str, offline: bool = False) -> dict:
    """torchvision's ImageNet weights, checked by the hash in their name and kept in torch's cache.

    Raises:
        InputError: they cannot be had, or are not in the cache and the network is forbidden.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    kept = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/")[-1])
    if offline and not kept.exists():
        raise InputError(
            f"{kept}: is not here, and the network is forbidden (offline); fetch {weights.url} elsewhere and put it "
            f"there"
        )
    try:
        return weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{weights.url}: cannot be downloaded ({error}); fetch it elsewhere and name it: "
            f"backbone: {{weights: torchvision, file: PATH}}"
        ) from error
