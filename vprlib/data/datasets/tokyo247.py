"""Tokyo 24/7 (Torii et al., "24/7 place recognition by view synthesis", CVPR 2015), the 315 queries of version 2.

A place is 12 views of a panorama, consecutive in the file; evaluation counts only the first view of a place.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.data.protocol import Protocol

VIEWS = 12


def tokyo247_panorama(names: list) -> list:
    """The number of the panorama: VIEWS consecutive images are one."""
    return [str(number // VIEWS) for number in range(len(names))]


def tokyo247_dataset(mat: str, folders: dict, radius: float, queries: str = "", **declaration) -> Dataset:
    index = partial(read_dbstruct, splits={"test": mat}, folders=folders, place=tokyo247_panorama)
    first_view = Protocol(f"{radius:g} m, first view of a place{queries}", radius=radius, views_per_place=VIEWS)
    shorter = replace(first_view, name=f"{first_view.name}, queries' shape kept", framing="shorter")
    all_views = Protocol(f"{radius:g} m, all views{queries}", radius=radius)
    return Dataset(index=index, files=(mat,), protocols=(first_view, shorter, all_views), **declaration)


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
        "or name another folder under `roots: {tokyo247: ...}`"
    ),
    counts={("test", "database"): 75_984, ("test", "query"): 315},
    zone="54N",
    page="http://www.ok.ctrl.titech.ac.jp/~torii/project/247",
    licence="for research, on request; its database is Google Street View's",
    citation="Torii, Arandjelovic, Sivic, Okutomi, Pajdla: 24/7 Place Recognition by View Synthesis, CVPR 2015",
)
