"""Build the table of recalls of one evaluation, one row per condition and k; read and join such tables."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.data.image_table import read_image_table, select_rows
from vprlib.data.protocol import Protocol, check_positives
from vprlib.data.text_table import read_written_table
from vprlib.evaluation.columns import is_number_column
from vprlib.evaluation.correlated_queries import correlated_groups, count_groups
from vprlib.evaluation.intervals import recall_intervals
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits_at, random_recall
from vprlib.exceptions import InputError, did_you_mean
from vprlib.io.fingerprints import code_version, describe_difference, sha256_of_file

RULES = {"centroids": "cluster_features", "pretrain": "pretrain_backbone", "whiten": "fit_whitening"}  # of a section
ALL = "all"  # the condition of rows over all queries


def query_conditions(
    query: pd.DataFrame, group_by: Sequence[str], images: str | os.PathLike[str]
) -> dict[str, NDArray[np.int64]]:
    """Group the queries by the values of columns: {"all": all row numbers, "column=value": row numbers}.

    Args:
        query: rows of the image table.
        group_by: columns of the image table; an empty value counts as `none`.
        images: the image table, for the error message.

    Raises:
        InputError: if the image table has no such column; the message names the closest one.
    """
    rows = {ALL: np.arange(len(query))}
    for column in group_by:
        if column not in query:
            columns = [str(name) for name in query if name not in ("path", "split", "role", "east", "north")]
            raise InputError(f"evaluate.group_by: {images} has no column {column!r}; {did_you_mean(column, columns)}")
        values = query[column].convert_dtypes().astype("string").fillna("none")
        rows |= {f"{column}={value}": np.flatnonzero(values == value) for value in sorted(values.unique())}
    return rows


def epoch_selection(
    *,
    checkpoint: str,
    trained: dict[str, Any],
    train_set: str,
    validation: str | os.PathLike[str],
    images: str | os.PathLike[str],
) -> str:
    """Describe how the evaluated epoch was selected; the text begins with `test` if tested photos took part in that.

    Args:
        checkpoint: `best` or `last`.
        trained: the metadata of the checkpoint.
        train_set: the dataset that the network was trained on.
        validation: the image table of that dataset.
        images: the image table of the tested dataset.
    """
    if "source" in trained:
        origin = "computed elsewhere" if "given" in trained["source"] else "published"
        return f"{origin}, {trained['source']['file']}"
    if not trained["epoch"]:
        return "initial network"
    table = read_image_table(validation)
    if checkpoint == "last" or select_rows(table, "val", "query").empty:
        return "last epoch"
    criterion = f"val recall@{trained['train']['monitor_recall_at']} of {train_set}"
    tested_paths = read_image_table(images).query("split == 'test'").path.map(os.path.abspath)
    shared = table.query("split == 'val'").path.map(os.path.abspath).isin(set(tested_paths)).sum()
    return f"test: {criterion}, {shared} of whose photos are tested here" if shared else criterion


def recall_table(
    predictions: Predictions,
    *,
    images: str | os.PathLike[str],
    ranking: str | os.PathLike[str],
    ks: Sequence[int],
    recipe: dict[str, Any],
    config_hash: str,
    protocol: Protocol,
    group_by: Sequence[str] = (),
    selection: dict[str, Any],
) -> pd.DataFrame:
    """Build the tidy table of recalls of one ranking file: one row per kind of descriptor, condition and k.

    Each row also holds everything that the recall depends on.

    Args:
        predictions: the predictions in `ranking` under `protocol` (`load_predictions`).
        images: the image table; its test split was searched.
        ranking: the ranking file.
        ks: cut-offs.
        recipe: the sections of the configuration that network and whitening must have been made with (`check_recipe`).
        config_hash: the fingerprint of the whole recipe.
        protocol: selects the queries, and defines a hit.
        group_by: columns of the image table; queries that share a value there also have rows of their own.
        selection: `checkpoint`, `train_set` and `validation` of `epoch_selection`.

    Raises:
        InputError: if no query has a positive or each has all database images, if the ranking is shorter than the
            largest k or was made with another recipe, or if a column is unknown.
    """
    check_positives(predictions.positives, predictions.database, source=images, split="test", protocol=protocol)
    trained = json.loads(predictions.attributes["model"])
    check_recipe(predictions.attributes, recipe, selection, ranking)
    check_ranking_depth(ks, predictions, protocol, ranking)
    setting = {
        "database": len(predictions.database),
        "radius": protocol.radius,
        "unit": protocol.unit,
        "protocol": protocol.name,
        "config_hash": config_hash,
        "index": predictions.attributes.get("index", "flat"),
        "reranker": predictions.reranker,
        "checkpoint": predictions.attributes["checkpoint"][:12],
        "epoch": trained["epoch"],
        "train_set": selection["train_set"],
        "epoch_selected_on": epoch_selection(**selection, trained=trained, images=images),
    }
    setting |= code_version()
    conditions = query_conditions(predictions.query, group_by, images)
    parts = {name: predictions.subset(rows) for name, rows in conditions.items()}
    chances = {name: chance_recall(ks, part, protocol) for name, part in parts.items()}
    return pd.DataFrame(
        row | setting
        for kind in predictions.rankings
        for name, part in parts.items()
        for row in recalls_of(ks, part, kind, name, chances[name], protocol.radius)
    )


def check_recipe(
    attributes: dict[str, Any], recipe: dict[str, Any], selection: dict[str, Any], ranking: str | os.PathLike[str]
) -> None:
    """Check that a ranking was made with the recipe of the configuration.

    Args:
        attributes: of the ranking file.
        recipe: the sections that its network and whitening must have been made with, as plain data without defaults.
        selection: see `recall_table`.
        ranking: the ranking file, for the message.

    Raises:
        InputError: naming the first key that differs, and the rule to run again.
    """
    trained, made = json.loads(attributes["model"]), json.loads(attributes.get("recipe", "{}"))
    if "source" in trained:  # a published network carries the recipe of others
        made = {name: made[name] for name in recipe if name in made}
    if recipe and "recipe" not in attributes:
        rule = "fit_whitening" if "source" in trained else "train"
        raise InputError(f"{ranking}: does not say what it was made with; run again with `-R {rule}`")
    if different := describe_difference(made, recipe):
        rule = RULES.get(different.split(".")[0].split(" ")[0], "train")
        raise InputError(f"{ranking}: was made with {different}; run again with `-R {rule}`")
    if "source" not in trained and trained.get("saved_as", selection["checkpoint"]) != selection["checkpoint"]:
        raise InputError(
            f"{ranking}: was made with extract.checkpoint {trained['saved_as']}, not {selection['checkpoint']}; "
            "run again with `-R extract_descriptors`"
        )
    images = (trained.get("sources") or {}).get("images")
    if "source" not in trained and images and images != sha256_of_file(selection["validation"]):
        raise InputError(
            f"{ranking}: its network was trained on another {selection['validation']}; run again with `-R train`"
        )


def fitting_ks(ks: Sequence[int], predictions: Predictions) -> list[int]:
    """Return the cut-offs that are no larger than the database."""
    return [k for k in ks if k <= len(predictions.database)]


def check_ranking_depth(
    ks: Sequence[int], predictions: Predictions, protocol: Protocol, ranking: str | os.PathLike[str]
) -> None:
    """Check that a ranking is long enough for the largest k.

    Raises:
        InputError: if the database has fewer than k images, or a query has too few candidates.
    """
    database, k = len(predictions.database), max(ks)
    if k > database:
        raise InputError(
            f"evaluate.recall_at: recall@{k} needs {k} database photos, there are {database}; leave out this k"
        )
    needed = k * (protocol.views_per_place or 1)
    for ranking_QK in predictions.rankings.values():
        if ranking_QK.shape[1] < min(needed, database):
            raise InputError(
                f"search.top_k: recall@{k} needs {needed} candidates per query, {ranking} has {ranking_QK.shape[1]} "
                f"of {database} database images"
            )


def recalls_of(
    ks: Sequence[int], predictions: Predictions, kind: str, condition: str, chances: dict[int, float], radius: float
) -> Iterator[dict[str, Any]]:
    """Yield the recalls of the queries of one condition by one kind of descriptor, a dict for each k.

    Args:
        chances: {k: recall of a random ranking}.
        radius: the hit radius, in the unit of the positions.
    """
    kind_columns = {
        "descriptor": kind,
        "dim": predictions.dimensions[kind],
        "rerank": predictions.rerank,
        "condition": condition,
    }
    without = sum(not len(right) for right in predictions.positives)
    intervals, groups = intervals_of(ks, predictions, kind, radius)
    for row in intervals:
        counts = {"queries": len(predictions.query)} | groups | {"without_positives": without}
        yield kind_columns | row | {"chance": chances[row["k"]]} | counts


def intervals_of(
    ks: Sequence[int], predictions: Predictions, kind: str, radius: float
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Compute the recall at each k with its interval and design effect; `radius` is the hit radius.

    Returns:
        A dict with `k`, `recall`, `low`, `high` and `design_effect` for each k, and the numbers of places
        and independent groups.
    """
    hit_QC = hits_at(ks, predictions.rankings[kind], predictions.positives)
    position_Q2 = predictions.query[["east", "north"]].to_numpy(float)
    group_Q = correlated_groups(position_Q2, radius, hit_QC)
    columns = ("recall", "low", "high", "design_effect")
    values = zip(ks, *(part.tolist() for part in (hit_QC.mean(0), *recall_intervals(group_Q, hit_QC))), strict=True)
    return [dict(zip(("k", *columns), row, strict=True)) for row in values], count_groups(position_Q2, radius, group_Q)


