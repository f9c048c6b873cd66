"""Mapillary Street-Level Sequences (Warburg et al., CVPR 2020): `train_val/{city}/{query,database}/*.csv` and images.

Positions are the published UTM metres, in each city's own zone. In these numbers no two cities are closer than 60 km,
so no radius joins them. Panoramas are left out, as in the authors' code. Extra columns: `city`, `light` (day, night),
`view` (Forward, Backward, Sideways), `sequence`, `frame`, and, if `subtask_index.csv` exists, `subset740` (0 or 1).

Two query sets of cph and sf are in use, and their recalls differ by 4 points. One has all queries, about 11,000
(deep-visual-geo-localization-benchmark). The other has the 740 queries of the official code (GSV-Cities, MixVPR): those
of the sub-task `all` that have a database image of their city within 25 m; 7 of 747 have none. Many papers search
the images of both cities together ("mixed"); the official evaluation, Patch-NetVLAD and others search only the query's
city.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.dataset import Dataset
from vprlib.data.geometry import within
from vprlib.data.protocol import Protocol
from vprlib.data.text_table import read_text_table
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

TRAIN = (
    "trondheim", "london", "boston", "melbourne", "amsterdam", "helsinki", "tokyo", "toronto", "saopaulo", "moscow",
    "zurich", "paris", "bangkok", "budapest", "austin", "berlin", "ottawa", "phoenix", "goa", "amman", "nairobi",
    "manila",
)  # fmt: skip
VAL = ("cph", "sf")
RADIUS = 25.0  # metres
CSVS = {  # table -> the columns to read
    "raw.csv": ("ca", "captured_at", "pano"),
    "postprocessed.csv": ("easting", "northing", "night", "view_direction"),
    "seq_info.csv": ("sequence_key", "frame_number"),
}
NUMBERS = ("ca", "easting", "northing", "frame_number")
ROLES = ("database", "query")


def read_msls(root: Path, *, cities: Mapping[str, str]) -> pd.DataFrame:
    """Read the tables of some cities into an image table.

    Args:
        root: the folder that holds `train_val`.
        cities: city -> split.

    Raises:
        InputError: a table cannot be read, lacks a column or lists other images than the other tables of its folder.
    """
    import pandas as pd

    return pd.concat([_read_city(root, city, split) for city, split in cities.items()], ignore_index=True)


def _read_city(root: Path, city: str, split: str) -> pd.DataFrame:
    """Read the database and queries of one city, with the columns `city`, `split` and, if possible, `subset740`."""
    import numpy as np
    import pandas as pd

    parts = [_read_role(root, Path("train_val", city, role), role) for role in ROLES]
    table = pd.concat(parts, ignore_index=True).assign(city=city, split=split)
    if "all" in table:
        query, database = (table[table.role == role] for role in ("query", "database"))
        positives = within(query[["east", "north"]], database[["east", "north"]], RADIUS)
        listed = query["all"].to_numpy() & np.array([len(indices) > 0 for indices in positives], bool)
        table["subset740"] = 0
        table.loc[query.index[listed], "subset740"] = 1
        table = table.drop(columns="all")
    return table


def _read_role(root: Path, folder: Path, role: str) -> pd.DataFrame:
    """Read the database images or the queries of one city, without panoramas.

    The column `all`, whether a query belongs to the sub-task `all`, is there only for queries with a
    `subtask_index.csv`.

    Raises:
        InputError: a table cannot be read, or the tables list different images.
    """
    import pandas as pd

    first, *others = [_read_csv(root / folder / name, columns) for name, columns in CSVS.items()]
    subtask = root / folder / "subtask_index.csv"
    if role == "query" and subtask.exists():
        others.append(_read_csv(subtask, ("all",)))
    for name, other in zip(CSVS, others, strict=False):
        if not first.index.sort_values().equals(other.index.sort_values()):
            raise InputError(f"{root / folder}: {name} and the other tables list different images")
    joined = first.join([*others])
    flags = {column: joined[column].astype(str) == "True" for column in ("pano", "night", "all") if column in joined}
    table = pd.DataFrame(
        {
            "path": [f"{folder}/images/{key}.jpg" for key in joined.index],
            "role": role,
            "east": joined.easting.to_numpy(),
            "north": joined.northing.to_numpy(),
            "heading": joined.ca.to_numpy(),
            "time": joined.captured_at.to_numpy(),
            "light": flags["night"].map({True: "night", False: "day"}).to_numpy(),
            "view": joined.view_direction.to_numpy(),
            "sequence": joined.sequence_key.to_numpy(),
            "frame": joined.frame_number.to_numpy(),
        }
    )
    if "all" in flags:
        table["all"] = flags["all"].to_numpy()
    return table[~flags["pano"].to_numpy()]


def _read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read some columns of a table, indexed by the images' keys.

    Raises:
        InputError: the table cannot be read, lacks a column, or has a missing or repeated key.
    """
    try:
        table = read_text_table(path, lambda column: column in NUMBERS)[["key", *columns]].set_index("key")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a table with key, {', '.join(columns)} ({error})") from error
    if table.index.hasnans or table.index.has_duplicates:
        raise InputError(f"{path}: an image's key is missing or listed twice")
    return table


def msls_dataset(name: str, cities: Mapping[str, str], protocols: tuple[Protocol, ...], **declaration: Any) -> Dataset:
    """Declare a dataset of some cities.

    Args:
        name: the dataset's name, for messages.
        cities: city -> split.
        protocols: the dataset's protocols.
        **declaration: more fields of Dataset.
    """
    return Dataset(
        read_images=partial(read_msls, cities=cities),
        files=tuple(f"train_val/{city}/{role}/{csv}" for city in cities for role in ROLES for csv in CSVS),
        root=Path("data/msls"),
        protocols=protocols,
        access=(
            "MSLS is given on registration at www.mapillary.com/dataset/places: unpack metadata.zip, images_vol_*.zip "
            "and then the patches into data/msls (train_val/{city}/{query,database}, with raw.csv, postprocessed.csv, "
            "seq_info.csv, subtask_index.csv and images), or name another folder under "
            f"`dataset_roots: {{{name}: ...}}`"
        ),
        page="https://www.mapillary.com/dataset/places",
        licence="Mapillary's terms, accepted on registration; see its page",
        citation="Warburg, Hauberg, Lopez-Antequera, Gargallo, Kuang, Civera: Mapillary Street-Level Sequences: "
        "A Dataset for Lifelong Place Recognition, CVPR 2020",
        **declaration,
    )


MIXED, PER_CITY = (
    Protocol("25 m, 11k, mixed", radius=RADIUS),
    Protocol("25 m, 11k, per city", radius=RADIUS, same_column="city"),
)
MSLS = msls_dataset(
    "msls", dict.fromkeys(TRAIN, "train") | dict.fromkeys(VAL, "val"), (MIXED,), counts={("val", "database"): 18_871}
)
MSLS_VAL = msls_dataset(
    "msls_val",
    dict.fromkeys(VAL, "test"),
    (
        Protocol("25 m, 740, mixed", radius=RADIUS, queries="subset740"),
        Protocol("25 m, 740, per city", radius=RADIUS, queries="subset740", same_column="city"),
        MIXED,
        PER_CITY,
    ),
    counts={("test", "database"): 18_871},
)
