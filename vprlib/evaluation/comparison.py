"""Tidy tables beyond recall: paired differences between runs, recall by hit radius, and precision-recall curves."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.evaluation.statistics import (
    average_precision,
    bootstrap_difference,
    error_quantiles,
    holm_adjust,
    mcnemar_test,
    precision_recall,
    recall_at_full_precision,
    recall_by_radius,
    wilson_interval,
)
from vprlib.exceptions import InputError

CURVE = ["dataset", "protocol", "radius", "unit", "run", "seed", "gen", "descriptor", "dim", "rerank"]
THRESHOLDS = np.arange(1, 101)  # hit radii, in the unit of the protocol
POINTS = 200  # a precision-recall curve is thinned to this many evenly spread points
CONFIDENCES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "score": lambda answers: answers.score,
    "distance_ratio": lambda answers: 1 - answers.distance_ratio,
}
DIFFERENCE = ["run", "gen", "other", "other_gen", "k", "queries", "recall", "other_recall", "difference", "low", "high"]
DIFFERENCE += ["run_only_correct", "other_only_correct", "p", "p_holm"]


def last_generations(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last generation."""
    return table[table.gen == table.groupby("run").gen.transform("max")]


def paired_differences(answers: pd.DataFrame) -> pd.DataFrame:
    """Compare recall@1 of every two runs on the same queries, and test whether the difference may be chance.

    Runs are compared at their last generation, with the same seed, protocol, kind of descriptor and re-ranking.

    Args:
        answers: the joined tables of `per_query_table`.

    Returns:
        One row per pair: recall@1 of `run` and of `other`, their difference with its 95 % bootstrap interval, the
        numbers of queries that only `run` and only `other` got right (`run_only_correct`, `other_only_correct`), the
        p of McNemar's exact test, and Holm's adjusted p. The family of Holm's adjustment is all rows of one protocol.

    Raises:
        InputError: if two runs were not evaluated on the same queries.
    """
    rows: list[dict[str, Any]] = []
    same = ["dataset", "protocol", "descriptor", "rerank", "seed"]
    for key, part in last_generations(answers).groupby(same, sort=False):
        runs = dict(tuple(part.groupby("run", sort=False)))
        for run, other_run in combinations(runs, 2):
            rows.append(dict(zip(same, key, strict=True)) | paired_difference(runs[run], runs[other_run]))
    table = pd.DataFrame(rows, columns=[*same, *DIFFERENCE])
    table["p_holm"] = table.groupby("protocol").p.transform(holm_adjust) if rows else table.p
    return table


def correct_at_1(answers: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether the first candidate of each query is a hit, (Q,)."""
    return answers["rank"].eq(1).fillna(False).to_numpy(bool)  # no rank: no hit among the candidates


def paired_difference(answers: pd.DataFrame, other_answers: pd.DataFrame) -> dict[str, Any]:
    """Compare the results of two runs on the same queries; returns the columns of DIFFERENCE without `p_holm`."""
    names = {
        "run": answers.run.iloc[0],
        "gen": answers.gen.iloc[0],
        "other": other_answers.run.iloc[0],
        "other_gen": other_answers.gen.iloc[0],
    }
    if answers["query"].tolist() != other_answers["query"].tolist():
        raise InputError(
            f"{names['run']} and {names['other']}: were evaluated on different queries; run again with `-R evaluate`"
        )
    correct, other_correct = correct_at_1(answers), correct_at_1(other_answers)
    queries, run_only, other_only = (
        len(correct),
        int((correct & ~other_correct).sum()),
        int((other_correct & ~correct).sum()),
    )
    low, high = bootstrap_difference(run_only, other_only, queries)
    recalls = {
        "recall": correct.mean(),
        "other_recall": other_correct.mean(),
        "difference": (run_only - other_only) / queries,
    }
    counts = {"run_only_correct": run_only, "other_only_correct": other_only, "p": mcnemar_test(run_only, other_only)}
    return names | {"k": 1, "queries": queries} | recalls | {"low": low, "high": high} | counts


def recall_by_threshold(answers: pd.DataFrame) -> pd.DataFrame:
    """Compute recall@1 of every curve as a function of the hit radius, with 95 % Wilson intervals.

    This is the cumulative distribution of the first candidate's localisation error.
    """
    tables = []
    for key, part in answers.groupby(CURVE, sort=False):
        share = recall_by_radius(THRESHOLDS, part["error@1"].to_numpy())
        low, high = wilson_interval(share * len(part), len(part))
        table = pd.DataFrame({"threshold": THRESHOLDS, "k": 1, "recall": share, "low": low, "high": high})
        tables.append(pd.concat([_key_columns(key, len(table)), table], axis=1))
    return pd.concat(tables, ignore_index=True)


def precision_recall_tables(answers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute precision-recall curves of the first candidates, for each of the two confidences.

    The confidences are `score`, the similarity of the first candidate, and `distance_ratio`, 1 minus the ratio of the
    distances of the first and the second place.

    Returns:
        The points of the curves, and one summary row per curve. The summary holds the area and the recall at 100 %
        precision, both of the whole curve, and quantiles of the error. At most about POINTS points of a curve are kept
        (`thin_curve`).
    """
    points, summaries = [], []
    for key, part in answers.groupby(CURVE, sort=False):
        answerable = int((part.positives > 0).sum())
        quantiles = dict(zip((25, 50, 75, 90), error_quantiles(part["error@1"].to_numpy()), strict=True))
        summary: dict[str, float] = {"queries": len(part), "answerable": answerable}
        summary |= {f"error_{share}%": value for share, value in quantiles.items()}
        for name, confidence in CONFIDENCES.items():
            curve = precision_recall(confidence(part).to_numpy(float), correct_at_1(part), answerable)
            summary[f"average_precision_{name}"] = average_precision(curve)
            summary[f"recall_at_100_{name}"] = recall_at_full_precision(curve)
            table = pd.DataFrame(curve).iloc[thin_curve(curve)].assign(by=name).reset_index(drop=True)
            points.append(pd.concat([_key_columns(key, len(table)), table], axis=1))
        summaries.append(dict(zip(CURVE, key, strict=True)) | summary)
    return pd.concat(points, ignore_index=True), pd.DataFrame(summaries)


def thin_curve(curve: dict[str, NDArray]) -> NDArray[np.int64]:
    """Return the indices of the points to draw: POINTS evenly spread ones, and the last one of 100 % precision."""
    count, full = len(curve["precision"]), np.flatnonzero(curve["precision"] == 1)[-1:]
    return np.unique(np.append(np.linspace(0, max(count - 1, 0), min(POINTS, count)).round(), full).astype(int))


def _key_columns(key: tuple, count: int) -> pd.DataFrame:
    """Repeat the values of a curve's key (CURVE) in `count` rows."""
    return pd.DataFrame([key] * count, columns=CURVE)
