"""A protocol defines which database images are hits for a query. Recalls of two protocols do not compare."""

import operator
from dataclasses import dataclass, replace

from vprlib.data.geometry import within

FIXED = "fixed"  # how query photos are fitted to the network's size; the others are `vprlib.images.framing.FRAMINGS`
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
    framing: str = FIXED  # how query photos are fitted to the network's size, one of `vprlib.images.framing.FRAMINGS`

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
