"""The sections that name a method and its options."""

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vprlib.config.base import Name, Section
from vprlib.config.options import check_options, options_of, traits_of
from vprlib.registry import DEFAULTS, check_name


def as_method(value: str | dict) -> dict:
    """Return a method's section in its long form: a name alone is `{"name": name}`."""
    return {"name": value} if isinstance(value, str) else value


def overlay(base: dict, changes: dict) -> dict:
    """Return `base` with `changes` laid over it, section by section; neither is modified.

    A section that gets another `name` (another backbone, another aggregator) inherits nothing of the old one's.

    >>> overlay({"loss": "triplet", "epochs": 5}, {"loss": {"options": {"margin": 0.2}}})
    {'loss': {'name': 'triplet', 'options': {'margin': 0.2}}, 'epochs': 5}
    """
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        if key in DEFAULTS:
            below = as_method(below) if isinstance(below, (str, dict)) else below
            value = as_method(value) if isinstance(value, (str, dict)) and isinstance(below, dict) else value
        if isinstance(below, dict) and isinstance(value, dict):
            default = DEFAULTS.get(key, {}).get("name")
            name = below.get("name", default)
            value = overlay(below, value) if value.get("name", name) == name else value
        result[key] = value
    return result


class MethodConfig(Section):
    """A method by its name, with the options of its own: `{name: ..., options: {...}}`, or the name alone.

    The options are the keyword arguments of the function or class that the registry names. Options equal to their
    default are left out, so that writing a default down does not change the hash of the recipe.
    """

    family: ClassVar[str]
    name: str = Field(description="registered name, or `package.module:Object` of your own package")
    options: dict[str, Any] = Field({}, description="keyword arguments of the method")

    @model_validator(mode="before")
    @classmethod
    def complete(cls, raw: Any) -> Any:
        """Accept a name alone; if only options are given, add the name of the default method."""
        if not isinstance(raw, (str, dict)):
            return raw
        named = {"name": DEFAULTS[cls.family]["name"]} if cls.family in DEFAULTS else {}
        return {"options": {}} | named | as_method(raw)

    @field_validator("name")
    @classmethod
    def check_registered(cls, name: str) -> str:
        """Check that the family has the method, and that its file has it."""
        check_name(cls.family, name)
        options_of(cls.family, name)
        return name

    @field_validator("options")
    @classmethod
    def check_signature(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Check the options by the method's signature."""
        name = info.data.get("name")  # missing if it has a fault of its own
        return cls.canonical(name, check_options(cls.family, name, options)) if name else options

    @classmethod
    def canonical(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options in the order of their names, without those that are the default."""
        known = options_of(cls.family, name)
        return {key: value for key, value in sorted(options.items()) if value != known[key].default}

    def option(self, name: str) -> Any:
        """Return the value of an option, or its default.

        Raises:
            KeyError: if the method has no such option.
        """
        return self.options[name] if name in self.options else options_of(self.family, self.name)[name].default

    def has_trait(self, trait: str) -> bool:
        """Whether the method has a trait of the registry."""
        return trait in traits_of(self.family, self.name)


class BackboneConfig(MethodConfig):
    """The network that computes local features, and its initial weights."""

    family: ClassVar[str] = "backbone"
    weights: Name = Field(
        "imagenet",
        description="initial weights: `imagenet` (torchvision's or timm's), `pretrain`, or a name of your own",
    )
    file: str | None = Field(None, description="file with a state dict of your own; `weights` is then its name")
    channel_order: Literal["rgb", "bgr"] = Field(
        "rgb",
        description="order of the channels that the weights of `file` take: `bgr` if blue is the first (Caffe)",
        exclude_if=lambda value: value == "rgb",
    )
    cache_name: Name | None = Field(
        None,
        description="name of the backbone in the paths of shared files; set it where runs must not share them",
    )

    @model_validator(mode="after")
    def check_file(self) -> Self:
        """Check that the user's own weights, and no others, have a file."""
        published = self.weights in ("imagenet", "pretrain")
        if not published and self.file is None:
            raise ValueError(f"weights {self.weights!r} are your own (not imagenet, pretrain), so they need a `file`")
        if published and self.file is not None:
            raise ValueError(
                f"`file` holds your own weights, so `weights` must be a name of your choice, not {self.weights!r}"
            )
        if self.file is None and self.channel_order != "rgb":
            raise ValueError("`channel_order` is that of the weights in a `file`; name one, or remove it")
        return self

    @property
    def path(self) -> str:
        """The backbone's name as a part of paths."""
        return self.cache_name or re.sub("[/:]", "-", self.name)


class AggregatorConfig(MethodConfig):
    """The layer that turns local features into one descriptor."""

    family: ClassVar[str] = "aggregator"


class LossConfig(MethodConfig):
    """The loss of a training tuple."""

    family: ClassVar[str] = "loss"


class RecipeMethodConfig(MethodConfig):
    """A method whose recipe has options that differ from the method's own defaults: all are kept as they are given."""

    @model_validator(mode="before")
    @classmethod
    def complete(cls, raw: Any) -> Any:
        """Complete as other methods do. The recipe's own method keeps the recipe's options that are not given."""
        if not isinstance(raw, (str, dict)):
            return raw
        default, given = DEFAULTS[cls.family], as_method(raw)
        return (
            overlay(default, given)
            if given.get("name", default["name"]) == default["name"]
            else {"options": {}} | given
        )

    @classmethod
    def canonical(cls, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options in the order of their names: the recipe's, and others that are not the default."""
        recipe = DEFAULTS[cls.family]["options"] if name == DEFAULTS[cls.family]["name"] else {}
        others = super().canonical(name, options)
        return {key: value for key, value in sorted(options.items()) if key in recipe or key in others}


class OptimiserConfig(RecipeMethodConfig):
    """An optimiser of `torch.optim` by its name."""

    family: ClassVar[str] = "optimiser"


class ScheduleConfig(RecipeMethodConfig):
    """A learning rate schedule of `torch.optim.lr_scheduler` by its name; it steps once per epoch."""

    family: ClassVar[str] = "schedule"
