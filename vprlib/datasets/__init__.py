"""Datasets: one file a layout, one declaration a dataset. `find` gives a declaration by name."""

from dataclasses import replace
from pathlib import Path

from vprlib import registry
from vprlib.datasets import csvfile
from vprlib.datasets.base import Dataset
from vprlib.files import BadInput


def find(name: str, config) -> Dataset:
    """The dataset that a configuration knows under `name`: one of its own (`custom`) or a registered one.

    Raises:
        ValueError: if it knows none of that name.
        BadInput: if it is rendered and `roots` wants it elsewhere.
    """
    if name in config.custom:
        own = config.custom[name]
        dataset = csvfile.dataset(Path(own.csv), own.radius_m, own.views_per_place, own.protocol)
    else:
        dataset = registry.load("dataset", name)
    if name not in config.roots:
        return dataset
    if dataset.render:
        raise BadInput(f"config: roots.{name}: it is rendered into {dataset.root}; link that folder")
    return replace(dataset, root=Path(config.roots[name]))
