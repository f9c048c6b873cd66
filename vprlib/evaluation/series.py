"""Define a recall series (run, generation, descriptor, dimension, re-ranker), its label and its summary."""

import pandas as pd

SERIES_KEY = ["run", "gen", "descriptor", "dim", "rerank"]  # what makes a line, a bar or a row
CONFIDENCE = {"score": "similarity of the first candidate", "ratio": "how much farther the second place is"}
TRAINING = {"loss": "loss", "loss_hard": "hard loss", "loss_soft": "soft loss", "violating": "violating negatives (%)"}
TRAINING |= {"val_recall@1": "val recall@1 (%)", "val_recall@5": "val recall@5 (%)", "learning_rate": "learning rate"}


def add_series_labels(rows) -> pd.DataFrame:
    """Rows with a column `label`: what of FORM tells them apart."""
    gen = (", gen " + rows.gen.astype(str)).where(rows.groupby("run").gen.transform("nunique") > 1, "")
    rerank = (", " + rows.rerank.astype(str)).where(rows.rerank != "none", "")
    label = rows.run.astype(str) + gen + ", " + rows.descriptor + " " + rows.dim.astype(str) + "-D" + rerank
    return rows.assign(label=label)


def summarize_recalls(table, along: str = "k") -> pd.DataFrame:
    """Recalls in percent by FORM and k, labelled; `low` to `high` is the range of several seeds, or one's interval."""
    groups = table.groupby([*SERIES_KEY, along], sort=False, dropna=False)
    seeds = groups.seed.nunique()
    rows = groups[[name for name in ("recall", "chance") if name in table]].mean() * 100
    rows["low"] = groups.low.min().where(seeds == 1, groups.recall.min()) * 100
    rows["high"] = groups.high.max().where(seeds == 1, groups.recall.max()) * 100
    return add_series_labels(rows.assign(seeds=seeds).reset_index())


def interval_name(seeds) -> str:
    """What `low` to `high` of `summarise` is, in words."""
    return " or ".join("95 % interval" if n == 1 else f"range of {n} seeds" for n in sorted(set(seeds)))


def published_labels(rows) -> list:
    """What published recalls are of: the method and, as far as they are known, the dimension and the training set."""
    parts = zip(rows.run, rows.dim, rows.train_set, strict=True)
    return [
        run + ("" if pd.isna(dim) else f", {dim:.0f}-D") + ("" if pd.isna(train_set) else f", on {train_set}")
        for run, dim, train_set in parts
    ]


def training_columns(histories) -> dict:
    """What of TRAINING is drawn of some trainings: a soft loss and the hard one beside it, or the only loss."""
    soft = any("loss_soft" in table and table.loss_soft.notna().any() for table in histories)
    left_out = {"loss"} if soft else {"loss_hard", "loss_soft"}
    return {column: title for column, title in TRAINING.items() if column not in left_out}
