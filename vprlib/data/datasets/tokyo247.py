"""Tokyo 24/7 (Torii et al., "24/7 place recognition by view synthesis", CVPR 2015), the 315 queries of version 2.

A place has 12 views of a panorama, consecutive in the file. Evaluation counts only the first ranked view of a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.data.protocol import Protocol

VIEWS = 12  # images per panorama


def tokyo247_panorama(names: Sequence[str]) -> list[str]:
    """Return the panorama number of each image: VIEWS consecutive images make one panorama."""
    return [str(number // VIEWS) for number in range(len(names))]


def tokyo247_dataset(
    mat: str, folders: Mapping[str, str], radius: float, queries: str = "", **declaration: Any
) -> Dataset:
    """Declare a test set in Tokyo 24/7's layout, with three protocols.

    The protocols are: first view of a place; the same with the queries' shape kept; all views.

    Args:
        mat: the `dbStruct` file, relative to the root.
        folders: see `read_dbstruct`.
        radius: hit radius in metres.
        queries: end of the protocols' names, which names the query set.
        **declaration: more fields of Dataset.
    """
    read_images = partial(read_dbstruct, splits={"test": mat}, folders=folders, place=tokyo247_panorama)
    first_view = Protocol(f"{radius:g} m, first view of a place{queries}", radius=radius, views_per_place=VIEWS)
    shorter = replace(first_view, name=f"{first_view.name}, queries' shape kept", framing="shorter")
    all_views = Protocol(f"{radius:g} m, all views{queries}", radius=radius)
    return Dataset(read_images=read_images, files=(mat,), protocols=(first_view, shorter, all_views), **declaration)


TOKYO247 = tokyo247_dataset(
    "datasets/tokyo247.mat",
    {"database": "images", "query": "247query_subset_v2"},
    radius=25,
    queries=", queries v2",
    root=Path("data/tokyo247"),
    access=(
        "Tokyo 24/7 is given on request: ask its authors (www.ok.ctrl.titech.ac.jp/~torii/project/247); put the "
        "database images into data/tokyo247/images, the queries into data/tokyo247/247query_subset_v2 and the split "
        "of the NetVLAD project page (www.di.ens.fr/willow/research/netvlad) into data/tokyo247/datasets/tokyo247.mat, "
        "or name another folder under `dataset_roots: {tokyo247: ...}`"
    ),
    counts={("test", "database"): 75_984, ("test", "query"): 315},
    zone="54N",
    page="http://www.ok.ctrl.titech.ac.jp/~torii/project/247",
    licence="for research, on request; its database is Google Street View's",
    citation="Torii, Arandjelovic, Sivic, Okutomi, Pajdla: 24/7 Place Recognition by View Synthesis, CVPR 2015",
)
