"""Tokyo Time Machine (Arandjelovic et al., NetVLAD, CVPR 2016): training and validation for Tokyo 24/7.

Google Street View of one place at several times; an image's time stamp, a month, becomes the column `time`. The authors
drew the queries from the database; here a photo that is a query is in the database no more, or each would find itself.
A query's other views of the same time stay there, so the authors count a positive only if its time is another: the
first protocol.
"""

from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.data.protocol import Protocol

SPLITS = {split: f"datasets/tokyoTM_{split}.mat" for split in ("train", "val")}


def tokyotm_panorama(names: list) -> list:
    """The folder of an image, of one panorama at one time: `a/b/201503/x.jpg` -> `a/b/201503`."""
    return [str(Path(name).parent) for name in names]


def read_tokyotm(root: Path):
    folders = {"database": "images", "query": "images"}
    table = read_dbstruct(root, splits=SPLITS, folders=folders, place=tokyotm_panorama)
    asked = set(table.path[table.role == "query"])
    return table[(table.role == "query") | ~table.path.isin(asked)].reset_index(drop=True)


TOKYOTM = Dataset(
    index=read_tokyotm,
    files=tuple(SPLITS.values()),
    root=Path("data/tokyotm"),
    protocols=(Protocol("25 m, another time", radius=25, differs="time"), Protocol("25 m, any time", radius=25)),
    access=(
        "Tokyo Time Machine is given on request: ask its authors through the NetVLAD project page "
        "(www.di.ens.fr/willow/research/netvlad); put its images into data/tokyotm/images, the page's "
        "tokyoTM_train.mat and tokyoTM_val.mat into data/tokyotm/datasets, or name "
        "another folder under `roots: {tokyotm: ...}`"
    ),
    page="https://www.di.ens.fr/willow/research/netvlad",
    licence="for research, on request; its images are Google Street View's",
    citation="Arandjelovic, Gronat, Torii, Pajdla, Sivic: NetVLAD: CNN architecture for weakly supervised place "
    "recognition, CVPR 2016",
)
