"""Look up datasets and their protocols by name. `get_dataset` returns a declaration."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.layouts.dbstruct import mat_dataset
from vprlib.data.layouts.listed_folder import listed_folder_dataset
from vprlib.data.layouts.npz_positions import npz_dataset
from vprlib.data.layouts.pairs_file import pairs_dataset
from vprlib.data.layouts.photo_folder import folder_dataset
from vprlib.data.layouts.positives_list import positives_dataset
from vprlib.data.layouts.tracks import tracks_dataset
from vprlib.data.listed_positives import LISTED, LISTED_RADIUS
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.registry import load_object

if TYPE_CHECKING:
    from vprlib.config import Config, ProtocolConfig
    from vprlib.config.datasets import OwnDatasetConfig


def get_dataset(name: str, config: Config) -> Dataset:
    """Return the dataset of a name: one of the configuration's `custom_datasets`, or a registered one.

    Its protocols are those that the configuration's `protocols` names for it, or else its first one; `declared` are all
    that it has. Its root is that of `dataset_roots`, if it is named there.

    Raises:
        ValueError: there is no dataset of that name.
        InputError: the dataset is rendered and `dataset_roots` names another folder for it, or it has no protocol of
            a requested name.
    """
    if name in config.custom_datasets:
        dataset = _custom_dataset(config.custom_datasets[name])
    else:
        registered = config.registered.get(name, name)
        dataset = load_object("dataset", registered)
        if registered != name:  # a rendered city of another name
            dataset = replace(dataset, root=Path("data") / name)
    requested = config.protocols.get(name, ())
    chosen = tuple(_requested_protocol(name, dataset, protocol) for protocol in requested) or dataset.protocols[:1]
    if chosen != dataset.protocols:
        dataset = replace(dataset, protocols=chosen, declared=dataset.protocols)
    if name not in config.dataset_roots:
        return dataset
    if dataset.render:
        raise InputError(f"config: dataset_roots.{name}: it is rendered into {dataset.root}; remove this key")
    return replace(dataset, root=Path(config.dataset_roots[name]))


def _custom_dataset(custom: OwnDatasetConfig) -> Dataset:
    """Declare a dataset of the configuration by the source that it names."""
    listed = bool(custom.positives or custom.pairs)
    protocol = Protocol(
        custom.protocol,
        radius=LISTED_RADIUS if listed else custom.radius,
        unit=LISTED if listed else custom.unit,
        views_per_place=custom.views_per_place,
        framing=custom.framing,
    )
    chosen = "radius" in custom.model_fields_set
    if custom.csv:
        return csv_dataset(Path(custom.csv), protocol)
    if custom.mat:
        folders = {"database": custom.database, "queries": custom.queries}
        return mat_dataset(custom.mat, **folders, protocol=protocol, chosen=chosen)
    lists = {"database": custom.database or "", "queries": custom.queries or ""}
    if custom.npz:
        return npz_dataset(custom.npz, **lists, protocol=protocol, chosen=chosen)
    if custom.positives:
        return positives_dataset(custom.positives, **lists, first_index=custom.first_index, protocol=protocol)
    if custom.pairs:
        return pairs_dataset(custom.pairs, **lists, protocol=protocol)
    if custom.folder and custom.database:
        return listed_folder_dataset(custom.folder, **lists, protocol=protocol)
    if custom.database_track:
        return tracks_dataset(custom.database_track, custom.queries_track or "", **lists, protocol=protocol)
    return folder_dataset(Path(custom.folder or "."), protocol)


def _requested_protocol(name: str, dataset: Dataset, requested: ProtocolConfig) -> Protocol:
    """Return a protocol that the configuration asks for: the dataset's, or one like it with another radius.

    Raises:
        InputError: as `choose_protocol`; or a protocol with another radius has the name of one of the dataset's, or a
            radius does nothing because the positives are listed.
    """
    if requested.radius is None:
        return choose_protocol(name, dataset, requested.name)
    like = choose_protocol(name, dataset, requested.like) if requested.like else dataset.protocols[0]
    if requested.name in {declared.name for declared in dataset.protocols}:
        raise InputError(
            f'config: protocols.{name}: "{requested.name}" is a protocol of the dataset; give the one of radius '
            f"{requested.radius:g} another name"
        )
    if like.unit == LISTED:
        raise InputError(f"config: protocols.{name}: its positives are listed, so a radius does nothing; leave it out")
    return replace(like, name=requested.name, radius=requested.radius)


def choose_protocol(name: str, dataset: Dataset, protocol: str) -> Protocol:
    """Return the protocol of a dataset by its name.

    Args:
        name: the dataset's name, for messages.
        dataset: its declaration.
        protocol: the protocol's name.

    Raises:
        InputError: the dataset has no protocol of this name; the message suggests the closest name.
    """
    protocols = {candidate.name: candidate for candidate in dataset.protocols}
    if protocol not in protocols:
        close = get_close_matches(protocol, protocols, n=1, cutoff=0.5)
        suggestion = f'did you mean "{close[0]}"? ' if close else ""
        raise InputError(
            f'config: protocols.{name}: unknown protocol "{protocol}"; {suggestion}known, in quotes: '
            + ", ".join(f'"{known}"' for known in protocols)
        )
    return protocols[protocol]
