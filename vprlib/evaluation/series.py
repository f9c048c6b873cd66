"""Define a recall series (run, generation, descriptor, dimension, re-ranker), its label and its summary."""

from collections.abc import Iterable

import pandas as pd

from vprlib.evaluation.intervals import mean_recall_interval

SERIES_KEY = ["run", "gen", "descriptor", "dim", "rerank"]  # one line of a plot, one bar, one row of a table
CONFIDENCE = {"score": "similarity of the first candidate", "distance_ratio": "how much farther the second place is"}
TRAINING = {  # columns of a training history -> axis titles
    "loss": "loss",
    "loss_hard": "hard loss",
    "loss_soft": "soft loss",
    "violating_share": "violating negatives (%)",
}
TRAINING |= {"val_recall@1": "val recall@1 (%)", "val_recall@5": "val recall@5 (%)", "learning_rate": "learning rate"}


def add_series_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a column `label` that names the series of each row, and a column `method` that does so without descriptor.

    The label has the run, the kind of descriptor and its dimension; the generation if the run has several; the
    re-ranker if there is one.
    """
    gen = (", gen " + rows.gen.astype(str)).where(rows.groupby("run").gen.transform("nunique") > 1, "")
    rerank = (", " + rows.rerank.astype(str)).where(rows.rerank != "none", "")
    run, descriptor = rows.run.astype(str) + gen, ", " + rows.descriptor + " " + rows.dim.astype(str) + "-D"
    return rows.assign(label=run + descriptor + rerank, method=run + rerank)


def summarize_seeds(rows: pd.DataFrame) -> dict[str, float]:
    """Summarize a recall over the seeds.

    Args:
        rows: one row per seed, with the columns of recalls.csv.

    Returns:
        `recall`, the mean; `std`, the standard deviation (n - 1), NaN for one seed; `low` and `high`, the 95 % interval
        over queries and seeds; `design_effect`, the mean; `seeds`, their number.
    """
    first, seeds = rows.iloc[0], len(rows)
    summary = {"recall": float(rows.recall.mean()), "std": float(rows.recall.std()), "seeds": seeds}
    low, high = first.low, first.high
    if seeds > 1:
        low, high = mean_recall_interval(rows.recall, first.queries, rows.design_effect, rows.groups)
    return summary | {"low": low, "high": high, "design_effect": float(rows.design_effect.mean())}


def summarize_recalls(table: pd.DataFrame, along: str = "k") -> pd.DataFrame:
    """Summarize recalls over the seeds, in percent, by series (SERIES_KEY) and `along`, with labels.

    `low` to `high` is the 95 % interval over queries and seeds.
    """
    if table.empty:
        return add_series_labels(table.assign(seeds=table.seed))
    rows = []
    for key, part in table.groupby([*SERIES_KEY, along], sort=False, dropna=False):
        summary = summarize_seeds(part)
        percents = {name: 100 * summary[name] for name in ("recall", "low", "high")}
        percents |= {"chance": 100 * part.chance.mean()} if "chance" in part else {}
        rows.append(dict(zip([*SERIES_KEY, along], key, strict=True)) | percents | {"seeds": summary["seeds"]})
    return add_series_labels(pd.DataFrame(rows).astype({name: table[name].dtype for name in SERIES_KEY}))


def published_labels(rows: pd.DataFrame) -> list[str]:
    """Label published recalls by their method and, if known, the dimension and the training set."""
    results = zip(rows.run, rows.dim, rows.train_set, strict=True)
    return [
        run + ("" if pd.isna(dim) else f", {dim:.0f}-D") + ("" if pd.isna(train_set) else f", on {train_set}")
        for run, dim, train_set in results
    ]


def training_columns(histories: Iterable[pd.DataFrame]) -> dict[str, str]:
    """Select the columns of TRAINING to draw, with their axis titles.

    If any training has a soft loss, the hard and the soft loss are drawn instead of their sum.
    """
    soft = any("loss_soft" in table and table.loss_soft.notna().any() for table in histories)
    left_out = {"loss"} if soft else {"loss_hard", "loss_soft"}
    return {column: title for column, title in TRAINING.items() if column not in left_out}
