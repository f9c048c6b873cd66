"""Evaluation protocols: a protocol defines which database images are correct for a query.

Recalls under two protocols are not comparable.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vprlib.data.geometry import within
from vprlib.data.listed_positives import LISTED, read_listed_positives
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

log = logging.getLogger(__name__)

FIXED = "fixed"  # default framing of query photos; the others are in `vprlib.images.framing.FRAMINGS`
EVERYWHERE = "all"  # search scope of protocols without `same_column`
MOST_QUERIES = 0.5  # share of the queries; a photo that is a positive of more of them is unusual
FEW = 10  # of fewer queries, one photo may well be a positive of most; and a few photos may well be one place


@dataclass(frozen=True)
class Protocol:
    """Definition of a hit. Every reported number carries the protocol's name.

    Attributes:
        name: the protocol's name.
        radius: a hit lies at most this far from the query, in `unit`.
        unit: unit of the coordinates: "m", or "frames" of a traverse; "listed" if the image table lists the positives
            (`vprlib.data.listed_positives`), and the radius does not count.
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
        if self.unit == LISTED:
            positives = read_listed_positives(query, database)
        else:
            positives = within(query[["east", "north"]], database[["east", "north"]], self.radius)
        for column, compare in ((self.same_column, operator.eq), (self.different_column, operator.ne)):
            if column:
                query_values, database_values = query[column].to_numpy(), database[column].to_numpy()
                positives = [
                    rows[compare(database_values[rows], value)]
                    for rows, value in zip(positives, query_values, strict=True)
                ]
        return positives

    def evaluated(self, query: pd.DataFrame) -> NDArray[np.bool_]:
        """Return for each of the queries, (Q,), whether the protocol evaluates it.

        Args:
            query: image table of Q queries.
        """
        import numpy as np
        import pandas as pd

        if not self.queries:
            return np.ones(len(query), bool)
        return (pd.to_numeric(query[self.queries], errors="coerce") == 1).to_numpy(bool)

    @property
    def for_training(self) -> Protocol:
        """Return the protocol used for training and validation: all queries, searched in the whole database."""
        return replace(self, queries=None, same_column=None)

    @property
    def radius_text(self) -> str:
        """Return the radius with its unit, or that the positives are listed.

        >>> Protocol("25 m", radius=25).radius_text
        '25 m'
        """
        return "the listed positives" if self.unit == LISTED else f"{self.radius:g} {self.unit}"


def check_positives(
    positives: Sequence[NDArray[np.int64]], database: pd.DataFrame, *, source: object, split: str, protocol: Protocol
) -> None:
    """Check that the positives of queries can tell a right ranking from a wrong one.

    The log warns of a database image that is a positive of most queries, unless there are few, and of fewer than FEW
    database images that are all positives.

    Args:
        positives: for each query the row numbers of its positives in `database`.
        database: image table of the N database images.
        source: the file of the image table, for messages.
        split: the split of the queries, for messages.
        protocol: what a hit is.

    Raises:
        InputError: no query has a positive, or each of FEW database images or more is a positive of each query.
    """
    listed = protocol.unit == LISTED
    hint = "check the list and its order" if listed else "check the radius and the unit of the coordinates"
    if not any(len(rows) for rows in positives):
        raise InputError(
            f"{source}: no query of the {split} split has a database image within {protocol.radius_text}; {hint}"
        )
    if all(len(rows) == len(database) for rows in positives):
        message = (
            f"{source}: every query of the {split} split has all {len(database)} database images within "
            f"{protocol.radius_text}, so that any ranking is right; {hint}"
            + ("" if listed else ": degrees are no metres")
        )
        if len(database) >= FEW:
            raise InputError(message)
        if len(database) > 1:
            log.warning("warning: %s", message)
        return
    _warn_of_common_positives(positives, database, f"{source}: the {split} split", f"{protocol.radius_text}; {hint}")


def _warn_of_common_positives(
    positives: Sequence[NDArray[np.int64]], database: pd.DataFrame, subject: str, radius: str
) -> None:
    """Warn in the log of the database image that is a positive of the most queries, if it is one of more than half."""
    import numpy as np

    count_N = np.bincount(np.concatenate([np.empty(0, np.int64), *positives]), minlength=len(database))
    if len(positives) >= FEW and count_N.max() > MOST_QUERIES * len(positives):
        log.warning(
            "warning: %s: %s is a positive of %d of the %d queries (other such images: %d), within %s",
            subject, database.path.iloc[int(count_N.argmax())], count_N.max(), len(positives),
            (count_N > MOST_QUERIES * len(positives)).sum() - 1, radius,
        )  # fmt: skip


def check_stated_radius(stated: ArrayLike, protocol: Protocol, *, chosen: bool, source: str) -> None:
    """Compare the hit radius that a file of ground truth states with the protocol's.

    If they differ, the log warns where the configuration sets the radius.

    Args:
        stated: one number, in metres.
        protocol: what a hit is.
        chosen: whether the configuration sets the radius.
        source: the file and its key, for messages.

    Raises:
        InputError: it is no number, or differs from a radius that the configuration does not set.
    """
    import numpy as np

    numbers = np.asarray(stated).ravel()
    if len(numbers) != 1 or numbers.dtype.kind not in "iuf" or not numbers[0] > 0:
        raise InputError(f"{source}: is not one positive number; correct it or leave it out")
    if protocol.unit != "m" or float(numbers[0]) == protocol.radius:
        return
    if not chosen:
        raise InputError(
            f"{source}: is {numbers[0]:g} m, and the radius is {protocol.radius_text} unless it is set; write `radius: "
            f"{numbers[0]:g}` in custom_datasets, or another one on purpose"
        )
    log.warning("warning: %s: is %g m, and the radius is set to %s", source, numbers[0], protocol.radius_text)


def warn_of_radii(protocol: Protocol, *, positive: float, negative: float) -> None:
    """Warn in the log if the training radii contradict the hit radius of the training set.

    Args:
        protocol: what a hit is.
        positive: radius of the positives in training, in the unit of the protocol.
        negative: radius beyond which images are negatives in training, likewise.
    """
    if protocol.radius > negative:
        log.warning(
            "warning: train.negative_radius_m %g is smaller than the hit radius %s: images between them are hits and "
            "may be negatives; raise it to %g", negative, protocol.radius_text, protocol.radius,
        )  # fmt: skip
    if protocol.radius < positive:
        log.warning(
            "warning: train.positive_radius_m %g is larger than the hit radius %s: images between them are positives "
            "and no hits; lower it to %g", positive, protocol.radius_text, protocol.radius,
        )  # fmt: skip
