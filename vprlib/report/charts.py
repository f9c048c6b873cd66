"""The page's charts as plain data, which static/charts.js draws: lines by run, with bands and marks. Shares in percent.

A chart is a dict: `title`, `x` and `y` (axis titles), `log` (whether x is), and `lines`, each with `label`, what
`series_style` returns, `main` (the one that is shown of a run at first), `x`, `y`, and where there is one the band
`low`, `high`; in some `ticks`, a `note`, and `chance` or `at`, a reference.
"""

import pandas as pd

from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import CONFIDENCE, add_series_labels, interval_name, summarize_recalls, training_columns
from vprlib.figures.marks import series_numbers, series_style
from vprlib.report.artifacts import Artifacts
from vprlib.report.encoding import json_value


def dataset_charts(campaign: Artifacts, dataset: str, protocol: str) -> dict:
    """The charts of a dataset by one protocol, by name; those whose tables are missing are left out."""
    made = {}
    if campaign.recalls is not None:
        table = campaign.recalls
        table = table[(table.dataset == dataset) & (table.protocol == protocol) & (table.condition == ALL)]
        if len(table):
            made["recalls"] = recall_chart(campaign, table)
    for name, make in (("thresholds", threshold_chart), ("precision", precision_chart), ("sizes", size_charts)):
        if name == "sizes" and not campaign.config.sized:
            continue
        table = campaign.joined(campaign.results / dataset / f"{name}.csv", f"{dataset}: {TITLES[name]}", dataset)
        if table is not None and len(part := table[table.protocol == protocol]):
            made[name] = make(campaign, part)
    return json_value(made)


TITLES = {
    "thresholds": "recall@1 by hit radius",
    "precision": "precision and recall of confident answers",
    "sizes": "recall@1 by bytes per image",
}


def recall_chart(campaign: Artifacts, table) -> dict:
    """Recall@N over N, with intervals, and chance."""
    rows = summarize_recalls(table)
    chance = rows.groupby("k").chance.mean()
    return {
        "title": "recall@N",
        "x": "N, number of candidates",
        "y": "recall@N (%)",
        "log": True,
        "ticks": sorted(set(table.k)),
        "chance": {"x": list(chance.index), "y": list(chance)},
        "note": f"bands: {interval_name(rows.seeds)}; dotted: chance",
        "lines": chart_lines(campaign, rows, "k"),
    }


def threshold_chart(campaign: Artifacts, table) -> dict:
    rows, unit = summarize_recalls(table, "threshold"), table.unit.iloc[0]
    return {
        "title": TITLES["thresholds"],
        "x": f"hit radius ({unit})",
        "y": "recall@1 (%)",
        "log": True,
        "ticks": [1, 2, 5, 10, 20, 50, 100],
        "at": {"x": table.radius.iloc[0], "label": f"the protocol's: {table.radius.iloc[0]:g} {unit}"},
        "note": f"bands: {interval_name(rows.seeds)}",
        "lines": chart_lines(campaign, rows, "threshold"),
    }


def chart_lines(campaign: Artifacts, rows, along: str) -> list:
    """The lines of what `summarise` returns."""
    result = []
    for look, part in styled_series(campaign, rows):
        part = part.sort_values(along)
        values = {name: list(part[name]) for name in ("low", "high")}
        result.append(look | {"x": list(part[along]), "y": list(part.recall)} | values)
    return result


def styled_series(campaign: Artifacts, rows):
    """Yield (how a line looks, its rows) for each label."""
    runs = campaign.config.runs
    numbers = series_numbers(rows, {name: len(run.generations) - 1 for name, run in runs.items()})
    for label, part in rows.groupby("label", sort=False):
        first = part.iloc[0]
        yield {"label": label, "main": is_main_series(runs[first.run], first)} | series_style(*numbers[label]), part


def is_main_series(run, row) -> bool:
    """Whether a row is of the last generation of its run, whitened if there are such descriptors, and not re-ranked."""
    kind = "whitened" if "whitened" in run.extract.descriptors else "raw"
    return bool(row.gen == len(run.generations) - 1 and row.descriptor == kind and row["rerank"] == "none")


def precision_chart(campaign: Artifacts, table) -> dict:
    """Precision over recall by the first candidate's similarity; one line a seed."""
    result = []
    some = add_series_labels(table[table.by == "score"])
    for look, part in styled_series(campaign, some):
        for _, line in part.groupby("seed"):
            result.append(look | {"x": list(line.recall * 100), "y": list(line.precision * 100)})
    return {
        "title": TITLES["precision"],
        "x": "recall (%)",
        "y": "precision (%)",
        "log": False,
        "note": f"answered in the order of their confidence: {CONFIDENCE['score']}",
        "lines": result,
    }


def size_charts(campaign: Artifacts, table) -> dict:
    """Recall@1 over the bytes of a descriptor, a line a run and storage."""
    table = table[table.k == table.k.min()].assign(descriptor="whitened", rerank="none")
    result, order = [], list(campaign.config.runs)
    for number, (storage, part) in enumerate(table.groupby("storage", sort=False)):
        for run, line in part.groupby("run", sort=False):
            line = line.groupby("bytes").recall.mean()
            look = {"label": f"{run}, {storage}", "main": True} | series_style(order.index(run), number)
            result.append(look | {"x": list(line.index), "y": list(line * 100)})
    title = f"recall@{table.k.min()}"
    return {"title": TITLES["sizes"], "x": "bytes per image", "y": f"{title} (%)", "log": True, "lines": result}


def training_charts(campaign: Artifacts) -> dict:
    """A chart for each column of the trainings' histories that has values, by column."""
    histories = {}
    for network in campaign.networks:
        if network.run in campaign.config.trained:
            table = campaign.table(campaign.model(network) / "history.csv", f"training of {network}")
            if table is None:
                continue
            histories[network] = table
            if "val_recall@1" not in table and len(table) > 1:
                campaign.lacks(f"training of {network}: val recalls", "its train set has no val split")
    charts, runs = {}, campaign.config.runs
    for column, label in training_columns(histories.values()).items():
        result = []
        for network, table in histories.items():
            values = pd.to_numeric(table.get(column, pd.Series(dtype=float)), errors="coerce")
            if values.notna().any():
                back = len(runs[network.run].generations) - 1 - network.gen
                look = {"label": training_label(network, list(histories)), "main": True}
                look |= series_style(list(runs).index(network.run), back)
                scale = 100 if "%" in label else 1
                result.append(look | {"x": list(table.epoch), "y": list(values * scale)})
        if result:
            axes = {"title": label, "x": "epoch (0: before training)", "y": label, "log": False}
            charts[column] = axes | {"lines": result, "ticks": epoch_ticks(result)}
    return json_value(charts)


def epoch_ticks(lines: list) -> list:
    """At most ten whole epochs, evenly spread."""
    last = max(max(line["x"]) for line in lines)
    return list(range(0, last + 1, 1 + last // 10))


def training_label(network, others) -> str:
    """A training's name: its run, and generation and seed where the run has several."""
    own = [one for one in others if one.run == network.run]
    gen = f", gen {network.gen}" if len({one.gen for one in own}) > 1 else ""
    return network.run + gen + (f", seed {network.seed}" if len({one.seed for one in own}) > 1 else "")
