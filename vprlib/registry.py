"""Every method and dataset by name, with its traits. Looking a name up imports only the file that holds it.

A name that ends with `*` stands for all names that begin so. A name with a colon, `package.module:Object`, is a method
outside this library. `vprlib.config.options` reads the options of a method from its signature, without importing it.
"""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from vprlib.exceptions import InputError, did_you_mean


class Entry(NamedTuple):
    """The place where a method is defined, and its traits, which the pipeline needs to know."""

    target: str  # "package.module:attribute"; `*` in it stands for the rest of the name
    traits: frozenset[str] = frozenset()


def _entries(package: str, **entries: str | tuple[str, ...]) -> dict[str, Entry]:
    """Entries of one package: name="module:attribute", or with its traits ("module:attribute", trait, ...)."""
    parts = {name: (entry,) if isinstance(entry, str) else entry for name, entry in entries.items()}
    return {name: Entry(f"{package}.{target}", frozenset(traits)) for name, (target, *traits) in parts.items()}


FAMILIES: dict[str, dict[str, Entry]] = {
    "backbone": {
        **_entries(
            "vprlib.models.backbones",
            vgg16="vgg:vgg16",
            alexnet="alexnet:alexnet",
            squeezenet1_0="squeezenet:squeezenet1_0",
            resnet18="resnet:resnet18",
            resnet50="resnet:resnet50",
        ),
        "timm/*": Entry("vprlib.models.backbones.timm:timm_model"),
    },
    # centroids: starts from k-means centroids, as many as its option `clusters` says
    # regions: `describe_regions` describes parts of a photo
    # words: `assign` gives the soft assignment of local features to visual words
    "aggregator": _entries(
        "vprlib.models.aggregators",
        netvlad=("netvlad:NetVLAD", "centroids", "regions", "words"),
        gem="pooling:GeM",
        max="pooling:Max",
        mean="pooling:Mean",
    ),
    # similarity: compares similarities scaled by its option `temperature`, as soft labels and regions need
    "loss": _entries(
        "vprlib.training.losses",
        triplet="triplet:triplet",
        sare_ind=("sare:sare_ind", "similarity"),
        sare_joint=("sare:sare_joint", "similarity"),
    ),
    "optimiser": {"*": Entry("torch.optim:*")},
    "schedule": {"*": Entry("torch.optim.lr_scheduler:*")},
    # other_scores: its scores are not dot products of descriptors
    "rerank": _entries(
        "vprlib.retrieval.rerank",
        alpha_qe="query_expansion:alpha_qe",
        k_reciprocal=("k_reciprocal:k_reciprocal", "other_scores"),
    ),
    "dataset": _entries(
        "vprlib.data.datasets",
        city="synthetic_city:CITY",
        city_night="synthetic_city:CITY_NIGHT",
        pitts30k="pittsburgh:PITTS30K",
        pitts250k="pittsburgh:PITTS250K",
        tokyo247="tokyo247:TOKYO247",
        tokyotm="tokyotm:TOKYOTM",
        msls="msls:MSLS",
        msls_val="msls:MSLS_VAL",
        nordland="nordland:NORDLAND",
        gardens_point="gardens_point:GARDENS_POINT",
        st_lucia="utm_named_sets:ST_LUCIA",
        eynsham="utm_named_sets:EYNSHAM",
        svox="utm_named_sets:SVOX",
        sf_xl_small="utm_named_sets:SF_XL_SMALL",
    ),
}
# what a recipe that names nothing uses: NetVLAD (Arandjelovic et al. 2016) as OpenIBL trains it
DEFAULTS: dict[str, dict[str, Any]] = {
    "backbone": {"name": "vgg16", "options": {}},
    "aggregator": {"name": "netvlad", "options": {}},
    "loss": {"name": "triplet", "options": {}},
    "optimiser": {"name": "SGD", "options": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3}},
    "schedule": {"name": "StepLR", "options": {"step_size": 5, "gamma": 0.5}},
}


# classes of torch.optim and torch.optim.lr_scheduler that training cannot use
UNSUPPORTED = {
    "Optimizer": "it is the base class",
    "LRScheduler": "it is the base class",
    "LBFGS": "it evaluates the loss several times per step",
    "SparseAdam": "it needs sparse gradients",
    "Muon": "it needs parameters that are matrices",
    "ReduceLROnPlateau": "it steps on a metric, not on epochs",
    "LambdaLR": "its option is a function",
    "MultiplicativeLR": "its option is a function",
    "SequentialLR": "its options are other schedules",
    "ChainedScheduler": "its options are other schedules",
}
_trusted: set[str] = set()


def trust(*names: str) -> None:
    """Allow `load_object` to import methods outside this library.

    Their names may also come from the metadata of a checkpoint that somebody else wrote, so none is imported before a
    configuration, or the caller, has named it.
    """
    _trusted.update(names)


def find_entry(family: str, name: str) -> Entry:
    """Return where the method `name` of a family is defined. Whether the file has it is not checked.

    Raises:
        ValueError: if no entry has the name, with the closest known one.
    """
    known = FAMILIES[family]
    if name in known:
        return known[name]
    if prefix := _open_prefix(family, name):
        return known[f"{prefix}*"]
    if ":" in name:
        return Entry(name)
    if "*" in known:
        return Entry(known["*"].target.replace("*", name), known["*"].traits)
    raise ValueError(f"unknown {family} {name!r}; {did_you_mean(name, known)}")


def check_name(family: str, name: str) -> str:
    """Return `name` if `family` has it.

    Raises:
        ValueError: naming the closest known name, and all of them.
    """
    find_entry(family, name)
    return name


def load_object(family: str, name: str) -> Any:
    """Import the file of a method or dataset and return the object that it defines under `name`.

    Of an entry such as `timm/*`, whose target is one function, the rest of the name is that function's first argument.

    Raises:
        ValueError: if the family has no such name.
        InputError: if it is a method outside this library that nobody has named; see `trust`.
    """
    entry = find_entry(family, name)
    if entry.target == name and name not in _trusted:
        raise InputError(f"{family} {name!r} is outside vprlib; it is imported only where the configuration names it")
    module, attribute = entry.target.split(":")
    if str(Path.cwd()) not in sys.path:  # a package of the user's own lies beside the configuration
        sys.path.append(str(Path.cwd()))
    home = import_module(module)
    if not hasattr(home, attribute):
        raise ValueError(
            f"unknown {family} {name!r}; {did_you_mean(attribute, [name for name in vars(home) if name[0].isupper()])}"
        )
    found = getattr(home, attribute)
    prefix = _open_prefix(family, name)
    return partial(found, name.removeprefix(prefix)) if prefix else found


def has_trait(family: str, name: str, trait: str) -> bool:
    """Whether a registered method has a trait; of methods outside, see `vprlib.config.options.traits_of`."""
    return trait in find_entry(family, name).traits


def _open_prefix(family: str, name: str) -> str:
    """The beginning of a name that an entry such as `timm/*` covers; empty if there is none."""
    prefixes = (key[:-1] for key in FAMILIES[family] if key.endswith("*") and key != "*")
    return next((prefix for prefix in prefixes if name.startswith(prefix)), "")
