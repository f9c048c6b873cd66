"""Test sets in the layout of `@` names, as VPR-datasets-downloader makes them or their authors publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.utm_names import read_utm_names
from vprlib.data.protocol import Protocol

DATABASE = ("database", "gallery")
QUERIES = {"all": ("queries",)}
DOWNLOADER = "https://github.com/gmberton/VPR-datasets-downloader"
PUT = "put its folder `images` into data/{name}, or name another folder under `dataset_roots: {{{name}: ...}}`"
SVOX_SETS = ("night", "overcast", "rain", "snow", "sun")


def utm_named_dataset(
    name: str,
    access: str,
    *,
    protocols: tuple[Protocol, ...] | None = None,
    splits: Sequence[str] = ("test",),
    folder: str = "images",
    queries: Mapping[str, Sequence[str]] = QUERIES,
    condition: str | None = None,
    **declaration: Any,
) -> Dataset:
    """Declare a dataset in the layout of `@` names.

    Args:
        name: the dataset's name.
        access: how to get it, without the folder to put it into.
        protocols: the dataset's protocols; by default one with a radius of 25 m.
        splits: see `read_utm_names`.
        folder: folder that must exist, relative to the root.
        queries: see `read_utm_names`.
        condition: see `read_utm_names`.
        **declaration: more fields of Dataset.
    """
    return Dataset(
        read_images=partial(read_utm_names, database=DATABASE, splits=splits, queries=queries, condition=condition),
        files=(folder,),
        root=Path("data", name),
        protocols=protocols or (Protocol("25 m", radius=25),),
        access=f"{access}; {PUT.format(name=name)}",
        **declaration,
    )


ST_LUCIA = utm_named_dataset(
    "st_lucia",
    "Let VPR-datasets-downloader's download_st_lucia.py cut the first and the last of its ten videos into frames 5 m "
    f"apart ({DOWNLOADER})",
    counts={("test", "database"): 1_549, ("test", "query"): 1_464},
    page="https://github.com/arrenglover/openfabmap/wiki/Datasets",
    licence="not stated; see its page",
    citation="Milford, Wyeth: Mapping a Suburb with a Single Camera Using a Biologically Inspired SLAM System, "
    "IEEE Transactions on Robotics 2008",
)
EYNSHAM = utm_named_dataset(
    "eynsham",
    "Let VPR-datasets-downloader's download_eynsham.py format the archive of Zenodo record 1243106: two rounds of one "
    f"loop, five tiles a panorama ({DOWNLOADER})",
    counts={("test", "database"): 23_935},
    page="https://zenodo.org/record/1243106",
    licence="see the Zenodo record",
    citation="Cummins, Newman: Highly scalable appearance-only SLAM - FAB-MAP 2.0, RSS 2009",
)
SVOX = utm_named_dataset(
    "svox",
    f"Let VPR-datasets-downloader's download_svox.py fetch it from its authors' drive ({DOWNLOADER})",
    queries={"day": ("queries",)} | {name: (f"queries_{name}",) for name in SVOX_SETS},
    condition="weather",
    protocols=tuple(Protocol(f"25 m, {name}", radius=25, queries=name) for name in ("day", *SVOX_SETS)),
    # queries, queries_night, _overcast, _rain, _snow and _sun
    counts={("test", "database"): 17_166, ("test", "query"): 14_278 + 823 + 872 + 937 + 870 + 854},
    page=DOWNLOADER,
    licence="its queries are Oxford RobotCar's (CC BY-NC-SA 4.0), its database is Google Street View's",
    citation="Berton, Paolicelli, Masone, Caputo: Adaptive-Attentive Geolocalization from Few Queries, WACV 2021",
)
SF_XL_SMALL = utm_named_dataset(
    "sf_xl_small",
    "SF-XL is given on request: fill in the form that github.com/gmberton/CosPlace names, take its small version with "
    "the folders val and test (queries_v1)",
    splits=("val", "test"),
    folder=".",
    queries={"v1": ("queries_v1", "queries")},
    protocols=(Protocol("25 m, queries v1", radius=25),),
    counts={("test", "database"): 27_191, ("test", "query"): 1_000},
    page="https://github.com/gmberton/CosPlace",
    licence="for research; its images are Google Street View's",
    citation="Berton, Masone, Caputo: Rethinking Visual Geo-localization for Large-Scale Applications, CVPR 2022",
)