def chance_recall(ks: Sequence[int], predictions: Predictions, protocol: Protocol) -> dict[int, float]:
    """Compute recall@k of a random ranking, {k: share}.

    The ranking is of photos, or of places if the protocol counts one view per place. It is of the whole database, or
    only of the images that share the query's value of `protocol.same_column`.
    """
    unit_N = pd.factorize(predictions.database.place if protocol.views_per_place else predictions.database.index)[0]
    if not protocol.same_column:
        return random_recall(ks, [np.unique(unit_N[right]) for right in predictions.positives], unit_N.max() + 1)
    expected_hits = dict.fromkeys(ks, 0.0)
    for value, labels in predictions.query.groupby(protocol.same_column).groups.items():
        database = len(np.unique(unit_N[predictions.database[protocol.same_column] == value]))
        rows = predictions.query.index.get_indexer(labels)
        positives = [np.unique(unit_N[predictions.positives[row]]) for row in rows]
        for k, share in random_recall(ks, positives, database).items():
            expected_hits[k] += share * len(rows)
    return {k: total / len(predictions.query) for k, total in expected_hits.items()}


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of recalls or per-query results, exact to the last digit.

    Names, labels and fingerprints stay text even if they look like numbers or missing values.

    Raises:
        InputError: the file is no CSV in UTF-8.
    """
    return read_written_table(path, is_number_column)


def join_results(paths: Sequence[str | os.PathLike[str]], identities: Sequence[str]) -> pd.DataFrame:
    """Join the tables of recalls, or of per-query results, of the runs on one dataset.

    Args:
        paths: the tables.
        identities: for each table, the fingerprint that its recipe has in the current configuration.

    Raises:
        InputError: if a table was made with another recipe.
    """
    tables = [read_results(path) for path in paths]
    for path, table, identity in zip(paths, tables, identities, strict=True):
        if set(table.config_hash) != {identity}:
            raise InputError(f"{path}: was made with another configuration; run again with `-R evaluate`")
    return pd.concat(tables, ignore_index=True)


def read_sizes_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of descriptor sizes; names stay text even if they look like numbers.

    Raises:
        InputError: the file is no CSV in UTF-8.
    """
    return read_written_table(path, is_number_column)
