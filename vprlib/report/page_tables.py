"""Build the page's tables as plain rows for the templates. Recalls are in percent here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from vprlib.config import RunConfig
from vprlib.evaluation.published_recalls import compare_with_published
from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import add_series_labels
from vprlib.exceptions import InputError
from vprlib.report.artifacts import Artifacts
from vprlib.report.encoding import json_value
from vprlib.report.provenance import provenance_chain, source_id

ALPHA = 0.05  # level of the paired test, after Holm's adjustment
SIDES = (("run", "gen"), ("other", "other_gen"))  # columns of the two runs in a row of differences.csv
Part = TypeVar("Part")


def comparison_table(campaign: Artifacts) -> tuple[list[int], list[dict[str, Any]]]:
    """Build the table of our and the published recalls.

    Returns:
        The cut-offs k, and a dict per row; ([], []) if there are no recalls yet.
    """
    if campaign.recalls is None:
        return [], []
    table = compare_with_published([campaign.recalls])
    ks = sorted(set(campaign.recalls.k))
    keys = ["origin", "dataset", "protocol", "run", "gen", "train_set", "descriptor", "dim", "rerank", "index"]
    rows = []
    for key, part in table[table.k.isin(ks)].groupby([*keys, "source"], sort=False, dropna=False):
        row: dict[str, Any] = dict(zip([*keys, "source"], key, strict=True))
        recalls = {int(recall["k"]): recall_percent(recall) for recall in part.to_dict("records")}
        ours = row["origin"] == "ours"
        about = {"seeds": json_value(part.seeds.iloc[0]), "recalls": recalls}
        about |= {"epoch_selected_on": part.epoch_selected_on.iloc[0] if ours else "", "best": [], "tied": []}
        about |= {"close": False, "compared": False}
        about["sources"] = evaluations_of_row(campaign, row) if ours else []
        rows.append({name: None if pd.isna(value) else value for name, value in row.items()} | about)
    for (dataset, protocol), group in group_rows(rows).items():
        mark_best(group, ks)
        mark_tied(group, usable_difference_rows(campaign, dataset, protocol))
    return ks, rows


def recall_percent(row: dict[Any, Any]) -> dict[str, float | None]:
    """Return `recall`, `low` and `high` of a row in percent; the interval of a published recall may be None."""
    return {name: None if pd.isna(row[name]) else 100 * row[name] for name in ("recall", "low", "high")}


def evaluations_of_row(campaign: Artifacts, row: dict[str, Any]) -> list[list[Any]]:
    """Return [anchor, seed] of each evaluation that a row averages."""
    return [
        [source_id(name, network), network.seed]
        for name, network in campaign.evaluated
        if (name, network.run, network.gen) == (row["dataset"], row["run"], row["gen"])
    ]


def group_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Group our rows by (dataset, protocol); published rows are left out."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["origin"] == "ours":
            groups.setdefault((row["dataset"], row["protocol"]), []).append(row)
    return groups


def mark_best(group: list[dict[str, Any]], ks: list[int]) -> None:
    """Append each k to the list `best` of the rows with the largest recall@k, rounded as it is displayed."""
    for k in ks:
        shown = [(row, round(row["recalls"][k]["recall"], 1)) for row in group if k in row["recalls"]]
        for row, value in shown:
            if value == max(recall for _, recall in shown):
                row["best"].append(k)


def mark_tied(group: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """Mark the runs whose recall@1 does not differ significantly from the largest one.

    A row with the largest recall@1 lists these runs in `tied`, and their rows become `close`. A row that is in no pair
    is not `compared`.

    Args:
        group: our rows of one dataset and protocol.
        pairs: the rows of `difference_rows`. They compare the last generations of two runs with the same kind of
            descriptor and re-ranking.
    """
    close: dict[tuple, set[tuple]] = {}
    for pair in pairs:
        first, second = ((pair[name], pair[gen], pair["descriptor"], pair["rerank"]) for name, gen in SIDES)
        for key, other in ((first, second), (second, first)):
            close.setdefault(key, set()).update({other} if pair["p_holm"] >= ALPHA else ())
    rows = {(row["run"], row["gen"], row["descriptor"], row["rerank"]): row for row in group}
    for key, row in rows.items():
        row["compared"] = key in close
        if 1 in row["best"]:
            row["tied"] = [other for other in rows if other in close.get(key, ())]
            for other in row["tied"]:
                rows[other]["close"] = True


def run_rows(campaign: Artifacts) -> list[dict[str, Any]]:
    """Build one row per run: its recipe, and how many of its evaluations exist."""
    rows = []
    for name, run in campaign.config.runs.items():
        evaluations = [(d, n) for d in campaign.protocols for n in campaign.networks if n.run == name]
        generations = [run.generation(number) for number in range(len(run.generations))]
        losses = dict.fromkeys(
            train.loss.name + (" + soft labels" if train.soft.weight else "") for train in generations if train.epochs
        )
        rows.append({
            "run": name,
            "train_set": "" if run.descriptors else run.train_set if losses or run.checkpoint else "not trained",
            **network_columns(campaign, name, run),
            "trained": f"published: {Path(run.checkpoint.path).name}" if run.checkpoint
            else "computed elsewhere" if run.descriptors
            else ", then ".join(losses) or "initial network",
            "generations": len(generations),
            "seeds": len({network.seed for network in campaign.networks if network.run == name}),
            "done": sum(evaluation in campaign.evaluated for evaluation in evaluations),
            "wanted": len(evaluations),
        })  # fmt: skip
    return rows


def network_columns(campaign: Artifacts, name: str, run: RunConfig) -> dict[str, str]:
    """Describe the network of a run: its input size, backbone and aggregator.

    Those of a published network stand in its file, so they are read from a ranking, if there is one yet. Nothing is
    known of the network of descriptors that were computed elsewhere.
    """
    if run.descriptors:
        files = ", ".join(dict.fromkeys(Path(path).name for path in run.descriptors.files.values()))
        return {"image": "not known", "backbone": f"descriptors of {files}", "aggregator": "not known"}
    if not run.checkpoint:
        words = f", {run.aggregator.option('clusters')} words" if run.aggregator.has_trait("centroids") else ""
        return {
            "image": f"{run.image.height} x {run.image.width}",
            "backbone": f"{run.backbone.name} ({run.backbone.weights})",
            "aggregator": run.aggregator.name + words,
        }
    rankings = [campaign.file("ranking", *key) for key in campaign.evaluated if key[1].run == name]
    recipes = (provenance_chain(path)[1] for path in rankings)
    model = json.loads(next((recipe for recipe in recipes if recipe), "{}"))
    if "aggregator" not in model:
        return dict.fromkeys(("image", "backbone", "aggregator"), "as published")
    options = "".join(f", {key} {value}" for key, value in model["aggregator"].get("options", {}).items())
    return {
        "image": "{height} x {width}".format(**model["image"]),
        "backbone": f"{model['backbone']['name']} (published)",
        "aggregator": model["aggregator"]["name"] + options,
    }


def difference_rows(campaign: Artifacts, dataset: str, protocol: str) -> list[dict[str, Any]]:
    """Read the pairs of runs from differences.csv, smallest adjusted p first; [] if the file is missing."""
    path = campaign.file("differences", dataset)
    if len(campaign.config.runs) < 2:
        return []
    table = campaign.joined(path, f"{dataset}: differences between runs", dataset)
    if table is None:
        return []
    table = table[(table.protocol == protocol) & table.other.isin(campaign.config.runs)]
    table = table.sort_values("p_holm", kind="stable")
    for name in ("recall", "other_recall", "difference", "low", "high"):
        table[name] *= 100
    return json_value(table.to_dict("records"))


def usable_difference_rows(campaign: Artifacts, dataset: str, protocol: str) -> list[dict[str, Any]]:
    """Return `difference_rows`, or [] if the file cannot be used."""
    return or_gap(f"{dataset}: differences between runs", difference_rows, campaign, dataset, protocol) or []


def condition_table(campaign: Artifacts, dataset: str, protocol: str) -> dict[str, Any]:
    """Build the table of recall by condition, at the smallest k.

    Returns:
        `k`; `columns`, [condition, number of queries] each; `rows`, [label of the series, recalls] each. {} if there
        are no conditions.
    """
    if campaign.recalls is None:
        return {}
    table = campaign.recalls[(campaign.recalls.dataset == dataset) & (campaign.recalls.protocol == protocol)]
    if table.condition.nunique() < 2:
        return {}
    table = add_series_labels(table[table.k == table.k.min()])
    sizes = table.groupby("condition", sort=False).queries.first()
    mean = table.pivot_table(index="label", columns="condition", values="recall", aggfunc="mean", sort=False) * 100
    order = [ALL, *(name for name in sizes.index if name != ALL)]
    rows = [[label, [json_value(mean.loc[label].get(name)) for name in order]] for label in mean.index]
    return {"k": int(table.k.min()), "columns": [[name, int(sizes[name])] for name in order], "rows": rows}


def verification_summary(campaign: Artifacts, dataset: str) -> dict[str, Any] | None:
    """Read the findings of `verify` and add their `problems`; None if it has not run."""
    path = campaign.file("verification", dataset)
    what = f"{dataset}: verification of the photos"
    if not path.exists():
        campaign.add_missing(what, f"{path} is not there yet")
        return None
    try:
        findings = json.loads(path.read_text())
    except ValueError:
        campaign.add_missing(what, f"{path} cannot be read as JSON")
        return None
    problems = {"groups of photos with the same bytes": len(findings["duplicates"])}
    problems["near-duplicate pairs"] = sum(findings["near_duplicates"]["pairs"].values())
    problems |= {f"photos of {pair}'s database": count for pair, count in findings["leaks"].items()}
    for row in findings["positives"]:
        if row["without"]:
            problems[f"{row['split']} queries without a positive ({row['protocol']})"] = len(row["without"])
    return findings | {"problems": {what: count for what, count in problems.items() if count}}


def measured_on(campaign: Artifacts, dataset: str, protocol: str) -> dict[str, Any]:
    """Return the numbers of queries, places and database images and the radius of a protocol; {} without recalls."""
    if campaign.recalls is None:
        return {}
    table = campaign.recalls[(campaign.recalls.dataset == dataset) & (campaign.recalls.protocol == protocol)]
    table = table[table.condition == ALL]
    if table.empty:
        return {}
    first = table.iloc[0]
    names = ("queries", "places", "without_positives", "database", "radius", "unit")
    return json_value({name: first[name] for name in names})


def or_gap(what: str, make: Callable[..., Part], campaign: Artifacts, *arguments: Any) -> Part | None:
    """Make a part of the page; return None, and record `what` as missing, if the files that it needs are unusable."""
    try:
        return make(campaign, *arguments)
    except (InputError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        campaign.add_missing(what, f"{type(error).__name__}: {error}")
        return None
