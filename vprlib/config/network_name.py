"""Networks by name, for the command line: a backbone with its published weights, and an aggregator."""

from vprlib.config.methods import AggregatorConfig, BackboneConfig
from vprlib.exceptions import InputError
from vprlib.registry import FAMILIES, find_entry

AGGREGATOR = "gem"  # of a name without one
JOINT = "+"


def parse_network_name(text: str) -> tuple[BackboneConfig, AggregatorConfig]:
    """Return the sections of a network that a name such as `resnet18` or `timm/resnet50+max` stands for.

    The backbone has its ImageNet weights, or timm's. Nothing is downloaded or trained here.

    Raises:
        InputError: there is no such backbone or aggregator, or the aggregator must be trained or initialised first.

    >>> [section.name for section in parse_network_name("resnet18")]
    ['resnet18', 'gem']
    """
    backbone, joint, aggregator = text.partition(JOINT)
    names = {"backbone": backbone, "aggregator": aggregator if joint else AGGREGATOR}
    for family, name in names.items():
        try:
            entry = find_entry(family, name)
        except ValueError as error:
            raise InputError(
                f"{text}: no such file, and no network of this name: {error}. A name is a backbone, perhaps with "
                f"{JOINT} and an aggregator, such as resnet18{JOINT}max"
            ) from error
        if entry.target == name:
            raise InputError(f"{text}: {name} is outside vprlib; evaluate it by a configuration")
    if "centroids" in find_entry("aggregator", names["aggregator"]).traits:
        free = [name for name, entry in FAMILIES["aggregator"].items() if "centroids" not in entry.traits]
        raise InputError(
            f"{text}: {names['aggregator']} starts from centroids of a training set; use one of {', '.join(free)}, or "
            "give the file of a trained network"
        )
    return BackboneConfig.model_validate(backbone), AggregatorConfig.model_validate(names["aggregator"])
