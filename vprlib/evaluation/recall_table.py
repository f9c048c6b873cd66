"""Build the table of recalls of one evaluation, one row per condition and k; read and join such tables."""

import json
import os

import numpy as np
import pandas as pd

from vprlib.data.image_table import read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import random_recall, recall_at
from vprlib.evaluation.statistics import wilson_interval
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.fingerprints import code_version

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


def query_conditions(query, by, images) -> dict:
    """Which queries share a value of a column: {"all": all row numbers, "column=value": row numbers}.

    Raises:
        InputError: the image table has no such column; with the closest.
    """
    found = {ALL: np.arange(len(query))}
    for column in by:
        if column not in query:
            known = [name for name in query if name not in ("path", "split", "role", "east", "north")]
            raise InputError(f"evaluate.by: {images} has no column {column!r}; {did_you_mean(column, known)}")
        values = query[column].convert_dtypes().astype("string").fillna("none")
        found |= {f"{column}={value}": np.flatnonzero(values == value) for value in sorted(values.unique())}
    return found


def epoch_selection(*, checkpoint: str, trained: dict, train_set: str, training, images) -> str:
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
    table = read_image_table(training)
    if checkpoint == "last" or select_rows(table, "val", "query").empty:
        return "last epoch"
    chosen = f"val recall@{trained['train']['best_by']} of {train_set}"
    tested = read_image_table(images).query("split == 'test'").path.map(os.path.abspath)
    shared = table.query("split == 'val'").path.map(os.path.abspath).isin(set(tested)).sum()
    return f"test: {chosen}, {shared} of whose photos are tested here" if shared else chosen


def recall_table(
    found: Predictions, *, images, ranking, ks, recipe: dict, config: str, protocol: Protocol, by=(), chosen: dict
):
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
        InputError: if the ranking is shorter than the largest k, or was made for another recipe; or a column is
            unknown.
    """
    if not any(len(right) for right in found.positives):
        raise InputError(f"{images}: no query of the test split has a database image within {protocol.reach}")
    trained = json.loads(found.sources["model"])
    other = [name for name, section in recipe.items() if trained[name] != section]
    if other:
        raise InputError(
            f"{ranking}: its network was made with another `{other[0]}` than the configuration has; "
            f"run `snakemake -R train`"
        )
    check_ranking_depth(ks, found, protocol, ranking)
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
        "chosen_by": epoch_selection(**chosen, trained=trained, images=images),
    }
    setting |= code_version()
    parts = {name: found.of(some) for name, some in query_conditions(found.query, by, images).items()}
    lucky = {name: chance_recall(ks, part, protocol) for name, part in parts.items()}
    return pd.DataFrame(
        row | setting
        for kind in found.rankings
        for name, part in parts.items()
        for row in recalls_of(ks, part, kind, name, lucky[name])
    )


def check_ranking_depth(ks, found: Predictions, protocol: Protocol, ranking):
    """Refuse a ranking that is too short for the largest k."""
    database, k = len(found.database), max(ks)
    if k > database:
        raise InputError(f"evaluate.ks: recall@{k} of a database of {database} photos; leave that k out")
    needed = k * (protocol.views_per_place or 1)
    for ranking_QK in found.rankings.values():
        if ranking_QK.shape[1] < min(needed, database):
            raise InputError(
                f"search.depth: recall@{k} needs {needed} candidates a query, {ranking} has {ranking_QK.shape[1]} "
                f"of {database} database images"
            )


def recalls_of(ks, found: Predictions, kind: str, condition: str, lucky: dict):
    """The recalls of the queries of a condition by one kind of descriptor: a dict for each k."""
    queries = len(found.query)
    form = {"descriptor": kind, "dim": found.dims[kind], "rerank": found.reranked, "condition": condition}
    counts = {"queries": queries, "without_positives": sum(not len(right) for right in found.positives)}
    for k, recall in recall_at(ks, found.rankings[kind], found.positives).items():
        low, high = wilson_interval(recall * queries, queries)
        yield form | {"k": k, "recall": recall, "low": low, "high": high, "chance": lucky[k]} | counts


def chance_recall(ks, found: Predictions, protocol: Protocol) -> dict:
    """Recall@k of a random ranking, {k: share}: of photos or places, of all of them or of one's city alone."""
    unit = found.database.place if protocol.views_per_place else found.database.index
    unit = pd.factorize(unit)[0]
    if not protocol.within:
        return random_recall(ks, [np.unique(unit[right]) for right in found.positives], unit.max() + 1)
    hit = dict.fromkeys(ks, 0.0)
    for value, queries in found.query.groupby(protocol.within).groups.items():
        number = len(np.unique(unit[found.database[protocol.within] == value]))
        rows = found.query.index.get_indexer(queries)
        for k, share in random_recall(ks, [np.unique(unit[found.positives[row]]) for row in rows], number).items():
            hit[k] += share * len(rows)
    return {k: total / len(found.query) for k, total in hit.items()}


def read_results(path):
    """A table of recalls or answers, to the last digit; names and fingerprints are text, whatever they look like."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))


def join_results(paths: list, identities: list):
    """Join the recalls, or the answers, of a dataset's runs.

    Args:
        paths: their tables.
        identities: for each the fingerprint of the recipe that the configuration has now.

    Raises:
        InputError: if one was made with another recipe.
    """
    tables = [read_results(path) for path in paths]
    for path, table, identity in zip(paths, tables, identities, strict=True):
        if set(table.config) != {identity}:
            raise InputError(f"{path}: was made with another configuration; run `snakemake -R evaluate`")
    return pd.concat(tables, ignore_index=True)


def read_sizes_table(path):
    """A table of sizes; names of runs are labels, whatever they look like."""
    return pd.read_csv(path, dtype={"run": str, "dataset": str})
