"""Dataset declarations: where a dataset's files are, how they become an image table, and its protocols."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vprlib.data.image_table import COLUMNS, OPTIONAL, ROLES, SPLITS, row_numbers, select_rows
from vprlib.data.positions import check_metres
from vprlib.data.protocol import Protocol, check_positives
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from vprlib.io.download.remote_file import RemoteFile


@dataclass(frozen=True)
class Dataset:
    """Declaration of a dataset. No file is read before `table` is called.

    Attributes:
        read_images: called with the root; returns a DataFrame of COLUMNS and conditions, with paths relative to the
            root. The columns OPTIONAL may be left out.
        files: what `read_images` reads, relative to the root: files, or the folder whose listing it reads.
        root: folder of the files as published.
        protocols: the protocols that it is evaluated by; figures show the first.
        access: how to get the dataset: whom to ask, which files.
        counts: (split, role) -> number of images.
        remotes: files that anyone may download.
        zone: UTM zone, as 54N, if it is known and all positions are metres of it.
        page: address of the owners' description.
        licence: the licence's terms.
        citation: the publication to cite.
        may_lack_queries: whether a test split may have a database only, to be described.
        render: called with (root, size, workers); writes the files of an embedded dataset.
        declared: all protocols of the dataset, if `protocols` are chosen ones; the first is the dataset's own.
    """

    read_images: Callable[[Path], pd.DataFrame]
    files: tuple[str, ...]
    root: Path
    protocols: tuple[Protocol, ...]
    access: str
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    remotes: tuple[RemoteFile, ...] = ()
    zone: str = ""
    page: str = ""
    licence: str = ""
    citation: str = ""
    may_lack_queries: bool = False
    render: Callable[..., None] | None = None
    declared: tuple[Protocol, ...] = ()

    @property
    def own_protocol(self) -> Protocol:
        """Return the first declared protocol: training and validation use it, whichever are evaluated."""
        return (self.declared or self.protocols)[0]

    @property
    def radius(self) -> float:
        """Return the hit radius of the dataset's own protocol, in its unit."""
        return self.own_protocol.radius

    @property
    def views_per_place(self) -> int:
        """Return the largest number of views of a place that one of the dataset's protocols counts as one, or 1."""
        return max(one.views_per_place or 1 for one in (*self.declared, *self.protocols))

    def table(self) -> pd.DataFrame:
        """Read the image table: one row per image, with COLUMNS first.

        `path` can be opened from the working folder; coordinates are in the unit of the protocols.

        Raises:
            InputError: a file is missing (the message says how to get it), or the table cannot be used (the message
                names its first bad row).
        """
        missing = [name for name in self.files if not (self.root / name).exists()]
        if missing:
            raise InputError(f"{self.root / missing[0]}: no such file. {self.access}")
        table = self.read_images(self.root)
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
            for column in filter(None, (protocol.queries, protocol.same_column, protocol.different_column)):
                if column not in table or (column == protocol.different_column and table[column].isna().any()):
                    raise InputError(
                        f"{self.root}: protocol {protocol.name!r} needs the column {column!r}, and the files do not "
                        f"give it for all images. {self.access}"
                    )
        return table

    def positives(self, table: pd.DataFrame, split: str) -> list[NDArray[np.int64]]:
        """Find the correct database images of each query of a split, under the protocol used for training.

        Returns:
            For each query, row numbers among the split's database images, increasing.
        """
        return self.own_protocol.for_training.positives(
            select_rows(table, split, "query"), select_rows(table, split, "database")
        )

    def _check(self, table: pd.DataFrame) -> None:
        """Check the values of the image table.

        Raises:
            InputError: a row cannot be used, a split lacks images, positions can only be degrees, or the positives of
                a split's queries are none or all of its database images.
        """
        source = self.root / self.files[0]
        for column, allowed in (("split", SPLITS), ("role", ROLES)):
            bad = table[~table[column].isin(allowed)]
            if len(bad):
                row = bad.iloc[0]
                raise InputError(f"{source}: {row.path}: {column} {row[column]!r} is not one of {', '.join(allowed)}")
        for column in ("east", "north"):
            bad = table[~_is_finite(table[column])]
            if len(bad):
                row = bad.iloc[0]
                raise InputError(f"{source}: {row.path}: {column} is {row[column]}, not a finite number")
        homeless = table[(table.role == "database") & table.place.isna()]
        if any(protocol.views_per_place for protocol in self.protocols) and len(homeless):
            raise InputError(f"{source}: {homeless.path.iloc[0]}: has no place, and views_per_place needs it")
        if table.path.duplicated().any():
            raise InputError(f"{source}: {table.path[table.path.duplicated()].iloc[0]} is listed twice")
        if table.empty:
            raise InputError(f"{source}: lists no image")
        if self.own_protocol.unit == "m":
            check_metres(table.astype({"east": float, "north": float}), source, self.radius)
        for split in [split for split in SPLITS if (table.split == split).any()]:
            for role in ROLES:
                lacking = self.may_lack_queries and (split, role) == ("test", "query")
                if not lacking and select_rows(table, split, role).empty:
                    raise InputError(f"{source}: split {split} has no {role} image")
            if len(row_numbers(table, split, "query")):
                database = select_rows(table, split, "database")
                positives = self.positives(table, split)
                check_positives(positives, database, source=source, split=split, protocol=self.own_protocol)


def join_path(folder: str | os.PathLike[str], path: str) -> str:
    """Join a folder and a path without `//` and inner `.`, in a tenth of the time of `str(Path(folder, path))`.

    A dataset has up to 280,000 paths.

    >>> join_path("data", "./000/a.jpg"), join_path(".", "a.jpg")
    ('data/000/a.jpg', 'a.jpg')
    """
    joined = os.path.join(folder, path.removeprefix("./"))  # noqa: PTH118
    return joined.removeprefix("./")


def _is_finite(column: pd.Series) -> pd.Series:
    """Return for each value whether it is a finite number."""
    import numpy as np
    import pandas as pd

    return np.isfinite(pd.to_numeric(column, errors="coerce"))
