"""Tokyo Time Machine (Arandjelovic et al., NetVLAD, CVPR 2016): training and validation for Tokyo 24/7.

Google Street View images of one place at several times. An image's time stamp, a month, becomes the column `time`. The
authors drew the queries from the database; here the queries are removed from the database, or each would find itself.
The other views of a query's panorama, of the same time, stay in the database, so the authors count a positive only if
its time is another: the first protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.data.protocol import Protocol

if TYPE_CHECKING:
    import pandas as pd

SPLITS = {split: f"datasets/tokyoTM_{split}.mat" for split in ("train", "val")}


def tokyotm_panorama(names: Sequence[str]) -> list[str]:
    """Return the folder of each image, which holds one panorama at one time.

    >>> tokyotm_panorama(["a/b/201503/x.jpg"])
    ['a/b/201503']
    """
    return [str(Path(name).parent) for name in names]


def read_tokyotm(root: Path) -> pd.DataFrame:
    """Read the image table, without the database images that are queries.

    Raises:
        InputError: a `.mat` file cannot be used.
    """
    folders = {"database": "images", "query": "images"}
    table = read_dbstruct(root, splits=SPLITS, folders=folders, place=tokyotm_panorama)
    queries = set(table.path[table.role == "query"])
    return table[(table.role == "query") | ~table.path.isin(queries)].reset_index(drop=True)


TOKYOTM = Dataset(
    read_images=read_tokyotm,
    files=tuple(SPLITS.values()),
    root=Path("data/tokyotm"),
    protocols=(
        Protocol("25 m, another time", radius=25, different_column="time"),
        Protocol("25 m, any time", radius=25),
    ),
    access=(
        "Tokyo Time Machine is given on request: ask its authors through the NetVLAD project page "
        "(www.di.ens.fr/willow/research/netvlad); put its images into data/tokyotm/images, the page's "
        "tokyoTM_train.mat and tokyoTM_val.mat into data/tokyotm/datasets, or name "
        "another folder under `dataset_roots: {tokyotm: ...}`"
    ),
    page="https://www.di.ens.fr/willow/research/netvlad",
    licence="for research, on request; its images are Google Street View's",
    citation="Arandjelovic, Gronat, Torii, Pajdla, Sivic: NetVLAD: CNN architecture for weakly supervised place "
    "recognition, CVPR 2016",
)
