"""Build the page's charts as plain data, which static/charts.js draws: lines by run, with bands and marks.

Shares are in percent. A chart is a dict: `title`, `x` and `y` (axis titles), `log` (whether the x axis is
logarithmic) and `lines`; some charts have `ticks`, a `note`, and a reference, `chance` or `at`. A line is a dict:
`label`, the entries of `series_style`, `main` (whether it is shown at first; one line per run is), `x`, `y`, and the
band `low`, `high` if there is one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from vprlib.config import RunConfig
from vprlib.data.listed_positives import LISTED
from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import CONFIDENCE, add_series_labels, summarize_recalls, training_columns
from vprlib.evaluation.statistics import interpolated_precision
from vprlib.figures.marks import series_numbers, series_style
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork
from vprlib.report.encoding import json_value


def dataset_charts(campaign: Artifacts, dataset: str, protocol: str) -> dict[str, Any]:
    """Build the charts of a dataset under one protocol, {name: chart}; charts without a table are left out."""
    charts = {}
    if campaign.recalls is not None:
        table = campaign.recalls
        table = table[(table.dataset == dataset) & (table.protocol == protocol) & (table.condition == ALL)]
        if len(table):
            charts["recalls"] = recall_chart(campaign, table)
    makers = {"thresholds": threshold_chart, "precision": precision_chart, "sizes": size_charts}
    for name, make in makers.items():
        if name == "sizes" and not campaign.config.sized:
            continue
        joined = campaign.joined(campaign.results / dataset / f"{name}.csv", f"{dataset}: {TITLES[name]}", dataset)
        if joined is not None and len(part := joined[joined.protocol == protocol]):
            if name == "thresholds" and part.unit.iloc[0] == LISTED:  # the recall is the same at every radius
                continue
            charts[name] = make(campaign, part)
    return json_value(charts)


TITLES = {
    "thresholds": "recall@1 by hit radius",
    "precision": "precision and recall of confident predictions",
    "sizes": "recall@1 by bytes per image",
}


def recall_chart(campaign: Artifacts, table: pd.DataFrame) -> dict[str, Any]:
    """Build the chart of recall@N over N, with intervals and the chance level."""
    rows = summarize_recalls(table)
    chance = rows.groupby("k").chance.mean()
    return {
        "title": "recall@N",
        "x": "N, number of candidates",
        "y": "recall@N (%)",
        "log": True,
        "ticks": sorted(set(table.k)),
        "chance": {"x": list(chance.index), "y": list(chance)},
        "note": "bands: 95 % intervals; dotted: chance",
        "lines": chart_lines(campaign, rows, "k"),
    }


def threshold_chart(campaign: Artifacts, table: pd.DataFrame) -> dict[str, Any]:
    """Build the chart of recall@1 over the hit radius, with intervals and the protocol's radius."""
    rows, unit = summarize_recalls(table, "threshold"), table.unit.iloc[0]
    return {
        "title": TITLES["thresholds"],
        "x": f"hit radius ({unit})",
        "y": "recall@1 (%)",
        "log": True,
        "ticks": [1, 2, 5, 10, 20, 50, 100],
        "at": {"x": table.radius.iloc[0], "label": f"protocol's radius: {table.radius.iloc[0]:g} {unit}"},
        "note": "bands: 95 % intervals",
        "lines": chart_lines(campaign, rows, "threshold"),
    }


def chart_lines(campaign: Artifacts, rows: pd.DataFrame, along: str) -> list[dict[str, Any]]:
    """Build the lines of recalls over the column `along`, from the rows of `summarize_recalls`."""
    lines = []
    for style, part in styled_series(campaign, rows):
        part = part.sort_values(along)
        values = {name: list(part[name]) for name in ("low", "high")}
        lines.append(style | {"x": list(part[along]), "y": list(part.recall)} | values)
    return lines


