"""Define a recall series (run, generation, descriptor, dimension, re-ranker), its label and its summary."""

from collections.abc import Iterable

import pandas as pd

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
    """Add a column `label` that names the series of each row.

    It has the run, the kind of descriptor and its dimension; the generation if the run has several; the re-ranker if
    there is one.
    """
    gen = (", gen " + rows.gen.astype(str)).where(rows.groupby("run").gen.transform("nunique") > 1, "")
    rerank = (", " + rows.rerank.astype(str)).where(rows.rerank != "none", "")
    label = rows.run.astype(str) + gen + ", " + rows.descriptor + " " + rows.dim.astype(str) + "-D" + rerank
    return rows.assign(label=label)


def summarize_recalls(table: pd.DataFrame, along: str = "k") -> pd.DataFrame:
    """Summarize recalls over the seeds, in percent, by series (SERIES_KEY) and `along`, with labels.

    `low` to `high` is the range of several seeds, or the interval of a single one.
    """
    groups = table.groupby([*SERIES_KEY, along], sort=False, dropna=False)
    seeds = groups.seed.nunique()
    rows = groups[[name for name in ("recall", "chance") if name in table]].mean() * 100
    rows["low"] = groups.low.min().where(seeds == 1, groups.recall.min()) * 100
    rows["high"] = groups.high.max().where(seeds == 1, groups.recall.max()) * 100
    return add_series_labels(rows.assign(seeds=seeds).reset_index())


def interval_name(seeds: Iterable[int]) -> str:
    """Name the interval `low` to `high` of `summarize_recalls`.

    Args:
        seeds: the number of seeds of each row.

    Examples:
        >>> interval_name([1, 3])
        '95 % interval or range of 3 seeds'
    """
    return " or ".join("95 % interval" if n == 1 else f"range of {n} seeds" for n in sorted(set(seeds)))


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
