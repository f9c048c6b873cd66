"""Read a ranking file and the ground truth of one protocol as `Predictions`."""

from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from vprlib.data.image_table import read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.evaluation.recall import first_views
from vprlib.exceptions import InputError


class Predictions(NamedTuple):
    """A ranking file as one protocol sees it: the images that it ranks and what is right."""

    query: pd.DataFrame  # the image table's rows that were searched for
    database: pd.DataFrame  # and those that were searched in
    positives: list  # for each query the database indices within the hit radius
    rankings: dict  # kind of descriptor -> (Q, K) int64, views suppressed where the protocol asks for it
    scores: dict  # kind of descriptor -> (Q, K) float32, dot products; -inf beside a -1
    dims: dict  # kind of descriptor -> its dimension
    sources: dict  # what the descriptors were made from

    @property
    def kind(self) -> str:
        """The kind of descriptor that pictures show: whitened if there is one."""
        return "whitened" if "whitened" in self.rankings else next(iter(self.rankings))

    @property
    def shown(self) -> np.ndarray:
        """The ranking that pictures show."""
        return self.rankings[self.kind]

    @property
    def reranked(self) -> str:
        """The method that the candidates were ranked anew by, or `none`."""
        return self.sources.get("rerank", "none")

    def of(self, rows) -> "Predictions":
        """The same of some queries only."""
        kinds = {name: {kind: x[rows] for kind, x in getattr(self, name).items()} for name in ("rankings", "scores")}
        return self._replace(query=self.query.iloc[rows], positives=[self.positives[row] for row in rows], **kinds)


def check_protocol_columns(images, table, database, protocol: Protocol):
    """Refuse a table that lacks what a protocol needs: it was indexed for another one.

    Raises:
        InputError: naming the column.
    """
    lacking = [column for column in (protocol.queries, protocol.within) if column and column not in table]
    if protocol.views_per_place and database.place.isna().any():
        lacking.append("place")
    if lacking:
        raise InputError(
            f"{images}: has no {lacking[0]!r} of every photo, and {protocol.name!r} needs it; run `snakemake -R index`"
        )


class EvaluatedQueries(NamedTuple):
    """What a protocol asks of an image table."""

    query: pd.DataFrame  # the queries that are asked
    database: pd.DataFrame  # the images that are searched
    positives: list  # for each query the database indices within the hit radius
    rows_Q: np.ndarray  # the queries' numbers among all of the test split, which a ranking file has rows of
    of: int  # how many these are


def select_evaluated_queries(images, protocol: Protocol) -> EvaluatedQueries:
    """The queries of the test split that a protocol asks, and what is right.

    Raises:
        InputError: if there is none, or the table lacks a column that the protocol needs.
    """
    table = read_image_table(images)
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    if query.empty:
        raise InputError(f"{images}: the test split has no query; it can be described, but not evaluated")
    check_protocol_columns(images, table, database, protocol)
    rows = np.flatnonzero(query[protocol.queries] == 1) if protocol.queries else np.arange(len(query))
    if not len(rows):
        raise InputError(f"{images}: no test query has a 1 in column {protocol.queries!r} of {protocol.name!r}")
    some = query.iloc[rows]
    return EvaluatedQueries(some, database, protocol.positives(some, database), rows, len(query))


def load_predictions(*, images, ranking, protocol: Protocol) -> Predictions:
    """Read a ranking and judge it against the test split of an image table.

    Raises:
        InputError: as `asked`, or the ranking was made for another image table.
    """
    return read_predictions(
        select_evaluated_queries(images, protocol), images=images, ranking=ranking, protocol=protocol
    )


def read_predictions(question: EvaluatedQueries, *, images, ranking, protocol: Protocol) -> Predictions:
    """`searched`, where what is asked was read before."""
    query, database, positives, rows, of = question
    with h5py.File(ranking, "r") as file:
        scope = file[protocol.scope]
        rankings = {kind: scope[kind]["ranking"][:] for kind in scope}
        scores = {kind: scope[kind]["score"][:] for kind in scope}
        dims = {kind: int(scope[kind]["dim"][()]) for kind in scope}
        sources = dict(file.attrs)
    for found in rankings.values():
        if len(found) != of or found.max(initial=0) >= len(database):
            raise InputError(f"{ranking}: was searched in other images than {images}; run `snakemake -R extract`")
    if protocol.queries:
        rankings, scores = ({kind: x[rows] for kind, x in part.items()} for part in (rankings, scores))
    if protocol.views_per_place:
        place = pd.factorize(database.place)[0]
        for kind, ranking_QK in rankings.items():
            front, kept = first_views(ranking_QK, place)
            rankings[kind] = np.where(kept, np.take_along_axis(ranking_QK, front, 1), -1)
            scores[kind] = np.where(kept, np.take_along_axis(scores[kind], front, 1), -np.inf)
    return Predictions(query, database, positives, rankings, scores, dims, sources)
