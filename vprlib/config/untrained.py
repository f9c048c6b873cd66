"""Runs that name no training set: they are not trained, and need nothing but the dataset that they are evaluated on.

This depends on the configuration only: no photo is read to find out whether a dataset has a train split.
"""

from collections.abc import Mapping
from typing import Any

from vprlib.config.experiment import Config
from vprlib.config.methods import overlay
from vprlib.exceptions import InputError

DEFAULTS = {
    "centroids": {"split": "test", "roles": ["database"]},
    "cache_frozen_features": "never",  # of the train and val splits
    "train": {"epochs": 0},
    "extract": {"descriptors": ["raw"]},
}


def without_training(name: str, recipe: dict[str, Any], datasets: Any) -> dict[str, Any]:
    """Return the recipe of a run; if it names no `train_set`, complete it so that it is not trained.

    What the recipe gives has precedence over these defaults. A published network is completed by the `train_set` only,
    of which it uses nothing.

    Args:
        name: the name of the run, for messages.
        recipe: its sections, as given.
        datasets: the datasets that it is evaluated on, as given.

    Raises:
        InputError: if the recipe wants something that needs training photos, or centroids and there are several
            datasets.
    """
    if recipe.get("descriptors") is not None:  # computed elsewhere
        return recipe
    if recipe.get("train_set") is not None or not isinstance(datasets, list | tuple) or not datasets:
        return recipe
    if wanted := _needs_training_photos(recipe):
        raise InputError(
            f"config: runs.{name}.train_set: missing, and {wanted} needs training photos; name the dataset to train on"
        )
    if recipe.get("checkpoint"):
        return recipe | {"train_set": datasets[0]}
    if len(datasets) > 1:
        raise InputError(
            f"config: runs.{name}.train_set: missing; there are {len(datasets)} datasets, so name the one that it is "
            "trained on or, with train.epochs: 0, takes its centroids from"
        )
    return overlay(DEFAULTS, recipe | {"train_set": datasets[0]})


def untrained_runs(raw: Mapping[str, Any], config: Config) -> list[str]:
    """Return a line for the runs that are not trained because they name no training set, with the defaults they take.

    Args:
        raw: the configuration as it was given.
        config: the same, parsed.
    """
    lines: dict[str, list[str]] = {}
    for name, run in config.trained.items():
        recipe = overlay(raw.get("base") or {}, raw["runs"][name] or {})
        if recipe.get("train_set") is not None:
            continue
        taken = ["not trained"] if "epochs" not in (recipe.get("train") or {}) else []
        if run.aggregator.has_trait("centroids") and not {"split", "roles"} & set(recipe.get("centroids") or {}):
            taken.append(f"centroids from the database of {run.train_set}")
        if "descriptors" not in (recipe.get("extract") or {}):
            taken.append("raw descriptors")
        if taken:
            lines.setdefault(", ".join(taken), []).append(f"runs.{name}")
    return [f"config: {', '.join(names)}: no train_set is named, so: {taken}" for taken, names in lines.items()]


def _needs_training_photos(recipe: Mapping[str, Any]) -> str:
    """Return the key of a recipe that needs training photos; empty without one."""
    checkpoint, train, extract = (
        section if isinstance(section := recipe.get(key), dict) else {} for key in ("checkpoint", "train", "extract")
    )
    if checkpoint:
        return "checkpoint.whitening: fitted" if checkpoint.get("whitening") == "fitted" else ""
    kinds = extract.get("descriptors")
    if isinstance(kinds, list | tuple) and "whitened" in kinds:
        return "extract.descriptors: whitened"
    if recipe.get("generations"):
        return "generations"
    return f"train.{next(iter(train))}" if train and train.get("epochs") != 0 else ""
