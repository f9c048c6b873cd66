"""Every method and dataset by name. Looking a name up imports only the file that holds it.

A name that ends with `*` holds all that begin so; what it names takes the rest as its first argument.
"""

from difflib import get_close_matches
from functools import partial
from importlib import import_module

FAMILIES = {
    "backbone": {
        "vgg16": "vprlib.backbones.vgg:vgg16",
        "alexnet": "vprlib.backbones.alexnet:alexnet",
        "squeezenet1_0": "vprlib.backbones.squeezenet:squeezenet1_0",
        "resnet18": "vprlib.backbones.resnet:resnet18",
        "resnet50": "vprlib.backbones.resnet:resnet50",
        "timm/*": "vprlib.backbones.timm_models:timm_model",
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
        "tokyotm": "vprlib.datasets.tokyotm:TOKYOTM",
        "msls": "vprlib.datasets.msls:MSLS",
        "msls_val": "vprlib.datasets.msls:MSLS_VAL",
        "nordland": "vprlib.datasets.nordland:NORDLAND",
        "gardens_point": "vprlib.datasets.gardens_point:GARDENS_POINT",
        "st_lucia": "vprlib.datasets.at_sets:ST_LUCIA",
        "eynsham": "vprlib.datasets.at_sets:EYNSHAM",
        "svox": "vprlib.datasets.at_sets:SVOX",
        "sf_xl_small": "vprlib.datasets.at_sets:SF_XL_SMALL",
    },
}


def suggestion(name: str, known, briefly: bool = False) -> str:
    """The end of an error message: the closest of the known names, and all of them (briefly: if none is close)."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}?" if close else ""
    return meant if meant and briefly else f"{meant} known: {', '.join(known)}".lstrip()


def check(family: str, name: str) -> str:
    """Return `name` if `family` has it.

    Raises:
        ValueError: naming the closest known name, and all of them.
    """
    if _entry(family, name) is None:
        raise ValueError(f"unknown {family} {name!r}; {suggestion(name, FAMILIES[family])}")
    return name


def load(family: str, name: str):
    """Return the object that `family` holds under `name`; its module is imported now, and no other."""
    entry = _entry(family, check(family, name))
    module, attribute = FAMILIES[family][entry].split(":")
    found = getattr(import_module(module), attribute)
    return partial(found, name.removeprefix(entry[:-1])) if entry.endswith("*") else found


def _entry(family: str, name: str) -> str | None:
    """The known name that a name is, or that ends with `*` and begins it."""
    open_ends = (known for known in FAMILIES[family] if known.endswith("*") and name.startswith(known[:-1]))
    return name if name in FAMILIES[family] else next(open_ends, None)
