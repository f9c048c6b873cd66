"""Pittsburgh 30k and 250k (Torii et al., "Visual place recognition with repetitive structures", CVPR 2013).

The splits are those of Arandjelovic et al., NetVLAD (CVPR 2016). Both datasets share one folder: the numbered folders
hold database images, `queries_real` holds queries, `datasets` holds the splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.data.protocol import Protocol


def pittsburgh_panorama(names: Sequence[str]) -> list[str]:
    """Return the number of the panorama that each image was cut from.

    >>> pittsburgh_panorama(["000/000829_pitch1_yaw1.jpg"])
    ['000829']
    """
    return [name.rpartition("/")[2].partition("_")[0] for name in names]


def pittsburgh_dataset(size: str, counts: Mapping[tuple[str, str], int]) -> Dataset:
    """Declare a dataset in Pittsburgh's layout.

    Args:
        size: the dataset's name, which begins the names of its `.mat` files: `{size}_{split}.mat`.
        counts: (split, role) -> number of images.
    """
    splits = {split: f"datasets/{size}_{split}.mat" for split in ("train", "val", "test")}
    return Dataset(
        read_images=partial(
            read_dbstruct, splits=splits, folders={"database": "", "query": "queries_real"}, place=pittsburgh_panorama
        ),
        files=tuple(splits.values()),
        root=Path("data/pittsburgh"),
        protocols=(Protocol("25 m", radius=25),),
        access=(
            "Pittsburgh is given on request: ask its authors through the NetVLAD project page "
            "(www.di.ens.fr/willow/research/netvlad); put the folders 000 to 010 and queries_real and the splits' "
            f"datasets/{size}_*.mat into data/pittsburgh, or name another folder under `dataset_roots: {{{size}: ...}}`"
        ),
        counts=counts,
        zone="17N",
        page="https://www.di.ens.fr/willow/research/netvlad",
        licence="for research, on request; its images are Google Street View's",
        citation="Torii, Sivic, Pajdla, Okutomi: Visual Place Recognition with Repetitive Structures, CVPR 2013; "
        "splits: Arandjelovic et al., NetVLAD, CVPR 2016",
    )


PITTS30K = pittsburgh_dataset(
    "pitts30k",
    {
        ("train", "database"): 10_000,
        ("train", "query"): 7_416,
        ("val", "database"): 10_000,
        ("val", "query"): 7_608,
        ("test", "database"): 10_000,
        ("test", "query"): 6_816,
    },
)
PITTS250K = pittsburgh_dataset(
    "pitts250k",
    {
        ("train", "database"): 91_464,
        ("train", "query"): 7_824,
        ("val", "database"): 78_648,
        ("val", "query"): 7_608,
        ("test", "database"): 83_952,
        ("test", "query"): 8_280,
    },
)
