"""Compare recalls measured here with published ones."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vprlib.data.text_table import read_text_table
from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import summarize_seeds

PUBLISHED = Path(__file__).parent / "published_recalls.csv"
COLUMNS = ["origin", "dataset", "protocol", "run", "gen", "train_set", "descriptor", "dim", "rerank", "index", "k"]
COLUMNS += [
    "recall",
    "std",
    "low",
    "high",
    "design_effect",
    "seeds",
    "queries",
    "places",
    "groups",
    "epoch_selected_on",
    "source",
]


def published_recalls(datasets: Sequence[str]) -> pd.DataFrame:
    """Read the published recalls on some datasets, one row per method and k, as shares in [0, 1].

    The file PUBLISHED holds percent, as the source gives them, and only numbers that the source itself measured.
    """
    table = read_text_table(PUBLISHED, lambda column: column in ("dim", "r1", "r5", "r10"))
    table = table[table.dataset.isin(datasets)]
    table = table.rename(columns={"method": "run"}).melt(
        ["run", "dim", "train_set", "dataset", "protocol", "source"], ["r1", "r5", "r10"], "k", "recall"
    )
    table["k"] = table.k.str.removeprefix("r").astype(int)
    table["recall"] = (table.recall / 100).round(3)
    order = {name: number for number, name in enumerate(datasets)}
    table = table.dropna(subset="recall").assign(origin="published")
    return table.sort_values(["dataset", "run", "dim", "k"], key=lambda c: c.map(order) if c.name == "dataset" else c)


def compare_with_published(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join our recalls over all queries, averaged over the seeds, and the published recalls of the same datasets.

    Args:
        tables: our tables of recalls (`recall_table`).

    Returns:
        The columns COLUMNS; `origin` is `ours` or `published`. `recall` to `seeds` are those of `summarize_seeds`.
    """
    recalls = pd.concat(tables, ignore_index=True)
    recalls = recalls[recalls.condition == ALL]
    summarized = ("recall", "low", "high", "design_effect", "places", "groups")
    keys = [name for name in COLUMNS if name in recalls and name not in summarized]
    rows: list[dict[Hashable, Any]] = []
    for key, part in recalls.groupby(keys, sort=False, dropna=False):
        row: dict[Hashable, Any] = dict(zip(keys, key, strict=True))
        row.update(summarize_seeds(part), places=part.places.iloc[0], groups=part.groups.min(), origin="ours")
        rows.append(row)
    published = published_recalls(list(recalls.dataset.unique()))
    table = pd.DataFrame(rows + published.to_dict("records"), columns=COLUMNS)
    integers = ["gen", "dim", "seeds", "queries", "places", "groups"]  # nullable: published results mostly lack them
    return table.astype(dict.fromkeys(integers, "Int64"))
