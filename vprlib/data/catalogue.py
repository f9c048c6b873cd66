"""Datasets: one file a layout, one declaration a dataset. `find` gives a declaration by name."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.layouts.photo_folder import folder_dataset
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.registry import load_object


def get_dataset(name: str, config) -> Dataset:
    """The dataset that a configuration knows under `name`, one of its own (`custom`) or a registered one.

    Its protocols are those that the configuration wants: the first of those that it has, if not said.

    Raises:
        ValueError: if it knows none of that name.
        InputError: if it is rendered and `roots` wants it elsewhere, or has no protocol of the name wanted.
    """
    if name in config.custom:
        own = config.custom[name]
        shared = {"unit": own.unit, "views_per_place": own.views_per_place, "framing": own.framing}
        judged = Protocol(own.protocol, radius=own.radius_m, **shared)
        dataset = csv_dataset(Path(own.csv), judged) if own.csv else folder_dataset(Path(own.folder), judged)
    else:
        dataset = load_object("dataset", name)
    wanted = config.protocols.get(name, [dataset.protocols[0].name])
    dataset = replace(dataset, protocols=tuple(choose_protocol(name, dataset, one) for one in wanted))
    if name not in config.roots:
        return dataset
    if dataset.render:
        raise InputError(f"config: roots.{name}: it is rendered into {dataset.root}; link that folder")
    return replace(dataset, root=Path(config.roots[name]))


def choose_protocol(name: str, dataset: Dataset, protocol: str) -> Protocol:
    """The protocol of a dataset that has this name.

    Raises:
        InputError: naming the closest of those that it has.
    """
    known = {one.name: one for one in dataset.protocols}
    if protocol not in known:
        close = get_close_matches(protocol, known, n=1, cutoff=0.5)
        meant = f'did you mean "{close[0]}"? ' if close else ""
        raise InputError(
            f'config: protocols.{name}: unknown protocol "{protocol}"; {meant}known, in quotes: '
            + ", ".join(f'"{one}"' for one in known)
        )
    return known[protocol]
