"""Turn the raw dictionary that Snakemake reads into a validated `Config`."""

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vprlib.config.base import Section, explain_error, join_faults
from vprlib.config.experiment import Config
from vprlib.config.methods import overlay
from vprlib.config.recipe import RunConfig
from vprlib.config.untrained import without_training
from vprlib.exceptions import InputError
from vprlib.registry import trust

AnySection = TypeVar("AnySection", bound=Section)


def parse_config(raw: dict[str, Any]) -> Config:
    """Validate a raw configuration: `base` is a recipe, `runs` are changes to it, other keys are those of `Config`.

    A run without `train_set` is completed by `without_training`.

    Raises:
        InputError: in one line, every fault with its key, the value, what is allowed and, for a misspelt key, the
            closest known one.
    """
    raw = {key: value for key, value in raw.items() if value is not None}
    base, runs = raw.pop("base", {}), raw.get("runs") or {}
    named = runs.items() if isinstance(runs, dict) else ()
    for key, value in (("base", base), ("runs", runs), *((f"runs.{name}", run or {}) for name, run in named)):
        if not isinstance(value, dict):
            raise InputError(f"config: {key}: must be a mapping of keys, not {value!r}")
    recipes = {name: overlay(base, changes or {}) for name, changes in runs.items()}
    raw["runs"] = {name: without_training(name, recipe, raw.get("datasets")) for name, recipe in recipes.items()}
    _, wrong = _validate(RunConfig, base)
    config, others = _validate(Config, raw)
    known = {error["loc"] for error in wrong}
    others = [error for error in others if error["loc"][:1] != ("runs",) or error["loc"][2:] not in known]
    if config is None or wrong or others:
        briefly = len(wrong + others) > 1
        said = [explain_error(RunConfig, error, "base.", briefly) for error in wrong]
        raise InputError(
            f"config: {join_faults(said + [explain_error(Config, error, '', briefly) for error in others])}"
        )
    trust(*config.outside_methods)
    return config


def _validate(section: type[AnySection], raw: dict) -> tuple[AnySection | None, list[ErrorDetails]]:
    """Return the section and no errors, or None and pydantic's errors less those that follow from a deeper one."""
    try:
        return section.model_validate(raw), []
    except ValidationError as errors:
        found = errors.errors()
        above = {error["loc"][:depth] for error in found for depth in range(len(error["loc"]))}
        return None, [error for error in found if error["loc"] not in above]
