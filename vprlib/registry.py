"""Every method and dataset by name. Looking a name up imports only the file that holds it."""

from difflib import get_close_matches
from importlib import import_module

FAMILIES = {
    "backbone": {
        "vgg16": "vprlib.backbones.vgg:vgg16",
        "alexnet": "vprlib.backbones.alexnet:alexnet",
        "squeezenet1_0": "vprlib.backbones.squeezenet:squeezenet1_0",
        "resnet18": "vprlib.backbones.resnet:resnet18",
        "resnet50": "vprlib.backbones.resnet:resnet50",
    },
    "aggregator": {
        "netvlad": "vprlib.aggregators.netvlad:NetVLAD",
        "gem": "vprlib.aggregators.pooling:GeM",
        "max": "vprlib.aggregators.pooling:Max",
        "mean": "vprlib.aggregators.pooling:Mean",
    },
    "loss": {
        "triplet": "vprlib.losses.triplet:triplet",
        "sare_ind": "vprlib.losses.sare:sare_ind",
        "sare_joint": "vprlib.losses.sare:sare_joint",
    },
    "rerank": {
        "alpha_qe": "vprlib.rerank.query_expansion:alpha_qe",
        "k_reciprocal": "vprlib.rerank.k_reciprocal:k_reciprocal",
    },
    "dataset": {
        "city": "vprlib.datasets.city_sets:CITY",
        "city_night": "vprlib.datasets.city_sets:CITY_NIGHT",
        "pitts30k": "vprlib.datasets.pitts:PITTS30K",
        "pitts250k": "vprlib.datasets.pitts:PITTS250K",
        "tokyo247": "vprlib.datasets.tokyo:TOKYO247",
    },
}


def suggestion(name: str, known) -> str:
    """The end of an error message: the closest of the known names, and all of them."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(known)}"


def check(family: str, name: str) -> str:
    """Return `name` if `family` has it.

    Raises:
        ValueError: naming the closest known name, and all of them.
    """
    known = FAMILIES[family]
    if name not in known:
        raise ValueError(f"unknown {family} {name!r}; {suggestion(name, known)}")
    return name


def load(family: str, name: str):
    """Return the object that `family` holds under `name`; its module is imported now, and no other."""
    module, attribute = FAMILIES[family][check(family, name)].split(":")
    return getattr(import_module(module), attribute)
