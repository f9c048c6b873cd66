"""Mapillary Street-Level Sequences (Warburg et al., CVPR 2020): `train_val/{city}/{query,database}/*.csv` and images.

Positions are the published UTM metres, each city's in its own zone; no two cities come closer than 60 km in these
numbers, so that a radius never joins them. Panoramas are left out, as by its authors' own code. Extra columns: `city`,
`light` (day, night), `view` (Forward, Backward, Sideways), `sequence`, `frame`, and, where `subtask_index.csv` is,
`subset740` (0 or 1).

Two sets of queries of cph and sf are in use, and their recalls differ by 4 points: all of them, about 11,000
(deep-visual-geo-localization-benchmark), and the 740 of the official code (GSV-Cities, MixVPR): those of the sub-task
`all` that have a database image of their city within 25 m; 7 of 747 have none. Papers search both cities at once
("mixed"); the official evaluation, Patch-NetVLAD and others search a query's own city.
"""

from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.geometry import within
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

TRAIN = (
    "trondheim", "london", "boston", "melbourne", "amsterdam", "helsinki", "tokyo", "toronto", "saopaulo", "moscow",
    "zurich", "paris", "bangkok", "budapest", "austin", "berlin", "ottawa", "phoenix", "goa", "amman", "nairobi",
    "manila",
)  # fmt: skip
VAL = ("cph", "sf")
RADIUS = 25.0
CSVS = {
    "raw.csv": ("ca", "captured_at", "pano"),
    "postprocessed.csv": ("easting", "northing", "night", "view_direction"),
    "seq_info.csv": ("sequence_key", "frame_number"),
}
ROLES = ("database", "query")


def read_msls(root: Path, *, cities: dict):
    """Read the cities' tables.

    Args:
        root: the folder that holds `train_val`.
        cities: city -> its split.

    Raises:
        InputError: a table cannot be read, lacks a column or lists other images than its neighbours.
    """
    import pandas as pd

    return pd.concat([_city(root, city, split) for city, split in cities.items()], ignore_index=True)


def _city(root: Path, city: str, split: str):
    import numpy as np
    import pandas as pd

    parts = [_role(root, Path("train_val", city, role), role) for role in ROLES]
    table = pd.concat(parts, ignore_index=True).assign(city=city, split=split)
    if "all" in table:
        query, database = (table[table.role == role] for role in ("query", "database"))
        near = within(query[["east", "north"]], database[["east", "north"]], RADIUS)
        listed = query["all"].to_numpy() & np.array([len(found) > 0 for found in near], bool)
        table["subset740"] = 0
        table.loc[query.index[listed], "subset740"] = 1
        table = table.drop(columns="all")
    return table


def _role(root: Path, folder: Path, role: str):
    import pandas as pd

    tables = [_read(root / folder / name, columns) for name, columns in CSVS.items()]
    subtask = root / folder / "subtask_index.csv"
    if role == "query" and subtask.exists():
        tables.append(_read(subtask, ("all",)))
    for name, other in zip(CSVS, tables[1:], strict=False):
        if not tables[0].index.sort_values().equals(other.index.sort_values()):
            raise InputError(f"{root / folder}: {name} and its neighbours list different images")
    joined = tables[0].join(tables[1:])
    flags = {column: joined[column].astype(str) == "True" for column in ("pano", "night", "all") if column in joined}
    table = pd.DataFrame(
        {
            "path": [f"{folder}/images/{key}.jpg" for key in joined.index],
            "role": role,
            "east": joined.easting.to_numpy(),
            "north": joined.northing.to_numpy(),
            "heading": joined.ca.to_numpy(),
            "time": joined.captured_at.astype(str).to_numpy(),
            "light": flags["night"].map({True: "night", False: "day"}).to_numpy(),
            "view": joined.view_direction.to_numpy(),
            "sequence": joined.sequence_key.to_numpy(),
            "frame": joined.frame_number.to_numpy(),
        }
    )
    if "all" in flags:
        table["all"] = flags["all"].to_numpy()
    return table[~flags["pano"].to_numpy()]


def _read(path: Path, columns: tuple):
    """The wanted columns of a table, by image key."""
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["key", *columns], dtype={"key": str}, index_col="key")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: cannot be read as a table with key, {', '.join(columns)} ({error})") from error
    if table.index.hasnans or table.index.has_duplicates:
        raise InputError(f"{path}: an image's key is missing or listed twice")
    return table


def msls_dataset(name: str, cities: dict, protocols: tuple, **declaration) -> Dataset:
    return Dataset(
        index=partial(read_msls, cities=cities),
        files=tuple(f"train_val/{city}/{role}/{csv}" for city in cities for role in ROLES for csv in CSVS),
        root=Path("data/msls"),
        protocols=protocols,
        access=(
            "MSLS is given to who registers on www.mapillary.com/dataset/places: unpack metadata.zip, images_vol_*.zip "
            "and then the patches into data/msls (train_val/{city}/{query,database}, with raw.csv, postprocessed.csv, "
            f"seq_info.csv, subtask_index.csv and images), or name another folder under `roots: {{{name}: ...}}`"
        ),
        page="https://www.mapillary.com/dataset/places",
        licence="Mapillary's terms, accepted on registration; see its page",
        citation="Warburg, Hauberg, Lopez-Antequera, Gargallo, Kuang, Civera: Mapillary Street-Level Sequences: "
        "A Dataset for Lifelong Place Recognition, CVPR 2020",
        **declaration,
    )


MIXED, PER_CITY = (
    Protocol("25 m, 11k, mixed", radius=RADIUS),
    Protocol("25 m, 11k, per city", radius=RADIUS, within="city"),
)
MSLS = msls_dataset(
    "msls", dict.fromkeys(TRAIN, "train") | dict.fromkeys(VAL, "val"), (MIXED,), counts={("val", "database"): 18_871}
)
MSLS_VAL = msls_dataset(
    "msls_val",
    dict.fromkeys(VAL, "test"),
    (
        Protocol("25 m, 740, mixed", radius=RADIUS, queries="subset740"),
        Protocol("25 m, 740, per city", radius=RADIUS, queries="subset740", within="city"),
        MIXED,
        PER_CITY,
    ),
    counts={("test", "database"): 18_871},
)
