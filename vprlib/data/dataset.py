"""What a dataset is: where its files lie, how they become one table of images, and how a hit is judged."""

import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vprlib.data.geometry import within
from vprlib.io.files import BadInput

COLUMNS = ("path", "split", "role", "place", "east", "north", "heading", "time")  # any others are conditions
OPTIONAL = ("place", "heading", "time")
SPLITS = ("train", "val", "test")
ROLES = ("database", "query")
FIXED = "fixed"  # how query photos are fitted to the network's size; the others are `vprlib.images.loader.FRAMINGS`
PHOTOS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
EVERYWHERE = "all"  # the scope of a search that no column bounds


@dataclass(frozen=True)
class Protocol:
    """How a hit is judged. Its name stands beside every number: numbers of two protocols do not compare."""

    name: str
    radius: float  # a hit lies at most this far from the query, in `unit`
    unit: str = "m"  # of the coordinates: metres, or frames of a traverse
    views_per_place: int | None = None  # only the first image of a place counts among the candidates, of so many views
    queries: str | None = None  # a column of the image table: the queries that have a 1 there; all, if none
    within: str | None = None  # a column: a query is searched among the database images that agree with it there
    differs: str | None = None  # a column: a hit has another value there than the query, as another time
    framing: str = FIXED  # how query photos are fitted to the network's size, one of `vprlib.images.loader.FRAMINGS`

    @property
    def scope(self) -> str:
        """The search that this protocol needs, as a ranking file names it."""
        return (self.within or EVERYWHERE) + ("" if self.framing == FIXED else f"@{self.framing}")

    def positives(self, query, database) -> list:
        """For each query, of a table, the row numbers of the database images that are right."""
        near = within(query[["east", "north"]], database[["east", "north"]], self.radius)
        for column, wanted in ((self.within, operator.eq), (self.differs, operator.ne)):
            if column:
                own, theirs = query[column].to_numpy(), database[column].to_numpy()
                near = [rows[wanted(theirs[rows], value)] for rows, value in zip(near, own, strict=True)]
        return near

    @property
    def trained(self) -> "Protocol":
        """As training judges: it asks all queries, and knows no cities."""
        return replace(self, queries=None, within=None)

    @property
    def reach(self) -> str:
        return f"{self.radius:g} {self.unit}"


