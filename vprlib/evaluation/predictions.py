"""Read a ranking file and the ground truth of one protocol as `Predictions`.

Axes: Q queries, K candidates of a query.
"""

import os
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.data.image_table import hash_test_photos, read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.evaluation.recall import first_views
from vprlib.exceptions import InputError
from vprlib.io.files import open_h5, read_h5_attributes


class Predictions(NamedTuple):
    """Predictions evaluated under one protocol: queries, database, ground-truth positives and ranked candidates."""

    query: pd.DataFrame  # rows of the image table, one per query
    database: pd.DataFrame  # rows of the image table, one per database image
    positives: list[NDArray[np.int64]]  # for each query the database indices within the hit radius
    rankings: dict[str, NDArray[np.int64]]  # kind of descriptor -> (Q, K), -1 pads; one view per place if required
    scores: dict[str, NDArray[np.float32]]  # kind of descriptor -> (Q, K), dot products; -inf beside a -1
    dimensions: dict[str, int]  # kind of descriptor -> its dimension
    attributes: dict[str, Any]  # of the ranking file: the inputs of the descriptors

    @property
    def default_descriptor(self) -> str:
        """The kind of descriptor that figures show: whitened if there is one."""
        return "whitened" if "whitened" in self.rankings else next(iter(self.rankings))

    @property
    def default_ranking(self) -> NDArray[np.int64]:
        """The ranking that figures show, of `default_descriptor`."""
        return self.rankings[self.default_descriptor]

    @property
    def rerank(self) -> str:
        """The label of the re-ranking, or `none`."""
        return self.attributes.get("rerank", "none")

    @property
    def reranker(self) -> str:
        """The method that re-ranked the candidates with its options, as `alpha_qe(neighbours=5)`, or `none`."""
        return self.attributes.get("reranker", self.rerank)

    def subset(self, rows: NDArray[np.int64]) -> "Predictions":
        """Return the predictions of the queries with these row numbers."""
        return self._replace(
            query=self.query.iloc[rows],
            positives=[self.positives[row] for row in rows],
            rankings={kind: x[rows] for kind, x in self.rankings.items()},
            scores={kind: x[rows] for kind, x in self.scores.items()},
        )


def check_protocol_columns(
    images: str | os.PathLike[str], table: pd.DataFrame, database: pd.DataFrame, protocol: Protocol
) -> None:
    """Check that an image table has the columns that a protocol needs; it lacks them if it was written for another one.

    Raises:
        InputError: naming the missing column.
    """
    missing = [column for column in (protocol.queries, protocol.same_column) if column and column not in table]
    if protocol.views_per_place and database.place.isna().any():
        missing.append("place")
    if missing:
        raise InputError(
            f"{images}: column {missing[0]!r} is missing or incomplete, and protocol {protocol.name!r} needs it; "
            "run again with `-R image_table`"
        )


class EvaluatedQueries(NamedTuple):
    """The queries of an image table that a protocol evaluates, and their ground truth."""

    query: pd.DataFrame  # the evaluated queries
    database: pd.DataFrame  # the database images of the test split
    positives: list[NDArray[np.int64]]  # for each query the database indices within the hit radius
    rows_Q: NDArray[np.int64]  # row of each evaluated query in the test split, and so in a ranking file
    test_count: int  # number of all queries of the test split
    photos: str  # hash of all photos of the test split


def select_evaluated_queries(images: str | os.PathLike[str], protocol: Protocol) -> EvaluatedQueries:
    """Select the queries of the test split that a protocol evaluates, and find their positives.

    Raises:
        InputError: if there is no such query, or the table lacks a column that the protocol needs.
    """
    table = read_image_table(images)
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    if query.empty:
        raise InputError(f"{images}: the test split has no query; descriptors can be extracted, but not evaluated")
    check_protocol_columns(images, table, database, protocol)
    rows = np.flatnonzero(protocol.evaluated(query))
    if not len(rows):
        raise InputError(
            f"{images}: no test query has a 1 in column {protocol.queries!r} of protocol {protocol.name!r}"
        )
    evaluated = query.iloc[rows]
    positives = protocol.positives(evaluated, database)
    return EvaluatedQueries(evaluated, database, positives, rows, len(query), hash_test_photos(table))


def load_predictions(
    *, images: str | os.PathLike[str], ranking: str | os.PathLike[str], protocol: Protocol
) -> Predictions:
    """Read a ranking file and the ground truth of an image table's test split.

    Args:
        images: the image table.
        ranking: the ranking file.
        protocol: selects the queries, and defines a hit.

    Raises:
        InputError: as `select_evaluated_queries`, or if the ranking was made from another image table.
    """
    return read_predictions(
        select_evaluated_queries(images, protocol), images=images, ranking=ranking, protocol=protocol
    )


def read_predictions(
    question: EvaluatedQueries, *, images: str | os.PathLike[str], ranking: str | os.PathLike[str], protocol: Protocol
) -> Predictions:
    """Read a ranking file for queries that are already selected; see `load_predictions`."""
    query, database, positives, rows, test_count, photos = question
    with open_h5(ranking) as file:
        scope = file[protocol.search_scope]
        rankings = {kind: scope[kind]["ranking"][:] for kind in scope}
        scores = {kind: scope[kind]["score"][:] for kind in scope}
        dimensions = {kind: int(scope[kind]["dim"][()]) for kind in scope}
        attributes = read_h5_attributes(file)
    fits = all(len(x_QK) == test_count and x_QK.max(initial=0) < len(database) for x_QK in rankings.values())
    if not fits or attributes.get("photos", photos) != photos:
        raise InputError(
            f"{ranking}: was made from other photos than {images}; run again with `-R extract_descriptors`"
        )
    if protocol.queries:
        rankings, scores = ({kind: x[rows] for kind, x in part.items()} for part in (rankings, scores))
    if protocol.views_per_place:
        place = pd.factorize(database.place)[0]
        for kind, ranking_QK in rankings.items():
            order_QK, first_QK = first_views(ranking_QK, place)
            rankings[kind] = np.where(first_QK, np.take_along_axis(ranking_QK, order_QK, 1), -1)
            scores[kind] = np.where(first_QK, np.take_along_axis(scores[kind], order_QK, 1), -np.inf)
    return Predictions(query, database, positives, rankings, scores, dimensions, attributes)
