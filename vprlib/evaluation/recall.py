"""From a ranking to recalls. A recall is a share in [0, 1]; percent is for plots."""

from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from vprlib.data.dataset import Protocol, read_table, select
from vprlib.io.files import BadInput


def hits(ranking_QK, positives) -> np.ndarray:
    """Which candidates are correct: (Q, K) bool; the -1 that pads a short row never is.

    Raises:
        ValueError: if `ranking` and `positives` differ in length.
    """
    ranking_QK = np.asarray(ranking_QK, np.int64)
    if len(ranking_QK) != len(positives):
        raise ValueError(f"{len(ranking_QK)} rows of ranking, but positives of {len(positives)} queries")
    flat = np.concatenate([np.empty(0, np.int64), *positives])
    size = 1 + max(flat.max(initial=0), ranking_QK.max(initial=0))
    owner = np.repeat(np.arange(len(positives)), [len(p) for p in positives])
    right = np.sort(owner * size + flat)
    asked = np.arange(len(ranking_QK))[:, None] * size + ranking_QK
    place = np.searchsorted(right, asked)
    found = np.zeros(asked.shape, bool)
    inside = place < len(right)
    found[inside] = right[place[inside]] == asked[inside]
    return found & (ranking_QK >= 0)


def recall_at(ks, ranking_QK, positives) -> dict:
    """Share of queries with a correct place among their first k candidates.

    Args:
        ks: cut-offs, each at least 1 and at most K.
        ranking_QK: (Q, K) int, database indices, nearest first; -1 pads a short row.
        positives: Q arrays of database indices within the hit radius.

    Returns:
        {k: recall in [0, 1]}. A query without any positive counts as a miss.

    Raises:
        ValueError: if `ranking` and `positives` differ in length, or a k is out of range.
    """
    depth = np.shape(ranking_QK)[1]
    bad = [k for k in ks if not 1 <= k <= depth]
    if bad:
        raise ValueError(f"recall@{bad[0]} needs {bad[0]} candidates a query, the ranking has {depth}")
    found = hits(np.asarray(ranking_QK)[:, : max(ks)], positives)
    return {k: float(found[:, :k].any(1).mean()) for k in ks}


def suppress_views(ranking_QK, place_N, depth: int) -> np.ndarray:
    """Keep the first candidate of each place among the first `depth` (Tokyo 24/7's protocol; OpenIBL, evaluators.py).

    Args:
        ranking_QK: (Q, K) int, nearest first, -1 pads.
        place_N: (N,) int, the place of each database image.
        depth: how many candidates of a row are looked at, at most K.

    Returns:
        (Q, depth) int64, the kept candidates in their order, padded with -1.
    """
    ranking = np.asarray(ranking_QK, np.int64)[:, :depth]
    if ranking.shape[1] < depth:
        raise ValueError(f"suppression looks at {depth} candidates, the ranking has {ranking.shape[1]}")
    front, kept = first_views(ranking, place_N)
    return np.where(kept, np.take_along_axis(ranking, front, 1), -1)


def first_views(ranking_QK, place_N) -> tuple:
    """(order, kept), both (Q, K): each row's columns with its places' first views in front, and which these are."""
    place = np.where(ranking_QK >= 0, np.asarray(place_N)[ranking_QK], -1)
    order = np.argsort(place, axis=1, kind="stable")
    grouped = np.take_along_axis(place, order, 1)
    first = np.ones_like(grouped, bool)
    first[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    keep = np.empty_like(first)
    np.put_along_axis(keep, order, first, 1)
    keep &= ranking_QK >= 0
    front = np.argsort(~keep, axis=1, kind="stable")
    return front, np.take_along_axis(keep, front, 1)


def chance(ks, positives, database: int) -> dict:
    """Expected recall@k of a random ranking: 1 - prod_{i<k} (N - p - i) / (N - i), averaged over the queries."""
    counts = np.array([len(p) for p in positives], float)
    missed, result = np.ones_like(counts), {}
    for k in range(1, max(ks) + 1):
        share = np.maximum(database - counts - (k - 1), 0) / max(database - (k - 1), 1)
        missed = missed * np.where(counts > 0, share, 1)
        if k in ks:
            result[k] = float(1 - missed.mean())
    return result


class Searched(NamedTuple):
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

    def of(self, rows) -> "Searched":
        """The same of some queries only."""
        kinds = {name: {kind: x[rows] for kind, x in getattr(self, name).items()} for name in ("rankings", "scores")}
        return self._replace(query=self.query.iloc[rows], positives=[self.positives[row] for row in rows], **kinds)


def check_columns(images, table, database, protocol: Protocol):
    """Refuse a table that lacks what a protocol needs: it was indexed for another one.

    Raises:
        BadInput: naming the column.
    """
    lacking = [column for column in (protocol.queries, protocol.within) if column and column not in table]
    if protocol.views_per_place and database.place.isna().any():
        lacking.append("place")
    if lacking:
        raise BadInput(
            f"{images}: has no {lacking[0]!r} of every photo, and {protocol.name!r} needs it; run `snakemake -R index`"
        )


class Asked(NamedTuple):
    """What a protocol asks of an image table."""

    query: pd.DataFrame  # the queries that are asked
    database: pd.DataFrame  # the images that are searched
    positives: list  # for each query the database indices within the hit radius
    rows_Q: np.ndarray  # the queries' numbers among all of the test split, which a ranking file has rows of
    of: int  # how many these are


def asked(images, protocol: Protocol) -> Asked:
    """The queries of the test split that a protocol asks, and what is right.

    Raises:
        BadInput: if there is none, or the table lacks a column that the protocol needs.
    """
    table = read_table(images)
    query, database = select(table, "test", "query"), select(table, "test", "database")
    if query.empty:
        raise BadInput(f"{images}: the test split has no query; it can be described, but not evaluated")
    check_columns(images, table, database, protocol)
    rows = np.flatnonzero(query[protocol.queries] == 1) if protocol.queries else np.arange(len(query))
    if not len(rows):
        raise BadInput(f"{images}: no test query has a 1 in column {protocol.queries!r} of {protocol.name!r}")
    some = query.iloc[rows]
    return Asked(some, database, protocol.positives(some, database), rows, len(query))


def searched(*, images, ranking, protocol: Protocol) -> Searched:
    """Read a ranking and judge it against the test split of an image table.

    Raises:
        BadInput: as `asked`, or the ranking was made for another image table.
    """
    return answered(asked(images, protocol), images=images, ranking=ranking, protocol=protocol)


def answered(question: Asked, *, images, ranking, protocol: Protocol) -> Searched:
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
            raise BadInput(f"{ranking}: was searched in other images than {images}; run `snakemake -R extract`")
    if protocol.queries:
        rankings, scores = ({kind: x[rows] for kind, x in part.items()} for part in (rankings, scores))
    if protocol.views_per_place:
        place = pd.factorize(database.place)[0]
        for kind, ranking_QK in rankings.items():
            front, kept = first_views(ranking_QK, place)
            rankings[kind] = np.where(kept, np.take_along_axis(ranking_QK, front, 1), -1)
            scores[kind] = np.where(kept, np.take_along_axis(scores[kind], front, 1), -np.inf)
    return Searched(query, database, positives, rankings, scores, dims, sources)
