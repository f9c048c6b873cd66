"""The tables of one evaluation: its recalls, a row for each condition and k, and its answers, a row for each query."""

import json
import os

import numpy as np
import pandas as pd

from vprlib.data.dataset import Protocol, read_table, select
from vprlib.evaluation.recall import Searched, chance, hits, recall_at
from vprlib.evaluation.statistics import wilson
from vprlib.io.files import BadInput, provenance
from vprlib.registry import suggestion

ALL = "all"  # the condition of rows of all queries
TEXT = (
    "dataset",
    "run",
    "descriptor",
    "rerank",
    "condition",
    "protocol",
    "unit",
    "query",
    "top",
    "config",
    "checkpoint",
)
TEXT += ("train_set", "chosen_by", "version", "commit")


def conditions(query, by, images) -> dict:
    """Which queries share a value of a column: {"all": all row numbers, "column=value": row numbers}.

    Raises:
        BadInput: the image table has no such column; with the closest.
    """
    found = {ALL: np.arange(len(query))}
    for column in by:
        if column not in query:
            known = [name for name in query if name not in ("path", "split", "role", "east", "north")]
            raise BadInput(f"evaluate.by: {images} has no column {column!r}; {suggestion(column, known)}")
        values = query[column].convert_dtypes().astype("string").fillna("none")
        found |= {f"{column}={value}": np.flatnonzero(values == value) for value in sorted(values.unique())}
    return found


def chosen_by(*, checkpoint: str, trained: dict, train_set: str, training, images) -> str:
    """How the evaluated epoch was chosen; it begins with `test` where photos that are tested had a say.

    Args:
        checkpoint: `best` or `last`.
        trained: what the checkpoint says of itself.
        train_set: the dataset that it was trained on.
        training: the image table of that dataset.
        images: the image table of the tested one.
    """
    if "source" in trained:
        return f"published, {trained['source']['file']}"
    if not trained["epoch"]:
        return "initial network"
    table = read_table(training)
    if checkpoint == "last" or select(table, "val", "query").empty:
        return "last epoch"
    chosen = f"val recall@{trained['train']['best_by']} of {train_set}"
    tested = read_table(images).query("split == 'test'").path.map(os.path.abspath)
    shared = table.query("split == 'val'").path.map(os.path.abspath).isin(set(tested)).sum()
    return f"test: {chosen}, {shared} of whose photos are tested here" if shared else chosen


def judge(found: Searched, *, images, ranking, ks, recipe: dict, config: str, protocol: Protocol, by=(), chosen: dict):
    """The recalls of one ranking file: a tidy row for each kind of descriptor, condition and k, with all it depends on.

    Args:
        found: what `searched` says of `images`, `ranking` and `protocol`.
        images: the image table; its test split was searched.
        ranking: the file that `search` wrote.
        ks: cut-offs.
        recipe: the sections that the checkpoint must have been made with, as plain data.
        config: the fingerprint of the whole recipe.
        protocol: what is asked, and what is a hit.
        by: columns of the image table; queries that share a value there have rows of their own.
        chosen: `checkpoint`, `train_set` and `training` of `chosen_by`.

    Raises:
        BadInput: if the ranking is shorter than the largest k, or was made for another recipe, or a column is unknown.
    """
    if not any(len(right) for right in found.positives):
        raise BadInput(f"{images}: no query of the test split has a database image within {protocol.reach}")
    trained = json.loads(found.sources["model"])
    other = [name for name, section in recipe.items() if trained[name] != section]
    if other:
        raise BadInput(
            f"{ranking}: its network was made with another `{other[0]}` than the configuration has; "
            f"run `snakemake -R train`"
        )
    check_depth(ks, found, protocol, ranking)
    setting = {
        "database": len(found.database),
        "radius": protocol.radius,
        "unit": protocol.unit,
        "protocol": protocol.name,
        "config": config,
        "index": found.sources.get("index", "flat"),
        "checkpoint": found.sources["checkpoint"][:12],
        "epoch": trained["epoch"],
        "train_set": chosen["train_set"],
        "chosen_by": chosen_by(**chosen, trained=trained, images=images),
    }
    setting |= provenance()
    parts = {name: found.of(some) for name, some in conditions(found.query, by, images).items()}
    lucky = {name: luck(ks, part, protocol) for name, part in parts.items()}
    return pd.DataFrame(
        row | setting
        for kind in found.rankings
        for name, part in parts.items()
        for row in shares(ks, part, kind, name, lucky[name])
    )


def check_depth(ks, found: Searched, protocol: Protocol, ranking):
    """Refuse a ranking that is too short for the largest k."""
    database, k = len(found.database), max(ks)
    if k > database:
        raise BadInput(f"evaluate.ks: recall@{k} of a database of {database} photos; leave that k out")
    needed = k * (protocol.views_per_place or 1)
    for ranking_QK in found.rankings.values():
        if ranking_QK.shape[1] < min(needed, database):
            raise BadInput(
                f"search.depth: recall@{k} needs {needed} candidates a query, {ranking} has {ranking_QK.shape[1]} "
                f"of {database} database images"
            )


