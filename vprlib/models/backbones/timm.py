"""Any model of timm (PyTorch Image Models) by its name, with or without a tag: `timm/vit_small_patch14_dinov2.lvd142m`.

The features are those of one stage: of a convolutional network its map, of a vision transformer the patch tokens as a
map, without class and register tokens. Later stages are cut off. timm's models can't be cut in two everywhere, so a
model is frozen or trained as a whole.
"""

from difflib import get_close_matches

from torch import nn

from vprlib.exceptions import InputError
from vprlib.models.backbones.base import Backbone

INNER = "layers.0.model."  # what comes before timm's own names in the state dict
TRAINED = {"all": 0, "none": 1}  # the first layer, of one, that is trained


def timm_model(name: str, stage: int = -1, norm: bool = False, train_from: str = "none") -> Backbone:
    """Build a model of timm, untrained, up to a stage.

    Args:
        name: timm's.
        stage: which of timm's intermediate features, counted as `forward_intermediates` does: a block of a vision
            transformer, a resolution of a convolutional network; negative from the end.
        norm: pass a vision transformer's features through its final norm (DINOv2's `x_norm_patchtokens`).
        train_from: `none` or `all` of the model is trained.

    Raises:
        ValueError: if there is no such stage.
        InputError: if timm has no such model.
    """
    if train_from not in TRAINED:
        raise ValueError(f"train_from: {train_from!r} is not one of {', '.join(TRAINED)}")
    return TimmBackbone(name, stage, norm, cut=TRAINED[train_from])


class TimmBackbone(Backbone):
    """One layer, the model; it knows the photos that it was made for."""

    def __init__(self, name, stage, norm, *, cut):
        model, dynamic = create_timm_model(name)
        known = list(model.feature_info)
        if not -len(known) <= stage < len(known):
            raise ValueError(f"stage: {name} has stages 0 to {len(known) - 1}, not {stage}")
        channels, stride = known[stage]["num_chs"], known[stage]["reduction"]
        super().__init__([TimmStage(model, name, stage, norm)], cut=cut, channels=channels, stride=stride)
        self.name, self.made_for = name, model.pretrained_cfg
        fixed = self.made_for.get("fixed_input_size", False)
        self.multiple = model.patch_embed.patch_size if dynamic else (1, 1)
        self.only = self.made_for["input_size"][1:] if fixed and not dynamic else None

    def check_image(self, image, pretrained: bool):
        """Refuse photos of a size that the model cannot take, or not prepared as its weights expect.

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
    """(B, 3, H, W) -> (B, C, h, w): one of a model's intermediate features; what comes after it is cut off."""

    def __init__(self, model, name, stage, norm):
        super().__init__()
        (self.index,) = model.prune_intermediate_layers([stage], prune_norm=not norm, prune_head=True)
        self.model, self.name, self.norm = model, name, norm

    def forward(self, x_BCHW):
        wanted = {"indices": [self.index], "norm": self.norm, "output_fmt": "NCHW", "intermediates_only": True}
        try:
            return self.model.forward_intermediates(x_BCHW, stop_early=True, **wanted)[0]
        except AssertionError as error:
            size = "{} x {}".format(*x_BCHW.shape[2:])
            raise InputError(f"image: timm/{self.name} does not take {size} ({error})") from error


def create_timm_model(name: str, pretrained: bool = False) -> tuple:
    """A model of timm and whether it takes photos of any number of patches.

    Raises:
        InputError: if timm has none of the name, or none that tells its intermediate features.
    """
    import timm

    known = timm.list_models() + timm.list_pretrained()
    if name not in known:  # timm itself would also load from a hub or a folder, whatever lies there
        close = ", ".join(f"timm/{one}" for one in get_close_matches(name, known, n=3)) or "timm.list_models() has all"
        raise InputError(f"backbone.name: timm {timm.__version__} has no model {name!r}; {close}")
    for options in ({"dynamic_img_size": True}, {}):
        try:
            model = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
            break
        except TypeError:
            if not options:
                raise
    if not hasattr(model, "forward_intermediates"):
        raise InputError(f"backbone.name: timm/{name} does not tell its intermediate features")
    return model, bool(options)


def download_timm_weights(name: str, offline: bool = False) -> dict:
    """timm's pretrained weights, kept in its cache; `offline` looks there only.

    Raises:
        InputError: if there are none, or they cannot be had.
    """
    if offline:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True
    try:
        return create_timm_model(name, pretrained=True)[0].state_dict()
    except InputError:
        raise
    except Exception as error:  # whatever the client of the hub raises
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise InputError(
            f"timm's weights of {name} cannot be downloaded ({reason}); fetch them elsewhere and name them: "
            f"backbone: {{weights: timm, file: PATH}}"
        ) from error


def nearest_multiples(side: int, multiple: int) -> str:
    """The nearest multiples of a number, at most one on each side of it."""
    below = side // multiple * multiple
    return str(side) if below == side else f"{below} or {below + multiple}" if below else str(multiple)
