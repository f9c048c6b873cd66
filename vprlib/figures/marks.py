"""What makes a line of recalls, its name, its numbers and its look: the same in figures, tables and on the page."""

import pandas as pd

FORM = ["run", "gen", "descriptor", "dim", "rerank"]  # what makes a line, a bar or a row
CONFIDENCE = {"score": "similarity of the first candidate", "ratio": "how much farther the second place is"}
TRAINING = {"loss": "loss", "loss_hard": "hard loss", "loss_soft": "soft loss", "violating": "violating negatives (%)"}
TRAINING |= {"val_recall@1": "val recall@1 (%)", "val_recall@5": "val recall@5 (%)", "learning_rate": "learning rate"}
HUES = {  # of the runs: Okabe's and Ito's without yellow; on a dark screen lighter ones in the same order
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    "dark": ("#2F8FD8", "#E8702A", "#17B384", "#E08FC0", "#F0B429", "#8FD3FF", "#FFFFFF"),
}
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")  # one more than hues
DASHES = ((), (5, 1.5), (4, 1.5, 1, 1.5), (2, 1), (1, 1.5))  # drawn and left out, in widths of the line


def labelled(rows) -> pd.DataFrame:
    """Rows with a column `label`: what of FORM tells them apart."""
    gen = (", gen " + rows.gen.astype(str)).where(rows.groupby("run").gen.transform("nunique") > 1, "")
    rerank = (", " + rows.rerank.astype(str)).where(rows.rerank != "none", "")
    label = rows.run.astype(str) + gen + ", " + rows.descriptor + " " + rows.dim.astype(str) + "-D" + rerank
    return rows.assign(label=label)


def summarise(table, along: str = "k") -> pd.DataFrame:
    """Recalls in percent by FORM and k, labelled; `low` to `high` is the range of several seeds, or one's interval."""
    groups = table.groupby([*FORM, along], sort=False, dropna=False)
    seeds = groups.seed.nunique()
    rows = groups[[name for name in ("recall", "chance") if name in table]].mean() * 100
    rows["low"] = groups.low.min().where(seeds == 1, groups.recall.min()) * 100
    rows["high"] = groups.high.max().where(seeds == 1, groups.recall.max()) * 100
    return labelled(rows.assign(seeds=seeds).reset_index())


def spread(seeds) -> str:
    """What `low` to `high` of `summarise` is, in words."""
    return " or ".join("95 % interval" if n == 1 else f"range of {n} seeds" for n in sorted(set(seeds)))


def published_names(rows) -> list:
    """What published recalls are of: the method and, as far as they are known, the dimension and the training set."""
    parts = zip(rows.run, rows.dim, rows.train_set, strict=True)
    return [
        run + ("" if pd.isna(dim) else f", {dim:.0f}-D") + ("" if pd.isna(train_set) else f", on {train_set}")
        for run, dim, train_set in parts
    ]


def trained_columns(histories) -> dict:
    """What of TRAINING is drawn of some trainings: a soft loss and the hard one beside it, or the only loss."""
    soft = any("loss_soft" in table and table.loss_soft.notna().any() for table in histories)
    left_out = {"loss"} if soft else {"loss_hard", "loss_soft"}
    return {column: title for column, title in TRAINING.items() if column not in left_out}


def numbered(rows, last: dict | None = None) -> dict:
    """(number of the run, number of the variant) of each label, which `marks` draws.

    Number 0 of a run is what people ask for: its last generation, without re-ranking, whitened, if its rows have such.

    Args:
        rows: labelled rows.
        last: the last generation of each run, in the order of the runs; by default those of the rows.
    """
    last = rows.groupby("run", sort=False).gen.max().to_dict() if last is None else last
    runs, lines = list(last), rows.drop_duplicates("label")
    whitened = set(lines.run[lines.descriptor == "whitened"])
    kinds = zip(lines.run, lines.gen, lines["rerank"], lines.descriptor, strict=True)
    kinds = [
        (last[run] - gen, again != "none", again, run in whitened and kind != "whitened")
        for run, gen, again, kind in kinds
    ]
    order = sorted(set(kinds))
    places = zip(lines.label, lines.run, kinds, strict=True)
    return {label: (runs.index(run), order.index(kind)) for label, run, kind in places}


def marks(run: int, variant: int) -> dict:
    """How a line is drawn: hue and marker tell the runs apart; dashes, hollow markers, then other ones their variants.

    Only variant 0 of a run is solid, so whatever its marker is, no other line looks like the main one of any run.

    Returns:
        Numbers of HUES, MARKERS and DASHES, and whether the marker is `hollow`; 64 variants of a run differ.
    """
    look = {"hue": run % len(HUES["light"]), "marker": run % len(MARKERS), "dash": 0, "hollow": False}
    if not variant:
        return look
    turns, dash = divmod(variant - 1, len(DASHES) - 1)
    hollow = (dash + turns) % 2 == 0
    return look | {"marker": (run + turns // 2) % len(MARKERS), "dash": 1 + dash, "hollow": hollow}
