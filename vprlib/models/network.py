"""A descriptor network: backbone and aggregator; and its checkpoint, which carries what it was made from."""

import inspect
import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from vprlib import registry
from vprlib.config import Aggregator, Backbone, Image
from vprlib.images.loader import normalise
from vprlib.io import files
from vprlib.io.files import BadInput


class Descriptor(nn.Module):
    """(B, 3, H, W) normalised photos -> (B, dim) L2-normalised descriptors.

    Normalisation layers always use their stored statistics, so a descriptor does not depend on its batch mates.
    """

    def __init__(self, image: Image, backbone: nn.Module, aggregator: nn.Module):
        super().__init__()
        self.image, self.backbone, self.aggregator = image, backbone, aggregator
        self.eval()

    @property
    def dim(self) -> int:
        return self.aggregator.dim

    def train(self, mode: bool = True):
        return super().train(False)

    def forward(self, x_BCHW):
        return self.aggregator(self.backbone(x_BCHW))

    def describe(self, batch_BCHW, device, bf16: bool = False):
        """Descriptors of a batch as its source yields it; convolutions in bfloat16 if so asked, the rest in float32."""
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            x_BCHW = features(self.backbone, batch_BCHW, self.image, device)
        return self.aggregator(x_BCHW.float())


def features(backbone, batch_BCHW, image: Image, device):
    """Local features of a batch as its source yields it: uint8 photos, or float16 activations of the trunk."""
    return backbone.head(activations(backbone, batch_BCHW, image, device))


def activations(backbone, batch_BCHW, image: Image, device):
    """The trunk's activations of a batch: of float16 ones the copy in float32, of photos in [0, 255] the trunk's."""
    if batch_BCHW.dtype == torch.float16:
        x_BCHW = batch_BCHW.to(device, non_blocking=True)
        return x_BCHW.to(torch.float32, memory_format=torch.channels_last)
    return backbone.trunk(normalise(batch_BCHW, image, device))


def device(name: str) -> torch.device:
    """`auto` is the first GPU, if there is one.

    Raises:
        BadInput: if a GPU is asked for by name and there is none, or no device has that name.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(f"device {name!r}: torch sees no GPU; use 'auto' or 'cpu'")
    try:
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise BadInput(f"device {name!r}: use 'auto', 'cpu', 'cuda' or 'cuda:<number>'") from error


def build_backbone(backbone: Backbone, image: Image | None = None) -> nn.Module:
    """Build an untrained backbone from its config section; its normalisation layers use their stored statistics.

    Raises:
        BadInput: if it does not take one of the options, or photos of the section `image`.
    """
    build = registry.load("backbone", backbone.name)
    known = inspect.signature(build).parameters
    unknown = [option for option in backbone.options if option not in known]
    if unknown:
        hint = registry.suggestion(unknown[0], known)
        raise BadInput(f"backbone.options: {backbone.name} has no option {unknown[0]!r}; {hint}")
    try:
        network = build(**backbone.options).eval()
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"backbone.options: {error}") from error
    if image:
        network.check_image(image, pretrained=backbone.weights == "imagenet")
    return network


def build(image: Image, backbone: Backbone, aggregator: Aggregator) -> Descriptor:
    """Build an untrained network from its config sections."""
    network = build_backbone(backbone, image)
    make = registry.load("aggregator", aggregator.name)
    taken = inspect.signature(make).parameters
    options = {name: value for name, value in aggregator.model_dump().items() if name in taken}
    return Descriptor(image, network, make(network.channels, **options)).to(memory_format=torch.channels_last)


def load_weights(module: nn.Module, path):
    """Load a safetensors file into a module, strictly.

    Raises:
        BadInput: naming the first tensors that are missing, unknown or of another shape.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: cannot be read as safetensors ({error})") from error
    check_state(module, state, path)
    module.load_state_dict(state)


def check_state(module: nn.Module, state: dict, path):
    """As `check_tensors`, of a module."""
    check_tensors(module.state_dict(), state, path)


def check_tensors(own: dict, state: dict, path):
    """Hold the names and shapes of a state dict against those that are wanted.

    Raises:
        BadInput: naming the first tensors that are missing, unknown or of another shape.
    """
    own = {name: tuple(tensor.shape) for name, tensor in own.items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{name} is missing" for name in own if name not in given]
    wrong += [f"{name} is unknown" for name in given if name not in own]
    wrong += [f"{name} is {given[name]}, not {own[name]}" for name in own if given.get(name, own[name]) != own[name]]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise BadInput(f"{path}: does not fit the network: {'; '.join(wrong[:3])}{more}")


def write_weights(path, state: dict, attributes: dict):
    """Write tensors and JSON attributes as safetensors, atomically; the same content gives the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}
    files.write_bytes(path, save(state, metadata={"vprlib": json.dumps(attributes, sort_keys=True)}))


def save_checkpoint(path, model: Descriptor, backbone: Backbone, aggregator: Aggregator, **attributes):
    """Write a network with the sections that rebuild it, the code's version, and what else describes it."""
    sections = {"image": model.image, "backbone": backbone, "aggregator": aggregator}
    described = {name: section.model_dump(mode="json") for name, section in sections.items()}
    write_weights(path, model.state_dict(), described | attributes | files.provenance())


def load_checkpoint(path) -> tuple:
    """Return (network, attributes) of a checkpoint.

    Raises:
        BadInput: if it is none, or does not fit the network that it describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            attributes = json.loads((file.metadata() or {}).get("vprlib", "{}"))
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: cannot be read as safetensors ({error})") from error
    if "backbone" not in attributes:
        raise BadInput(f"{path}: carries no description of its network; it was not written by `train`")
    model = build(
        Image(**attributes["image"]), Backbone(**attributes["backbone"]), Aggregator(**attributes["aggregator"])
    )
    load_weights(model, path)
    return model, attributes
