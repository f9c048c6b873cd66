"""Find files that the configuration makes again in their place, because a run's recipe is another one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vprlib.exceptions import InputError
from vprlib.io.files import read_recipe
from vprlib.io.fingerprints import describe_difference
from vprlib.io.safetensors_header import read_attributes
from vprlib.jobs.params import Params
from vprlib.jobs.paths import fill
from vprlib.jobs.targets import Network


def replaced_files(params: Params) -> Iterator[str]:
    """Yield a line for each shared file, and for each run, of which another recipe takes the place."""
    yield from dict.fromkeys(_replaced_shared_files(params))
    yield from replaced_networks(params)


def _replaced_shared_files(params: Params) -> Iterator[str]:
    """Yield a line for weights and centroids that were made with other settings, by another experiment for example."""
    targets = params.targets
    for run, settings in params.config.trained.items():
        for network in targets.networks([run]):
            wanted = params.recipe(network)
            centroids = targets.centroids_of(settings, network.seed)
            weights = fill(targets.paths.weights, backbone=settings.backbone.path, weights=settings.backbone.weights)
            for path, read in ((weights, read_attributes), (centroids, read_recipe)):
                made = _recipe_of(path, read) if path else {}
                both = sorted(made.keys() & wanted.keys())
                made, expected = ({name: recipe[name] for name in both} for recipe in (made, wanted))
                if difference := describe_difference(made, expected):
                    yield (
                        f"{path} was made with {difference}; it, and the networks that start from it, are made again. "
                        f"To keep it, give runs.{run} a backbone.cache_name of its own"
                    )


def _recipe_of(path: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Return the recipe that a file was made with; empty if there is none, or it cannot be read."""
    try:
        found = read(path) if Path(path).exists() else {}
    except InputError:  # the job that reads the file says so
        return {}
    return dict(found.get("recipe") or {} if read is read_attributes else found)


def replaced_networks(params: Params) -> Iterator[str]:
    """Yield a line for each run of which a network is there that was trained with another recipe.

    A run's networks lie in `results/models/{run}`, whichever experiment names them. So another recipe under the same
    name, of this experiment or of another one, takes their place.

    Args:
        params: the params of the rules, which hold the configuration's recipes.
    """
    targets = params.targets
    for run in params.config.trained:
        for network in targets.networks([run]):
            path = fill(targets.paths.last, **network._asdict())
            if difference := _difference(params, network, path):
                yield (
                    f"runs.{run}: {path} was trained with {difference}; it is trained again in its place. To keep it, "
                    f"give the run another name"
                )
                break


def _difference(params: Params, network: Network, path: str) -> str:
    """Describe how the recipe of a network differs from the configuration's; empty if it does not, or is not known."""
    made = _recipe_of(path, read_attributes)
    wanted = {name: value for name, value in params.recipe(network).items() if name != "whiten"}
    return describe_difference(made, wanted) if made else ""
