"""What the answers of a dataset's runs say beside their recalls, and our recalls beside published ones: tidy tables."""

from itertools import combinations

import numpy as np
import pandas as pd

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
THRESHOLDS = np.arange(1, 101)  # in the unit of the protocol
POINTS = 200  # of a precision-recall curve are kept
CONFIDENCES = {"score": lambda answers: answers.score, "ratio": lambda answers: 1 - answers.ratio}
DIFFERENCE = ["run", "gen", "other", "other_gen", "k", "queries", "recall", "other_recall", "difference", "low", "high"]
DIFFERENCE += ["only_run", "only_other", "p", "p_holm"]


def last_generations(table):
    """The rows of each run's last generation."""
    return table[table.gen == table.groupby("run").gen.transform("max")]


def paired_differences(answers):
    """Every two runs on the same queries: by how much recall@1 differs, and whether that may be chance.

    Runs are compared at their last generation, with the same seed, protocol, kind of descriptor and re-ranking.

    Args:
        answers: the joined tables of `per_query_table`.

    Returns:
        A row a pair: recall@1 of `run` and of `other`, their difference with its 95 % bootstrap interval, how many
        queries only one of them got right, the p of McNemar's exact test, and Holm's adjusted p: the family is all
        rows of the same protocol.
    """
    rows, same = [], ["dataset", "protocol", "descriptor", "rerank", "seed"]
    for key, part in last_generations(answers).groupby(same, sort=False):
        runs = dict(tuple(part.groupby("run", sort=False)))
        for one, other in combinations(runs, 2):
            rows.append(dict(zip(same, key, strict=True)) | paired_difference(runs[one], runs[other]))
    table = pd.DataFrame(rows, columns=[*same, *DIFFERENCE])
    table["p_holm"] = table.groupby("protocol").p.transform(holm_adjust) if rows else table.p
    return table


def correct_at_1(answers) -> np.ndarray:
    """Whether each query's first candidate is a hit."""
    return answers["rank"].eq(1).fillna(False).to_numpy(bool)  # no rank: no hit among the candidates


def paired_difference(one, other) -> dict:
    """Two runs' answers to the same queries, compared."""
    names = {"run": one.run.iloc[0], "gen": one.gen.iloc[0], "other": other.run.iloc[0], "other_gen": other.gen.iloc[0]}
    if one["query"].tolist() != other["query"].tolist():
        raise InputError(f"{names['run']} and {names['other']}: were asked other queries; run `snakemake -R evaluate`")
    right, theirs = correct_at_1(one), correct_at_1(other)
    queries, only, only_other = len(right), int((right & ~theirs).sum()), int((theirs & ~right).sum())
    low, high = bootstrap_difference(only, only_other, queries)
    recalls = {"recall": right.mean(), "other_recall": theirs.mean(), "difference": (only - only_other) / queries}
    counts = {"only_run": only, "only_other": only_other, "p": mcnemar_test(only, only_other)}
    return names | {"k": 1, "queries": queries} | recalls | {"low": low, "high": high} | counts


def recall_by_threshold(answers):
    """Recall@1 of every curve as a function of the hit radius, with 95 % Wilson intervals: the error's distribution."""
    tables = []
    for key, part in answers.groupby(CURVE, sort=False):
        share = recall_by_radius(THRESHOLDS, part["error@1"].to_numpy())
        low, high = wilson_interval(share * len(part), len(part))
        table = pd.DataFrame({"threshold": THRESHOLDS, "k": 1, "recall": share, "low": low, "high": high})
        tables.append(pd.concat([_key_columns(key, len(table)), table], axis=1))
    return pd.concat(tables, ignore_index=True)


def precision_recall_tables(answers) -> tuple:
    """(points of the precision-recall curves, one summary row a curve) of the first candidates, by both confidences.

    The confidences are `score`, the similarity of the first candidate, and `ratio`, 1 minus the ratio of the distances
    of the first and the second place. The summary holds the area and the recall at 100 % precision of the whole
    curve, of which at most POINTS points are kept, and quantiles of the error.
    """
    points, summaries = [], []
    for key, part in answers.groupby(CURVE, sort=False):
        answerable = int((part.positives > 0).sum())
        quantiles = dict(zip((25, 50, 75, 90), error_quantiles(part["error@1"].to_numpy()), strict=True))
        summary = {"queries": len(part), "answerable": answerable}
        summary |= {f"error_{share}%": value for share, value in quantiles.items()}
        for name, confidence in CONFIDENCES.items():
            curve = precision_recall(confidence(part).to_numpy(float), correct_at_1(part), answerable)
            summary[f"average_precision_{name}"] = average_precision(curve)
            summary[f"recall_at_100_{name}"] = recall_at_full_precision(curve)
            table = pd.DataFrame(curve).iloc[thin_curve(curve)].assign(by=name).reset_index(drop=True)
            points.append(pd.concat([_key_columns(key, len(table)), table], axis=1))
        summaries.append(dict(zip(CURVE, key, strict=True)) | summary)
    return pd.concat(points, ignore_index=True), pd.DataFrame(summaries)


def thin_curve(curve: dict) -> np.ndarray:
    """Which points of a curve are drawn: POINTS evenly spread ones, and the last one of 100 % precision."""
    count, full = len(curve["precision"]), np.flatnonzero(curve["precision"] == 1)[-1:]
    return np.unique(np.append(np.linspace(0, max(count - 1, 0), min(POINTS, count)).round(), full).astype(int))


def _key_columns(key: tuple, count: int):
    return pd.DataFrame([key] * count, columns=CURVE)
