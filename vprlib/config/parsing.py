"""From the raw dict that Snakemake gives to a checked Config."""

from pydantic import ValidationError

from vprlib.config.base import Section, explain_error, join_faults
from vprlib.config.experiment import Config
from vprlib.config.recipe import RunConfig, overlay
from vprlib.exceptions import InputError


def parse_config(raw: dict) -> Config:
    """Check the raw configuration: `base` is one recipe, `runs` name overlays of it, the rest are Config's keys.

    Raises:
        InputError: one line for all that is wrong (as `together`), each with its key, the value, what is allowed and,
            for a misspelt key, the closest known one.
    """
    raw = {key: value for key, value in raw.items() if value is not None}
    base, runs = raw.pop("base", {}), raw.get("runs") or {}
    named = runs.items() if isinstance(runs, dict) else ()
    for key, value in (("base", base), ("runs", runs), *((f"runs.{name}", run or {}) for name, run in named)):
        if not isinstance(value, dict):
            raise InputError(f"config: {key} must hold keys, not {value!r}")
    raw["runs"] = {name: overlay(base, changes or {}) for name, changes in runs.items()}
    _, wrong = _validate(RunConfig, overlay({"train_set": "city"}, base))
    config, others = _validate(Config, raw)
    known = {error["loc"] for error in wrong}
    others = [error for error in others if error["loc"][:1] != ("runs",) or error["loc"][2:] not in known]
    if wrong or others:
        briefly = len(wrong + others) > 1
        said = [explain_error(RunConfig, error, "base.", briefly) for error in wrong]
        raise InputError(
            f"config: {join_faults(said + [explain_error(Config, error, '', briefly) for error in others])}"
        )
    return config


def _validate(section: type[Section], raw: dict) -> tuple:
    """The section and no errors, or None and pydantic's errors, without those that follow from one further down."""
    try:
        return section.model_validate(raw), []
    except ValidationError as errors:
        found = errors.errors()
        above = {error["loc"][:depth] for error in found for depth in range(len(error["loc"]))}
        return None, [error for error in found if error["loc"] not in above]
