"""Any model of timm (PyTorch Image Models) as a backbone: `timm/` and its name, with or without a tag.

An example is `timm/vit_small_patch14_dinov2.lvd142m`. The local features are those of one stage: the feature map of a
convolutional network, or the patch tokens of a vision transformer as a map, without class and register tokens. Later
stages are cut off. Not every model of timm can be cut in two, so a model is frozen or trained as a whole.

Axes: B images, C channels, H x W positions.
"""

from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import nn

from vprlib.config import ImageConfig
from vprlib.exceptions import InputError
from vprlib.models.backbones.base import Backbone

INNER = "layers.0.model."  # prefix of timm's own names in the state dict
TRAINED = {"all": 0, "none": 1}  # number of the first trained layer; the model is layer 0


def timm_model(name: str, stage: int = -1, norm: bool = False, train_from: Literal["none", "all"] = "none") -> Backbone:
    """Build an untrained model of timm up to a stage.

    Args:
        name: timm's name of the model.
        stage: which of timm's intermediate features, counted as `forward_intermediates` does: a block of a vision
            transformer, a resolution of a convolutional network; negative numbers count from the end.
        norm: pass a vision transformer's features through its final norm (DINOv2's `x_norm_patchtokens`).
        train_from: `none` or `all` of the model is trained.

    Raises:
        ValueError: if there is no such stage.
        InputError: if timm has no such model, or the model gives no intermediate features.
    """
    if train_from not in TRAINED:
        raise ValueError(f"train_from: {train_from!r} is not one of {', '.join(TRAINED)}")
    return TimmBackbone(name, stage, norm, cut=TRAINED[train_from])


class TimmBackbone(Backbone):
    """A backbone whose only layer is a model of timm; it checks the size and normalisation of photos."""

    def __init__(self, name: str, stage: int, norm: bool, *, cut: int) -> None:
        model, dynamic = create_timm_model(name)
        stages = list(model.feature_info)
        if not -len(stages) <= stage < len(stages):
            raise ValueError(f"stage: {name} has stages 0 to {len(stages) - 1}, not {stage}")
        channels, stride = stages[stage]["num_chs"], stages[stage]["reduction"]
        super().__init__([TimmStage(model, name, stage, norm)], cut=cut, channels=channels, stride=stride)
        self.name, self.made_for = name, model.pretrained_cfg
        fixed = self.made_for.get("fixed_input_size", False)
        self.multiple = model.patch_embed.patch_size if dynamic else (1, 1)
        self.only = self.made_for["input_size"][1:] if fixed and not dynamic else None

    @property
    def usual_image(self) -> ImageConfig:
        """Return the mean and std of the model, and the default size, or the nearest smaller one that it takes."""
        default = ImageConfig()
        sides = [side // multiple * multiple for side, multiple in zip(default.size, self.multiple, strict=True)]
        height, width = self.only or sides
        return ImageConfig(height=height, width=width, mean=self.made_for["mean"], std=self.made_for["std"])

    def check_image(self, image: ImageConfig, pretrained: bool) -> None:
        """Check that the model takes this size and, if `pretrained`, that its weights expect this mean and std.

        Raises:
            InputError: with the nearest sizes, or the mean and std to set.
        """
        if self.only and image.size != self.only:
            height, width = self.only
            raise InputError(
                f"image: timm/{self.name} takes {height} x {width} only, not {image.height} x {image.width}; "
                f"set image: {{height: {height}, width: {width}}}"
            )
        if any(side % multiple for side, multiple in zip(image.size, self.multiple, strict=True)):
            height, width = (nearest_multiples(*pair) for pair in zip(image.size, self.multiple, strict=True))
            raise InputError(
                f"image: timm/{self.name} takes multiples of {self.multiple[0]} x {self.multiple[1]} pixels, not "
                f"{image.height} x {image.width}; the nearest: height {height}, width {width}"
            )
        mean, std = self.made_for["mean"], self.made_for["std"]
        if pretrained and max(abs(a - b) for a, b in zip((*image.mean, *image.std), (*mean, *std), strict=True)) > 1e-3:
            raise InputError(
                f"image: timm's weights of {self.name} were trained with another mean and std; "
                f"set image: {{mean: {[*mean]}, std: {[*std]}}}"
            )


class TimmStage(nn.Module):
    """(B, 3, H, W) photos -> (B, C, h, w), one of a model's intermediate features; later layers are cut off."""

    def __init__(self, model: Any, name: str, stage: int, norm: bool) -> None:
        super().__init__()
        (self.index,) = model.prune_intermediate_layers([stage], prune_norm=not norm, prune_head=True)
        self.model, self.name, self.norm = model, name, norm

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the features.

        Raises:
            InputError: if the model does not take photos of this size.
        """
        options = {"indices": [self.index], "norm": self.norm, "output_fmt": "NCHW", "intermediates_only": True}
        try:
            return self.model.forward_intermediates(x_BCHW, stop_early=True, **options)[0]
        except AssertionError as error:
            size = "{} x {}".format(*x_BCHW.shape[2:])
            raise InputError(f"image: timm/{self.name} does not take {size} ({error})") from error


def create_timm_model(name: str, pretrained: bool = False) -> tuple[Any, bool]:
    """Create a model of timm.

    Returns:
        The model, and whether it takes photos of any number of patches.

    Raises:
        InputError: if timm is not installed, has no model of this name, or the model gives no intermediate features.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise InputError(
            f"backbone.name: timm/{name} needs the package timm, which is not installed; "
            f"run `pip install 'vprlib[timm]'`"
        ) from error

    names = timm.list_models() + timm.list_pretrained()
    if name not in names:  # timm itself would also load any model from a hub or a folder
        close = ", ".join(f"timm/{match}" for match in get_close_matches(name, names, n=3))
        raise InputError(
            f"backbone.name: timm {timm.__version__} has no model {name!r}; {close or 'timm.list_models() has all'}"
        )
    attempts: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {})
    for options in attempts:
        try:
            model = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
            break
        except TypeError:
            if not options:
                raise
    if not hasattr(model, "forward_intermediates"):
        raise InputError(f"backbone.name: timm/{name} gives no intermediate features; use another model")
    return model, bool(options)


def download_timm_weights(name: str, offline: bool = False) -> dict[str, torch.Tensor]:
    """Return timm's pretrained weights, from its cache or downloaded; from the cache only if `offline`.

    Raises:
        InputError: if there are none, or they cannot be downloaded.
    """
    if offline:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True
    try:
        return create_timm_model(name, pretrained=True)[0].state_dict()
    except InputError:
        raise
    except Exception as error:  # the hub's client can raise anything
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise InputError(
            f"timm's weights of {name} cannot be downloaded ({reason}); fetch them elsewhere and name them: "
            f"backbone: {{weights: timm, file: PATH}}, with the model's mean and std under `image`"
        ) from error


def nearest_multiples(side: int, multiple: int) -> str:
    """Return the nearest multiples of `multiple` above 0, at most one on each side of `side`, as text.

    >>> nearest_multiples(480, 14), nearest_multiples(490, 14), nearest_multiples(9, 14)
    ('476 or 490', '490', '14')
    """
    below = side // multiple * multiple
    return str(side) if below == side else f"{below} or {below + multiple}" if below else str(multiple)
