"""Datasets: one file a layout, one declaration a dataset. `find` gives a declaration by name."""

from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from vprlib import registry
from vprlib.data.dataset import Dataset, Protocol
from vprlib.io.files import BadInput


def find(name: str, config) -> Dataset:
    """The dataset that a configuration knows under `name`, one of its own (`custom`) or a registered one.

    Its protocols are those that the configuration wants: the first of those that it has, if not said.

    Raises:
        ValueError: if it knows none of that name.
        BadInput: if it is rendered and `roots` wants it elsewhere, or has no protocol of the name wanted.
    """
    if name in config.custom:
        own = config.custom[name]
        shared = {"unit": own.unit, "views_per_place": own.views_per_place, "framing": own.framing}
        judged = Protocol(own.protocol, radius=own.radius_m, **shared)
        kind, path = ("csvfile", own.csv) if own.csv else ("folder", own.folder)
        dataset = import_module(f"vprlib.data.catalogue.{kind}").dataset(Path(path), judged)
    else:
        dataset = registry.load("dataset", name)
    wanted = config.protocols.get(name, [dataset.protocols[0].name])
    dataset = replace(dataset, protocols=tuple(chosen(name, dataset, one) for one in wanted))
    if name not in config.roots:
        return dataset
    if dataset.render:
        raise BadInput(f"config: roots.{name}: it is rendered into {dataset.root}; link that folder")
    return replace(dataset, root=Path(config.roots[name]))


def chosen(name: str, dataset: Dataset, protocol: str) -> Protocol:
    """The protocol of a dataset that has this name.

    Raises:
        BadInput: naming the closest of those that it has.
    """
    known = {one.name: one for one in dataset.protocols}
    if protocol not in known:
        close = get_close_matches(protocol, known, n=1, cutoff=0.5)
        meant = f'did you mean "{close[0]}"? ' if close else ""
        raise BadInput(
            f'config: protocols.{name}: unknown protocol "{protocol}"; {meant}known, in quotes: '
            + ", ".join(f'"{one}"' for one in known)
        )
    return known[protocol]