def styled_series(campaign: Artifacts, rows: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the style of each labelled series, and its rows."""
    runs = campaign.config.runs
    numbers = series_numbers(rows, {name: len(run.generations) - 1 for name, run in runs.items()})
    for label, part in rows.groupby("label", sort=False):
        first = part.iloc[0]
        yield (
            {"label": label, "main": is_main_series(runs[first.run], first)} | series_style(*numbers[str(label)]),
            part,
        )


def is_main_series(run: RunConfig, row: pd.Series) -> bool:
    """Return whether a row is of its run's last generation, of whitened descriptors if any, and not re-ranked."""
    kind = "whitened" if "whitened" in run.kinds else "raw"
    return bool(row.gen == len(run.generations) - 1 and row.descriptor == kind and row["rerank"] == "none")


def precision_chart(campaign: Artifacts, table: pd.DataFrame) -> dict[str, Any]:
    """Build the chart of precision over recall, by the first candidate's similarity; one line per seed."""
    lines = []
    labelled = add_series_labels(table[table.by == "score"])
    for style, part in styled_series(campaign, labelled):
        for _, line in part.groupby("seed"):
            line = line.sort_values("recall", kind="stable")
            precision = interpolated_precision(line.recall.to_numpy(), line.precision.to_numpy())
            lines.append(style | {"x": list(line.recall * 100), "y": list(precision * 100)})
    return {
        "title": TITLES["precision"],
        "stepped": True,
        "x": "recall (%)",
        "y": "precision (%)",
        "log": False,
        "note": f"interpolated; confidence: {CONFIDENCE['score']}",
        "lines": lines,
    }


def size_charts(campaign: Artifacts, table: pd.DataFrame) -> dict[str, Any]:
    """Build the chart of recall@1 over the bytes of a descriptor; one line per run and storage."""
    table = table[table.k == table.k.min()].assign(descriptor="whitened", rerank="none")
    lines, order = [], list(campaign.config.runs)
    for number, (storage, part) in enumerate(table.groupby("compression", sort=False)):
        for run, rows in part.groupby("run", sort=False):
            line = rows.groupby("bytes").recall.mean()
            style = {"label": f"{run}, {storage}", "main": True} | series_style(order.index(str(run)), number)
            lines.append(style | {"x": list(line.index), "y": list(line * 100)})
    title = f"recall@{table.k.min()}"
    return {"title": TITLES["sizes"], "x": "bytes per image", "y": f"{title} (%)", "log": True, "lines": lines}


def training_charts(campaign: Artifacts) -> dict[str, Any]:
    """Build a chart for each column of the training histories that has values, {column: chart}."""
    histories = {}
    for network in campaign.networks:
        if network.run in campaign.config.trained:
            table = campaign.table(campaign.file("history", network=network), f"training of {network}")
            if table is None:
                continue
            histories[network] = table
            if "val_recall@1" not in table and len(table) > 1:
                campaign.add_missing(f"training of {network}: val recalls", "its train set has no val split")
    charts, runs = {}, campaign.config.runs
    for column, label in training_columns(histories.values()).items():
        lines = []
        for network, table in histories.items():
            values = pd.to_numeric(table.get(column, pd.Series(dtype=float)), errors="coerce")
            if values.notna().any():
                generations_back = len(runs[network.run].generations) - 1 - network.gen
                style = {"label": training_label(network, list(histories)), "main": True}
                style |= series_style(list(runs).index(network.run), generations_back)
                scale = 100 if "%" in label else 1
                lines.append(style | {"x": list(table.epoch), "y": list(values * scale)})
        if lines:
            axes = {"title": label, "x": "epoch (0: before training)", "y": label, "log": False}
            charts[column] = axes | {"lines": lines, "ticks": epoch_ticks(lines)}
    return json_value(charts)


def epoch_ticks(lines: list[dict[str, Any]]) -> list[int]:
    """Return at most ten whole epochs, evenly spread."""
    last = max(max(line["x"]) for line in lines)
    return list(range(0, last + 1, 1 + last // 10))


def training_label(network: EvaluatedNetwork, others: Sequence[EvaluatedNetwork]) -> str:
    """Name a training by its run, and by generation and seed if the run has several."""
    same_run = [one for one in others if one.run == network.run]
    gen = f", gen {network.gen}" if len({one.gen for one in same_run}) > 1 else ""
    return network.run + gen + (f", seed {network.seed}" if len({one.seed for one in same_run}) > 1 else "")
