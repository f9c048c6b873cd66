"""From a ranking to recalls. A recall is a share in [0, 1]; percent is for plots."""

import json
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from vprlib.datasets.base import EVERYWHERE, Protocol, read_table, select
from vprlib.files import BadInput, provenance
from vprlib.geometry import within


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
    place = np.where(ranking >= 0, np.asarray(place_N)[ranking], -1)
    order = np.argsort(place, axis=1, kind="stable")
    grouped = np.take_along_axis(place, order, 1)
    first = np.ones_like(grouped, bool)
    first[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    keep = np.empty_like(first)
    np.put_along_axis(keep, order, first, 1)
    keep &= ranking >= 0
    front = np.argsort(~keep, axis=1, kind="stable")
    return np.where(np.take_along_axis(keep, front, 1), np.take_along_axis(ranking, front, 1), -1)


def wilson(successes, trials: int, z: float = 1.959964) -> tuple:
    """The Wilson score interval of a share (Wilson 1927, eq. 3); 95 % by default. Returns (low, high)."""
    share = np.asarray(successes) / trials
    centre = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return (centre - half) / (1 + z**2 / trials), (centre + half) / (1 + z**2 / trials)


def chance(ks, positives, database: int) -> dict:
    """Expected recall@k of a random ranking: 1 - prod_{i<k} (N - p - i) / (N - i), averaged over the queries."""
    counts = np.array([len(p) for p in positives], float)
    missed, result = np.ones_like(counts), {}
    for k in range(1, max(ks) + 1):
        missed = missed * np.maximum(database - counts - (k - 1), 0) / max(database - (k - 1), 1)
        if k in ks:
            result[k] = float(1 - missed.mean())
    return result


class Searched(NamedTuple):
    """A ranking file as one protocol sees it: the images that it ranks and what is right."""

    query: pd.DataFrame  # the image table's rows that were searched for
    database: pd.DataFrame  # and those that were searched in
    positives: list  # for each query the database indices within the hit radius
    rankings: dict  # kind of descriptor -> (Q, K) int64, views suppressed where the protocol asks for it
    dims: dict  # kind of descriptor -> its dimension
    sources: dict  # what the descriptors were made from

    @property
    def shown(self) -> np.ndarray:
        """The ranking that pictures show: of whitened descriptors if there are any."""
        return self.rankings.get("whitened", next(iter(self.rankings.values())))


def searched(*, images, ranking, protocol: Protocol) -> Searched:
    """Read a ranking and judge it against the test split of an image table.

    Raises:
        BadInput: if the split has no query, the ranking was made for another image table, or the table lacks a column
            that the protocol needs.
    """
    table = read_table(images)
    query, database = select(table, "test", "query"), select(table, "test", "database")
    if query.empty:
        raise BadInput(f"{images}: the test split has no query; it can be described, but not evaluated")
    with h5py.File(ranking, "r") as file:
        scope = file[protocol.within or EVERYWHERE]
        rankings = {kind: scope[kind]["ranking"][:] for kind in scope}
        dims = {kind: int(scope[kind]["dim"][()]) for kind in scope}
        sources = dict(file.attrs)
    for found in rankings.values():
        if len(found) != len(query) or found.max(initial=0) >= len(database):
            raise BadInput(f"{ranking}: was searched in other images than {images}; run `snakemake -R extract`")
    if protocol.queries:
        asked = np.flatnonzero(query[protocol.queries] == 1)
        if not len(asked):
            raise BadInput(f"{images}: no test query has a 1 in column {protocol.queries!r} of {protocol.name!r}")
        query, rankings = query.iloc[asked], {kind: found[asked] for kind, found in rankings.items()}
    if protocol.views_per_place:
        place = pd.factorize(database.place)[0]
        rankings = {kind: suppress_views(found, place, found.shape[1]) for kind, found in rankings.items()}
    positives = within(query[["east", "north"]], database[["east", "north"]], protocol.radius)
    if protocol.within:  # a database image of another city is out of reach, whatever its coordinates
        city, theirs = query[protocol.within].to_numpy(), database[protocol.within].to_numpy()
        positives = [near[theirs[near] == own] for near, own in zip(positives, city, strict=True)]
    return Searched(query, database, positives, rankings, dims, sources)


def judge(*, images, ranking, ks, recipe: dict, config: str, protocol: Protocol):
    """The recalls of one ranking file: a tidy row for each kind of descriptor and k, with all that it depends on.

    Args:
        images: the image table; its test split was searched.
        ranking: the file that `search` wrote.
        ks: cut-offs.
        recipe: the sections that the checkpoint must have been made with, as plain data.
        config: the fingerprint of the whole recipe.
        protocol: what is asked, and what is a hit.

    Raises:
        BadInput: if the ranking is shorter than the largest k, or was made for another image table or recipe.
    """
    found = searched(images=images, ranking=ranking, protocol=protocol)
    queries, database = len(found.query), len(found.database)
    if not any(len(right) for right in found.positives):
        raise BadInput(f"{images}: no query of the test split has a database image within {protocol.reach}")
    trained = json.loads(found.sources["model"])
    other = [name for name, section in recipe.items() if trained[name] != section]
    if other:
        raise BadInput(
            f"{ranking}: its network was made with another `{other[0]}` than the configuration has; "
            f"run `snakemake -R train`"
        )
    setting = {
        "queries": queries,
        "without_positives": sum(not len(right) for right in found.positives),
        "database": database,
        "radius": protocol.radius,
        "unit": protocol.unit,
        "protocol": protocol.name,
        "config": config,
        "index": found.sources.get("index", "flat"),
        "checkpoint": found.sources["checkpoint"][:12],
        "epoch": trained["epoch"],
    }
    lucky = luck(ks, found, protocol)
    rows = []
    for kind, ranking_QK in found.rankings.items():
        needed, there = max(ks) * (protocol.views_per_place or 1), ranking_QK.shape[1]
        if max(ks) > database:
            raise BadInput(f"evaluate.ks: recall@{max(ks)} of a database of {database} photos; leave that k out")
        if there < min(needed, database):
            raise BadInput(
                f"search.depth: recall@{max(ks)} needs {needed} candidates a query, {ranking} has {there} "
                f"of {database} database images"
            )
        for k, recall in recall_at(ks, ranking_QK, found.positives).items():
            low, high = wilson(recall * queries, queries)
            form = {"descriptor": kind, "dim": found.dims[kind], "rerank": found.sources.get("rerank", "none"), "k": k}
            share = {"recall": recall, "low": low, "high": high, "chance": lucky[k]}
            rows.append(form | share | setting | provenance())
    return pd.DataFrame(rows)


def luck(ks, found: Searched, protocol: Protocol) -> dict:
    """Recall@k of a random ranking, {k: share}: of photos or places, of all of them or of one's city alone."""
    unit = found.database.place if protocol.views_per_place else found.database.index
    unit = pd.factorize(unit)[0]
    if not protocol.within:
        return chance(ks, [np.unique(unit[right]) for right in found.positives], unit.max() + 1)
    hit = dict.fromkeys(ks, 0.0)
    for value, queries in found.query.groupby(protocol.within).groups.items():
        number = len(np.unique(unit[found.database[protocol.within] == value]))
        rows = found.query.index.get_indexer(queries)
        for k, share in chance(ks, [np.unique(unit[found.positives[row]]) for row in rows], number).items():
            hit[k] += share * len(rows)
    return {k: total / len(found.query) for k, total in hit.items()}


def read_recalls(path):
    """A table of recalls, to the last digit; names and fingerprints are text even if they look like numbers."""
    text = ("dataset", "run", "descriptor", "rerank", "protocol", "config", "checkpoint", "version", "commit")
    return pd.read_csv(path, dtype=dict.fromkeys(text, str))


def join(paths: list, identities: list):
    """Join the recalls of a dataset's runs.

    Args:
        paths: their tables.
        identities: for each the fingerprint of the recipe that the configuration has now.

    Raises:
        BadInput: if one was made with another recipe.
    """
    tables = [read_recalls(path) for path in paths]
    for path, table, identity in zip(paths, tables, identities, strict=True):
        if set(table.config) != {identity}:
            raise BadInput(f"{path}: was made with another configuration; run `snakemake -R evaluate`")
    return pd.concat(tables, ignore_index=True)
