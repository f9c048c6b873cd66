"""Tidy tables beyond recall: paired differences between runs, recall by hit radius, and precision-recall curves."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.evaluation.correlated_queries import correlated_groups, count_groups
from vprlib.evaluation.intervals import paired_difference, recall_intervals
from vprlib.evaluation.statistics import (
    area_under_curve,
    average_precision,
    error_quantiles,
    holm_adjust,
    precision_recall,
    recall_at_full_precision,
    recall_by_radius,
)
from vprlib.exceptions import InputError

CURVE = ["dataset", "protocol", "radius", "unit", "run", "seed", "gen", "descriptor", "dim", "rerank"]
THRESHOLDS = np.arange(1, 101)  # hit radii, in the unit of the protocol
POINTS = 200  # a precision-recall curve is thinned to this many evenly spread points
CONFIDENCES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "score": lambda answers: answers.score,
    "distance_ratio": lambda answers: 1 - answers.distance_ratio,
}
DIFFERENCE = ["run", "gen", "other", "other_gen", "k", "seeds", "queries", "places", "groups", "recall", "other_recall"]
DIFFERENCE += ["difference", "low", "high", "design_effect", "run_only_correct", "other_only_correct", "p", "p_holm"]


def last_generations(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last generation."""
    return table[table.gen == table.groupby("run").gen.transform("max")]


def paired_differences(answers: pd.DataFrame) -> pd.DataFrame:
    """Compare recall@1 of every two runs on the same queries, and test whether the difference may be chance.

    Runs are compared at their last generation, with the same protocol, kind of descriptor and re-ranking, over the
    seeds that both have. A run of a single seed, a published network for example, is compared with every seed of the
    other.

    Args:
        answers: the joined tables of `per_query_table`.

    Returns:
        One row per pair: mean recall@1 of `run` and of `other`; their difference, its 95 % interval, design effect and
        p (`vprlib.evaluation.intervals.paired_difference`); the numbers of queries that only `run` and only `other` got
        right (`run_only_correct`, `other_only_correct`), means over the seeds; and Holm's adjusted p. The family of
        Holm's adjustment is all rows of one protocol.

    Raises:
        InputError: if two runs were not evaluated on the same queries, or have several seeds and none in common.
    """
    rows: list[dict[str, Any]] = []
    same = ["dataset", "protocol", "descriptor", "rerank"]
    for key, part in last_generations(answers).groupby(same, sort=False):
        runs = dict(tuple(part.groupby("run", sort=False)))
        for run, other_run in combinations(runs, 2):
            rows.append(dict(zip(same, key, strict=True)) | compare_answers(runs[run], runs[other_run]))
    table = pd.DataFrame(rows, columns=[*same, *DIFFERENCE])
    table["p_holm"] = table.groupby("protocol").p.transform(holm_adjust) if rows else table.p
    return table


def correct_at_1(answers: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether the first candidate of each query is a hit, (Q,)."""
    return answers["rank"].eq(1).fillna(False).to_numpy(bool)  # no rank: no hit among the candidates


def compare_answers(answers: pd.DataFrame, other_answers: pd.DataFrame) -> dict[str, Any]:
    """Compare the results of two runs on the same queries; returns the columns of DIFFERENCE without `p_holm`."""
    names = {
        "run": answers.run.iloc[0],
        "gen": answers.gen.iloc[0],
        "other": other_answers.run.iloc[0],
        "other_gen": other_answers.gen.iloc[0],
    }
    correct_SQ, other_correct_SQ = (
        np.stack([correct_at_1(part) for part in parts]) for parts in _same_queries(answers, other_answers, names)
    )
    query = answers[answers.seed == answers.seed.iloc[0]]
    difference_Q = correct_SQ.mean(0) - other_correct_SQ.mean(0)
    position_Q2, radius = query[["east", "north"]].to_numpy(float), query.radius.iloc[0]
    group_Q = correlated_groups(position_Q2, radius, difference_Q[:, None])
    found = paired_difference(group_Q, correct_SQ, other_correct_SQ)
    counts = {"k": 1, "seeds": len(correct_SQ), "queries": len(query)} | count_groups(position_Q2, radius, group_Q)
    recalls = {"recall": correct_SQ.mean(), "other_recall": other_correct_SQ.mean(), "difference": found.value}
    only = {
        "run_only_correct": (correct_SQ & ~other_correct_SQ).sum(1).mean(),
        "other_only_correct": (other_correct_SQ & ~correct_SQ).sum(1).mean(),
    }
    interval = {"low": found.low, "high": found.high, "design_effect": found.design_effect}
    return names | counts | recalls | interval | only | {"p": found.p}


def _same_queries(
    answers: pd.DataFrame, other_answers: pd.DataFrame, names: dict[str, Any]
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Split the results of two runs by seed, in pairs."""
    seeds, other_seeds = (dict(tuple(table.groupby("seed"))) for table in (answers, other_answers))
    shared = [seed for seed in seeds if seed in other_seeds]
    if len(seeds) == 1 or len(other_seeds) == 1:
        count = max(len(seeds), len(other_seeds))
        pair = [[*part.values()] * (count if len(part) == 1 else 1) for part in (seeds, other_seeds)]
    else:
        pair = [[part[seed] for seed in shared] for part in (seeds, other_seeds)]
    runs = f"{names['run']} and {names['other']}"
    if not pair[0]:
        raise InputError(f"{runs}: have no seed in common; evaluate both with the same `seeds`")
    if any(part["query"].tolist() != pair[0][0]["query"].tolist() for part in pair[0] + pair[1]):
        raise InputError(f"{runs}: were evaluated on different queries; run again with `-R evaluate`")
    return pair[0], pair[1]


def recall_by_threshold(answers: pd.DataFrame) -> pd.DataFrame:
    """Compute recall@1 of every curve as a function of the hit radius, with 95 % intervals.

    This is the cumulative distribution of the first candidate's localisation error.
    """
    tables = []
    for key, part in answers.groupby(CURVE, sort=False):
        error_Q = part["error@1"].to_numpy()
        share, hit_QC = recall_by_radius(THRESHOLDS, error_Q), error_Q[:, None] <= THRESHOLDS
        position_Q2, radius = part[["east", "north"]].to_numpy(float), part.radius.iloc[0]
        group_Q = correlated_groups(position_Q2, radius, hit_QC)
        low, high, effect = recall_intervals(group_Q, hit_QC)
        table = pd.DataFrame({"threshold": THRESHOLDS, "k": 1, "recall": share, "low": low, "high": high})
        table = table.assign(design_effect=effect, queries=len(part), **count_groups(position_Q2, radius, group_Q))
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
            summary[f"auc_pr_{name}"] = area_under_curve(curve)
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
