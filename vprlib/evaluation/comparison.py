"""What the answers of a dataset's runs say beside their recalls, and our recalls beside published ones: tidy tables."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.statistics import (
    average_precision,
    bootstrap_difference,
    error_quantiles,
    holm,
    mcnemar,
    over_seeds,
    precision_recall,
    recall_at_full_precision,
    recall_within,
    wilson,
)
from vprlib.io.files import BadInput

PUBLISHED = Path(__file__).parent / "published_recalls.csv"
CURVE = ["dataset", "protocol", "radius", "unit", "run", "seed", "gen", "descriptor", "dim", "rerank"]
THRESHOLDS = np.arange(1, 101)  # in the unit of the protocol
POINTS = 200  # of a precision-recall curve are kept
CONFIDENCES = {"score": lambda answers: answers.score, "ratio": lambda answers: 1 - answers.ratio}
DIFFERENCE = ["run", "gen", "other", "other_gen", "k", "queries", "recall", "other_recall", "difference", "low", "high"]
DIFFERENCE += ["only_run", "only_other", "p", "p_holm"]
BESIDE = [
    "origin",
    "dataset",
    "protocol",
    "run",
    "gen",
    "train_set",
    "descriptor",
    "dim",
    "rerank",
    "index",
    "k",
    "recall",
    "std",
]
BESIDE += ["low", "high", "interval", "seeds", "queries", "chosen_by", "source"]


def last_generations(table):
    """The rows of each run's last generation."""
    return table[table.gen == table.groupby("run").gen.transform("max")]


def differences(answers):
    """Every two runs on the same queries: by how much recall@1 differs, and whether that may be chance.

    Runs are compared at their last generation, with the same seed, protocol, kind of descriptor and re-ranking.

    Args:
        answers: the joined tables of `judge.answers`.

    Returns:
        A row a pair: recall@1 of `run` and of `other`, their difference with its 95 % bootstrap interval, how many
        queries only one of them got right, the p of McNemar's exact test, and Holm's adjusted p: the family is all
        rows of the same protocol.
    """
    rows, same = [], ["dataset", "protocol", "descriptor", "rerank", "seed"]
    for key, part in last_generations(answers).groupby(same, sort=False):
        runs = dict(tuple(part.groupby("run", sort=False)))
        for one, other in combinations(runs, 2):
            rows.append(dict(zip(same, key, strict=True)) | difference(runs[one], runs[other]))
    table = pd.DataFrame(rows, columns=[*same, *DIFFERENCE])
    table["p_holm"] = table.groupby("protocol").p.transform(holm) if rows else table.p
    return table


def is_right(answers) -> np.ndarray:
    """Whether each query's first candidate is a hit."""
    return answers["rank"].eq(1).fillna(False).to_numpy(bool)  # no rank: no hit among the candidates


def difference(one, other) -> dict:
    """Two runs' answers to the same queries, compared."""
    names = {"run": one.run.iloc[0], "gen": one.gen.iloc[0], "other": other.run.iloc[0], "other_gen": other.gen.iloc[0]}
    if one["query"].tolist() != other["query"].tolist():
        raise BadInput(f"{names['run']} and {names['other']}: were asked other queries; run `snakemake -R evaluate`")
    right, theirs = is_right(one), is_right(other)
    queries, only, only_other = len(right), int((right & ~theirs).sum()), int((theirs & ~right).sum())
    low, high = bootstrap_difference(only, only_other, queries)
    recalls = {"recall": right.mean(), "other_recall": theirs.mean(), "difference": (only - only_other) / queries}
    counts = {"only_run": only, "only_other": only_other, "p": mcnemar(only, only_other)}
    return names | {"k": 1, "queries": queries} | recalls | {"low": low, "high": high} | counts


def thresholds(answers):
    """Recall@1 of every curve as a function of the hit radius, with 95 % Wilson intervals: the error's distribution."""
    tables = []
    for key, part in answers.groupby(CURVE, sort=False):
        share = recall_within(THRESHOLDS, part["error@1"].to_numpy())
        low, high = wilson(share * len(part), len(part))
        table = pd.DataFrame({"threshold": THRESHOLDS, "k": 1, "recall": share, "low": low, "high": high})
        tables.append(pd.concat([repeated(key, len(table)), table], axis=1))
    return pd.concat(tables, ignore_index=True)


def precision(answers) -> tuple:
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
            curve = precision_recall(confidence(part).to_numpy(float), is_right(part), answerable)
            summary[f"average_precision_{name}"] = average_precision(curve)
            summary[f"recall_at_100_{name}"] = recall_at_full_precision(curve)
            table = pd.DataFrame(curve).iloc[kept(curve)].assign(by=name).reset_index(drop=True)
            points.append(pd.concat([repeated(key, len(table)), table], axis=1))
        summaries.append(dict(zip(CURVE, key, strict=True)) | summary)
    return pd.concat(points, ignore_index=True), pd.DataFrame(summaries)


def kept(curve: dict) -> np.ndarray:
    """Which points of a curve are drawn: POINTS evenly spread ones, and the last one of 100 % precision."""
    count, full = len(curve["precision"]), np.flatnonzero(curve["precision"] == 1)[-1:]
    return np.unique(np.append(np.linspace(0, max(count - 1, 0), min(POINTS, count)).round(), full).astype(int))


def repeated(key: tuple, count: int):
    return pd.DataFrame([key] * count, columns=CURVE)


def published(datasets):
    """Published recalls on some datasets, a row for each method and k; shares, like ours.

    PUBLISHED holds percents as their source gives them, only numbers that the source itself measured.
    """
    table = pd.read_csv(PUBLISHED, dtype=dict.fromkeys(("descriptor", "rerank"), str))
    table = table[table.dataset.isin(datasets)]
    table = table.rename(columns={"method": "run"}).melt(
        ["run", "dim", "train_set", "dataset", "protocol", "source"], ["r1", "r5", "r10"], "k", "recall"
    )
    table["k"] = table.k.str.removeprefix("r").astype(int)
    table["recall"] = (table.recall / 100).round(3)
    order = {name: number for number, name in enumerate(datasets)}
    table = table.dropna(subset="recall").assign(origin="published")
    return table.sort_values(["dataset", "run", "dim", "k"], key=lambda c: c.map(order) if c.name == "dataset" else c)


def beside(tables: list):
    """Our recalls of all datasets, over all queries and the seeds, then the published ones; `origin` tells which.

    With several seeds `recall` is their mean, `std` its deviation (n - 1), and `low` to `high` Student's 95 % interval
    of the mean; with one seed they are Wilson's interval over the queries. `interval` says which.
    """
    recalls = pd.concat(tables, ignore_index=True)
    recalls = recalls[recalls.condition == ALL]
    shared = [name for name in BESIDE if name in recalls and name not in ("recall", "low", "high")]
    rows = []
    for key, part in recalls.groupby(shared, sort=False, dropna=False):
        spread = over_seeds(part.recall)
        spread = {"recall": spread.pop("mean")} | spread | {"interval": f"t, {len(part)} seeds"}
        if len(part) == 1:
            spread |= {"low": part.low.iloc[0], "high": part.high.iloc[0], "interval": "Wilson, queries"}
        rows.append(dict(zip(shared, key, strict=True)) | spread | {"seeds": len(part), "origin": "ours"})
    known = published(list(recalls.dataset.unique()))
    table = pd.DataFrame(rows + known.to_dict("records"), columns=BESIDE)
    whole = ["gen", "dim", "seeds", "queries"]  # of published numbers mostly unknown
    return table.astype(dict.fromkeys(whole, "Int64"))