def shares(ks, found: Searched, kind: str, condition: str, lucky: dict):
    """The recalls of the queries of a condition by one kind of descriptor: a dict for each k."""
    queries = len(found.query)
    form = {"descriptor": kind, "dim": found.dims[kind], "rerank": found.reranked, "condition": condition}
    counts = {"queries": queries, "without_positives": sum(not len(right) for right in found.positives)}
    for k, recall in recall_at(ks, found.rankings[kind], found.positives).items():
        low, high = wilson(recall * queries, queries)
        yield form | {"k": k, "recall": recall, "low": low, "high": high, "chance": lucky[k]} | counts


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


def answers(found: Searched, *, images, ks, config: str, protocol: Protocol, by=()):
    """What each query was answered: a row for each kind of descriptor and query.

    Columns, beside those that say which evaluation it is: `positives`, how many database images are hits; `rank` of
    the first hit, from 1, empty if none is among the candidates; `top`, the first candidate, and its `score`, the dot
    product (re-ranked by k-reciprocal neighbours: 1 - distance); `ratio`, see `ratios`, where scores are dot products;
    `error@k`, the distance of the nearest of the first k candidates, for k = 1 and all of `ks`, in the unit of the
    protocol; the columns of `by`. A query without any candidate has positives only.
    Arguments as of `judge`.
    """
    conditions(found.query, by, images)
    own = {"protocol": protocol.name, "radius": protocol.radius, "unit": protocol.unit, "config": config}
    tables = []
    for kind, ranking_QK in found.rankings.items():
        hit_QK = hits(ranking_QK, found.positives)
        there = ranking_QK[:, 0] >= 0
        off_QK = distances(found, ranking_QK[:, : max(ks)])
        table = found.query[["path"]].rename(columns={"path": "query"}).reset_index(drop=True)
        table["positives"] = [len(right) for right in found.positives]
        table["rank"] = pd.Series(1 + hit_QK.argmax(1)).where(hit_QK.any(1)).astype("Int64")
        table["top"] = pd.Series(found.database.path.to_numpy()[ranking_QK[:, 0]]).where(there)
        table["score"] = pd.Series(found.scores[kind][:, 0]).where(there)
        jaccard = found.reranked == "k_reciprocal"  # whose scores are no dot products
        table["ratio"] = np.nan if jaccard else ratios(found, kind, protocol.radius).astype(np.float32)
        for k in sorted({1, *ks}):
            nearest = off_QK[:, :k].min(1)
            table[f"error@{k}"] = np.where(np.isfinite(nearest), nearest, np.nan)
        form = {"descriptor": kind, "dim": found.dims[kind], "rerank": found.reranked}
        conditions_Q = found.query[[*by]].reset_index(drop=True)
        tables.append(pd.concat([table.assign(**form | own), conditions_Q], axis=1))
    return pd.concat(tables, ignore_index=True)


def distances(found: Searched, ranking_QK) -> np.ndarray:
    """How far each candidate is from its query, (Q, K) float64; infinite where there is none."""
    query_Q2, database_N2 = (table[["east", "north"]].to_numpy(float) for table in (found.query, found.database))
    return np.where(ranking_QK >= 0, np.hypot(*np.moveaxis(database_N2[ranking_QK] - query_Q2[:, None], 2, 0)), np.inf)


def ratios(found: Searched, kind: str, radius: float) -> np.ndarray:
    """How sure each query's first candidate is: its descriptor's distance by that of the second place's, in [0, 1].

    Lowe's ratio test (2004, section 7.1) for places: the second place is the first candidate that lies farther than
    the hit radius from the first candidate, whatever the labels. If all candidates are one place, the last stands in
    for the second place, which is farther still: the ratio is then at most that. NaN without a candidate.
    """
    ranking_QK, database_N2 = found.rankings[kind], found.database[["east", "north"]].to_numpy(float)
    distance_QK = np.sqrt(np.maximum(2 - 2 * found.scores[kind].astype(float), 0))  # of unit vectors
    place_QK2 = database_N2[ranking_QK]
    apart_QK = np.hypot(*np.moveaxis(place_QK2 - place_QK2[:, :1], 2, 0)) > radius
    apart_QK &= ranking_QK >= 0
    last = np.maximum((ranking_QK >= 0).sum(1) - 1, 0)
    second = np.where(apart_QK.any(1), apart_QK.argmax(1), last)
    far = np.take_along_axis(distance_QK, second[:, None], 1)[:, 0]
    near = distance_QK[:, 0]
    with np.errstate(invalid="ignore"):
        ratio = np.where(far > 0, near / np.where(far > 0, far, 1), 1.0)
    return np.where(ranking_QK[:, 0] >= 0, ratio, np.nan)


def read(path):
    """A table of recalls or answers, to the last digit; names and fingerprints are text, whatever they look like."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))


def join(paths: list, identities: list):
    """Join the recalls, or the answers, of a dataset's runs.

    Args:
        paths: their tables.
        identities: for each the fingerprint of the recipe that the configuration has now.

    Raises:
        BadInput: if one was made with another recipe.
    """
    tables = [read(path) for path in paths]
    for path, table, identity in zip(paths, tables, identities, strict=True):
        if set(table.config) != {identity}:
            raise BadInput(f"{path}: was made with another configuration; run `snakemake -R evaluate`")
    return pd.concat(tables, ignore_index=True)
