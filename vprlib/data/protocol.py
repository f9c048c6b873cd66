"""Evaluation protocols: a protocol defines which database images are correct for a query.

Recalls under two protocols are not comparable.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vprlib.data.geometry import within

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FIXED = "fixed"  # default framing of query photos; the others are in `vprlib.images.framing.FRAMINGS`
EVERYWHERE = "all"  # search scope of protocols without `same_column`


@dataclass(frozen=True)
class Protocol:
    """Definition of a hit. Every reported number carries the protocol's name.

    Attributes:
        name: the protocol's name.
        radius: a hit lies at most this far from the query, in `unit`.
        unit: unit of the coordinates: "m", or "frames" of a traverse.
        views_per_place: number of images of a place, if only the first of them counts among the candidates.
        queries: a column of the image table: the queries are those that have a 1 there. None means all queries.
        same_column: a column: a query is searched among the database images with the same value there.
        different_column: a column: a hit has another value there than the query, for example another time.
        framing: how query photos are fitted to the network's input size, one of `vprlib.images.framing.FRAMINGS`.
    """

    name: str
    radius: float
    unit: str = "m"
    views_per_place: int | None = None
    queries: str | None = None
    same_column: str | None = None
    different_column: str | None = None
    framing: str = FIXED

    @property
    def search_scope(self) -> str:
        """Return the name, in a ranking file, of the search that this protocol needs.

        >>> Protocol("25 m", 25).search_scope, Protocol("per city", 25, same_column="city").search_scope
        ('all', 'city')
        """
        return (self.same_column or EVERYWHERE) + ("" if self.framing == FIXED else f"@{self.framing}")

    def positives(self, query: pd.DataFrame, database: pd.DataFrame) -> list[NDArray[np.int64]]:
        """Find the correct database images of each query.

        Args:
            query: image table of Q queries.
            database: image table of N database images.

        Returns:
            Q arrays of row numbers of `database`, increasing.
        """
        positives = within(query[["east", "north"]], database[["east", "north"]], self.radius)
        for column, compare in ((self.same_column, operator.eq), (self.different_column, operator.ne)):
            if column:
                query_values, database_values = query[column].to_numpy(), database[column].to_numpy()
                positives = [
                    rows[compare(database_values[rows], value)]
                    for rows, value in zip(positives, query_values, strict=True)
                ]
        return positives

    @property
    def for_training(self) -> Protocol:
        """Return the protocol used for training and validation: all queries, searched in the whole database."""
        return replace(self, queries=None, same_column=None)

    @property
    def radius_text(self) -> str:
        """Return the radius with its unit.

        >>> Protocol("25 m", radius=25).radius_text
        '25 m'
        """
        return f"{self.radius:g} {self.unit}"
