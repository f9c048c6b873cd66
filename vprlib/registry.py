"""Every method and dataset by name. Looking a name up imports only the file that holds it.

A name that ends with `*` holds all that begin so; what it names takes the rest as its first argument.
"""

from functools import partial
from importlib import import_module

from vprlib.exceptions import did_you_mean

FAMILIES = {
    "backbone": {
        "vgg16": "vprlib.models.backbones.vgg:vgg16",
        "alexnet": "vprlib.models.backbones.alexnet:alexnet",
        "squeezenet1_0": "vprlib.models.backbones.squeezenet:squeezenet1_0",
        "resnet18": "vprlib.models.backbones.resnet:resnet18",
        "resnet50": "vprlib.models.backbones.resnet:resnet50",
        "timm/*": "vprlib.models.backbones.timm:timm_model",
    },
    "aggregator": {
        "netvlad": "vprlib.models.aggregators.netvlad:NetVLAD",
        "gem": "vprlib.models.aggregators.pooling:GeM",
        "max": "vprlib.models.aggregators.pooling:Max",
        "mean": "vprlib.models.aggregators.pooling:Mean",
    },
    "loss": {
        "triplet": "vprlib.training.losses.triplet:triplet",
        "sare_ind": "vprlib.training.losses.sare:sare_ind",
        "sare_joint": "vprlib.training.losses.sare:sare_joint",
    },
    "rerank": {
        "alpha_qe": "vprlib.retrieval.rerank.query_expansion:alpha_qe",
        "k_reciprocal": "vprlib.retrieval.rerank.k_reciprocal:k_reciprocal",
    },
    "dataset": {
        "city": "vprlib.data.datasets.synthetic_city:CITY",
        "city_night": "vprlib.data.datasets.synthetic_city:CITY_NIGHT",
        "pitts30k": "vprlib.data.datasets.pittsburgh:PITTS30K",
        "pitts250k": "vprlib.data.datasets.pittsburgh:PITTS250K",
        "tokyo247": "vprlib.data.datasets.tokyo247:TOKYO247",
        "tokyotm": "vprlib.data.datasets.tokyotm:TOKYOTM",
        "msls": "vprlib.data.datasets.msls:MSLS",
        "msls_val": "vprlib.data.datasets.msls:MSLS_VAL",
        "nordland": "vprlib.data.datasets.nordland:NORDLAND",
        "gardens_point": "vprlib.data.datasets.gardens_point:GARDENS_POINT",
        "st_lucia": "vprlib.data.datasets.utm_named_sets:ST_LUCIA",
        "eynsham": "vprlib.data.datasets.utm_named_sets:EYNSHAM",
        "svox": "vprlib.data.datasets.utm_named_sets:SVOX",
        "sf_xl_small": "vprlib.data.datasets.utm_named_sets:SF_XL_SMALL",
    },
}


def check_name(family: str, name: str) -> str:
    """Return `name` if `family` has it.

    Raises:
        ValueError: naming the closest known name, and all of them.
    """
    if _entry(family, name) is None:
        raise ValueError(f"unknown {family} {name!r}; {did_you_mean(name, FAMILIES[family])}")
    return name


def load_object(family: str, name: str):
    """Return the object that `family` holds under `name`; its module is imported now, and no other."""
    entry = _entry(family, check_name(family, name))
    module, attribute = FAMILIES[family][entry].split(":")
    found = getattr(import_module(module), attribute)
    return partial(found, name.removeprefix(entry[:-1])) if entry.endswith("*") else found


def _entry(family: str, name: str) -> str | None:
    """The known name that a name is, or that ends with `*` and begins it."""
    open_ends = (known for known in FAMILIES[family] if known.endswith("*") and name.startswith(known[:-1]))
    return name if name in FAMILIES[family] else next(open_ends, None)
