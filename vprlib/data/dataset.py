"""What a dataset is: where its files lie, how they become one table of images, and how a hit is judged."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vprlib.data.image_table import COLUMNS, OPTIONAL, ROLES, SPLITS, row_numbers, select_rows
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError


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
            InputError: a file is missing, with how to get it; or the table cannot be used, with its first bad row.
        """
        missing = [name for name in self.files if not (self.root / name).exists()]
        if missing:
            raise InputError(f"{self.root / missing[0]}: no such file. {self.access}")
        table = self.index(self.root)
        for column in COLUMNS:
            if column not in table and column not in OPTIONAL:
                raise InputError(
                    f"{self.root / self.files[0]}: has no column {column!r}; it has {', '.join(map(repr, table))}"
                )
        table = table.reindex(columns=[*COLUMNS, *(column for column in table if column not in COLUMNS)])
        if table.path.isna().any():
            row = 1 + int(table.path.isna().to_numpy().argmax())
            raise InputError(f"{self.root / self.files[0]}: row {row} has no path")
        table["path"] = [join_path(self.root, path) for path in table.path]
        self._check(table)
        for protocol in self.protocols:
            for column in filter(None, (protocol.queries, protocol.within, protocol.differs)):
                if column not in table or (column == protocol.differs and table[column].isna().any()):
                    raise InputError(
                        f"{self.root}: protocol {protocol.name!r} needs the column {column!r}, and what it is read "
                        f"from is not there. {self.access}"
                    )
        return table

    def positives(self, table, split: str) -> list:
        """For each query of a split, the row numbers among its database images that are right, as training judges."""
        return self.protocols[0].trained.positives(
            select_rows(table, split, "query"), select_rows(table, split, "database")
        )

    def _check(self, table):
        source = self.root / self.files[0]
        for column, allowed in (("split", SPLITS), ("role", ROLES)):
            bad = table[~table[column].isin(allowed)]
            if len(bad):
                row = bad.iloc[0]
                raise InputError(f"{source}: {row.path}: {column} {row[column]!r} is not one of {', '.join(allowed)}")
        for column in ("east", "north"):
            bad = table[~_finite(table[column])]
            if len(bad):
                row = bad.iloc[0]
                raise InputError(f"{source}: {row.path}: {column} is {row[column]}, not a number of metres")
        homeless = table[(table.role == "database") & table.place.isna()]
        if any(protocol.views_per_place for protocol in self.protocols) and len(homeless):
            raise InputError(f"{source}: {homeless.path.iloc[0]}: has no place, and views_per_place needs it")
        if table.path.duplicated().any():
            raise InputError(f"{source}: {table.path[table.path.duplicated()].iloc[0]} is listed twice")
        if table.empty:
            raise InputError(f"{source}: lists no image")
        for split in [split for split in SPLITS if (table.split == split).any()]:
            for role in ROLES:
                lacking = self.may_lack_queries and (split, role) == ("test", "query")
                if not lacking and select_rows(table, split, role).empty:
                    raise InputError(f"{source}: split {split} has no {role} image")
            if len(row_numbers(table, split, "query")) and not any(
                len(found) for found in self.positives(table, split)
            ):
                raise InputError(
                    f"{source}: no query of split {split} has a database image within {self.protocols[0].reach}; "
                    f"check the radius and the unit of the coordinates"
                )


def join_path(folder, path: str) -> str:
    """As `str(Path(folder, path))` of paths without `//` and inner `.`, in a tenth of the time: there are 280,000."""
    joined = os.path.join(folder, path.removeprefix("./"))  # noqa: PTH118
    return joined.removeprefix("./")


def _finite(column):
    import numpy as np
    import pandas as pd

    return np.isfinite(pd.to_numeric(column, errors="coerce"))
