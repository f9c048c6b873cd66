"""Compare recalls measured here with published ones."""

from pathlib import Path

import pandas as pd

from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.statistics import mean_over_seeds

PUBLISHED = Path(__file__).parent / "published_recalls.csv"
COLUMNS = [
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
COLUMNS += ["low", "high", "interval", "seeds", "queries", "chosen_by", "source"]


def published_recalls(datasets):
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


def compare_with_published(tables: list):
    """Our recalls of all datasets, over all queries and the seeds, then the published ones; `origin` tells which.

    With several seeds `recall` is their mean, `std` its deviation (n - 1), and `low` to `high` Student's 95 % interval
    of the mean; with one seed they are Wilson's interval over the queries. `interval` says which.
    """
    recalls = pd.concat(tables, ignore_index=True)
    recalls = recalls[recalls.condition == ALL]
    shared = [name for name in COLUMNS if name in recalls and name not in ("recall", "low", "high")]
    rows = []
    for key, part in recalls.groupby(shared, sort=False, dropna=False):
        spread = mean_over_seeds(part.recall)
        spread = {"recall": spread.pop("mean")} | spread | {"interval": f"t, {len(part)} seeds"}
        if len(part) == 1:
            spread |= {"low": part.low.iloc[0], "high": part.high.iloc[0], "interval": "Wilson, queries"}
        rows.append(dict(zip(shared, key, strict=True)) | spread | {"seeds": len(part), "origin": "ours"})
    known = published_recalls(list(recalls.dataset.unique()))
    table = pd.DataFrame(rows + known.to_dict("records"), columns=COLUMNS)
    whole = ["gen", "dim", "seeds", "queries"]  # of published numbers mostly unknown
    return table.astype(dict.fromkeys(whole, "Int64"))