@dataclass(frozen=True)
class Dataset:
    """A declaration; nothing is read until `table`."""

    index: Callable  # root -> DataFrame of COLUMNS and conditions, paths relative to the root; OPTIONAL may be left out
    files: tuple  # what `index` reads, relative to the root: files, or the folder whose listing it reads
    root: Path  # the folder of the files as published
    protocols: tuple[Protocol, ...]  # the first is its own: training judges val by it
    access: str  # where to get it: whom to ask, which files
    counts: Mapping = field(default_factory=dict)  # (split, role) -> number of images
    remotes: tuple = ()  # download.Remote: what anyone may download
    zone: str = ""  # of UTM, as 54N, where all positions are its metres and it is known
    page: str = ""  # where its owners describe it
    licence: str = ""
    citation: str = ""
    may_lack_queries: bool = False  # a test split may be a database alone, to be described
    render: Callable | None = None  # (root, size, workers) -> None writes the files of an embedded dataset

    @property
    def radius_m(self) -> float:
        return self.protocols[0].radius

    def table(self):
        """The image table: one row an image, `path` openable from the working folder, coordinates in metres.

        Raises:
            BadInput: a file is missing, with how to get it; or the table cannot be used, with its first bad row.
        """
        missing = [name for name in self.files if not (self.root / name).exists()]
        if missing:
            raise BadInput(f"{self.root / missing[0]}: no such file. {self.access}")
        table = self.index(self.root)
        for column in COLUMNS:
            if column not in table and column not in OPTIONAL:
                raise BadInput(
                    f"{self.root / self.files[0]}: has no column {column!r}; it has {', '.join(map(repr, table))}"
                )
        table = table.reindex(columns=[*COLUMNS, *(column for column in table if column not in COLUMNS)])
        if table.path.isna().any():
            row = 1 + int(table.path.isna().to_numpy().argmax())
            raise BadInput(f"{self.root / self.files[0]}: row {row} has no path")
        table["path"] = [join(self.root, path) for path in table.path]
        self._check(table)
        for protocol in self.protocols:
            for column in filter(None, (protocol.queries, protocol.within, protocol.differs)):
                if column not in table or (column == protocol.differs and table[column].isna().any()):
                    raise BadInput(
                        f"{self.root}: protocol {protocol.name!r} needs the column {column!r}, and what it is read "
                        f"from is not there. {self.access}"
                    )
        return table

    def positives(self, table, split: str) -> list:
        """For each query of a split, the row numbers among its database images that are right, as training judges."""
        return self.protocols[0].trained.positives(select(table, split, "query"), select(table, split, "database"))

    def _check(self, table):
        source = self.root / self.files[0]
        for column, allowed in (("split", SPLITS), ("role", ROLES)):
            bad = table[~table[column].isin(allowed)]
            if len(bad):
                row = bad.iloc[0]
                raise BadInput(f"{source}: {row.path}: {column} {row[column]!r} is not one of {', '.join(allowed)}")
        for column in ("east", "north"):
            bad = table[~_finite(table[column])]
            if len(bad):
                row = bad.iloc[0]
                raise BadInput(f"{source}: {row.path}: {column} is {row[column]}, not a number of metres")
        homeless = table[(table.role == "database") & table.place.isna()]
        if any(protocol.views_per_place for protocol in self.protocols) and len(homeless):
            raise BadInput(f"{source}: {homeless.path.iloc[0]}: has no place, and views_per_place needs it")
        if table.path.duplicated().any():
            raise BadInput(f"{source}: {table.path[table.path.duplicated()].iloc[0]} is listed twice")
        if table.empty:
            raise BadInput(f"{source}: lists no image")
        for split in [split for split in SPLITS if (table.split == split).any()]:
            for role in ROLES:
                lacking = self.may_lack_queries and (split, role) == ("test", "query")
                if not lacking and select(table, split, role).empty:
                    raise BadInput(f"{source}: split {split} has no {role} image")
            if len(rows(table, split, "query")) and not any(len(found) for found in self.positives(table, split)):
                raise BadInput(
                    f"{source}: no query of split {split} has a database image within {self.protocols[0].reach}; "
                    f"check the radius and the unit of the coordinates"
                )


def join(folder, path: str) -> str:
    """As `str(Path(folder, path))` of paths without `//` and inner `.`, in a tenth of the time: there are 280,000."""
    joined = os.path.join(folder, path.removeprefix("./"))  # noqa: PTH118
    return joined.removeprefix("./")


def photos_under(folder: Path) -> list:
    """The photos below a folder, as sorted paths relative to it; links are followed, hidden files are not seen.

    Raises:
        BadInput: if there is none.
    """
    names = sorted(
        os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118
        for where, _, found in os.walk(folder, followlinks=True)
        for name in found
        if name.lower().endswith(PHOTOS) and not name.startswith(".")
    )
    if not names:
        raise BadInput(f"{folder}: holds no photo ({', '.join(PHOTOS)})")
    return names


def read_table(path):
    """An image table from its file; places and times are labels, whatever they look like."""
    import pandas as pd

    return pd.read_csv(path, dtype={"place": str, "time": str})


def rows(table, split: str, role: str):
    """The row numbers of one split and role, increasing."""
    import numpy as np

    return np.flatnonzero((table.split == split) & (table.role == role))


def select(table, split: str, role: str):
    """The rows of one split and role, renumbered from 0 in the table's order."""
    return table.iloc[rows(table, split, role)].reset_index(drop=True)


def _finite(column):
    import numpy as np
    import pandas as pd

    return np.isfinite(pd.to_numeric(column, errors="coerce"))
