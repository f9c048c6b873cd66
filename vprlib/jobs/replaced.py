"""Find trained networks that the configuration trains again in their place, because a run's recipe is another one."""

from collections.abc import Iterator
from pathlib import Path

from vprlib.exceptions import InputError
from vprlib.io.fingerprints import describe_difference
from vprlib.io.safetensors_header import read_attributes
from vprlib.jobs.params import Params
from vprlib.jobs.paths import fill
from vprlib.jobs.targets import Network


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
    if not Path(path).exists():
        return ""
    try:
        made = read_attributes(path).get("recipe")
    except InputError:  # the job that reads the file says so
        return ""
    wanted = {name: value for name, value in params.recipe(network).items() if name != "whiten"}
    return describe_difference(made, wanted) if made else ""
