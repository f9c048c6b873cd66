"""The page's tables: plain rows for the templates. Recalls are percent here."""

import json
from pathlib import Path

import pandas as pd

from vprlib.evaluation.published_recalls import compare_with_published
from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import add_series_labels
from vprlib.exceptions import InputError
from vprlib.report.artifacts import Artifacts
from vprlib.report.encoding import json_value
from vprlib.report.provenance import source_id

ALPHA = 0.05  # of the paired test, after Holm's adjustment
SIDES = (("run", "gen"), ("other", "other_gen"))  # of a row of differences.csv


def comparison_table(campaign: Artifacts) -> tuple:
    """(the k of recall@k, a dict a row of our and the published recalls); ([], []) if there are none yet."""
    if campaign.recalls is None:
        return [], []
    table = compare_with_published([campaign.recalls])
    ks = sorted(set(campaign.recalls.k))
    keys = ["origin", "dataset", "protocol", "run", "gen", "train_set", "descriptor", "dim", "rerank", "index"]
    rows = []
    for key, part in table[table.k.isin(ks)].groupby([*keys, "source"], sort=False, dropna=False):
        row = dict(zip([*keys, "source"], key, strict=True))
        recalls = {int(one.k): recall_percent(one) for one in part.itertuples()}
        ours = row["origin"] == "ours"
        about = {"seeds": json_value(part.seeds.iloc[0]), "interval": part.interval.iloc[0], "recalls": recalls}
        about |= {"chosen_by": part.chosen_by.iloc[0] if ours else "", "best": [], "tied": []}
        about |= {"close": False, "compared": False}
        about["sources"] = evaluations_of_row(campaign, row) if ours else []
        rows.append({name: None if pd.isna(value) else value for name, value in row.items()} | about)
    for (dataset, protocol), group in group_rows(rows).items():
        mark_best(group, ks)
        mark_tied(group, usable_difference_rows(campaign, dataset, protocol))
    return ks, rows


def recall_percent(row) -> dict:
    """A recall with its interval, in percent; None where a published one has none."""
    return {
        name: None if pd.isna(getattr(row, name)) else 100 * getattr(row, name) for name in ("recall", "low", "high")
    }


def evaluations_of_row(campaign: Artifacts, row: dict) -> list:
    """[anchor, seed] of the evaluations that a row is the mean of."""
    return [
        [source_id(name, network), network.seed]
        for name, network in campaign.evaluated
        if (name, network.run, network.gen) == (row["dataset"], row["run"], row["gen"])
    ]


def group_rows(rows: list) -> dict:
    """Our rows by dataset and protocol."""
    groups = {}
    for row in rows:
        if row["origin"] == "ours":
            groups.setdefault((row["dataset"], row["protocol"]), []).append(row)
    return groups


def mark_best(group: list, ks: list):
    """Mark the largest recall of each k, as it is written."""
    for k in ks:
        shown = [(row, round(row["recalls"][k]["recall"], 1)) for row in group if k in row["recalls"]]
        for row, value in shown:
            if value == max(one for _, one in shown):
                row["best"].append(k)


def mark_tied(group: list, pairs: list):
    """Name, in each row with the largest recall@1, the runs that the paired test does not tell from it, and mark those.

    A row that is in no pair is not `compared`.

    Args:
        group: our rows of a dataset and protocol.
        pairs: what `differences` returns; runs are compared at their last generation by the same kind of descriptor.
    """
    close = {}
    for pair in pairs:
        one, other = ((pair[name], pair[gen], pair["descriptor"], pair["rerank"]) for name, gen in SIDES)
        for key, its in ((one, other), (other, one)):
            close.setdefault(key, set()).update({its} if pair["p_holm"] >= ALPHA else ())  # of one seed is enough
    rows = {(row["run"], row["gen"], row["descriptor"], row["rerank"]): row for row in group}
    for key, row in rows.items():
        row["compared"] = key in close
        if 1 in row["best"]:
            row["tied"] = [other for other in rows if other in close.get(key, ())]
            for other in row["tied"]:
                rows[other]["close"] = True


def run_rows(campaign: Artifacts) -> list:
    """A dict a run: what its recipe is, and how much of it is evaluated."""
    rows = []
    for name, run in campaign.config.runs.items():
        wanted = [(d, n) for d in campaign.protocols for n in campaign.networks if n.run == name]
        train = [run.generation(number) for number in range(len(run.generations))]
        losses = dict.fromkeys(one.loss + (" + soft labels" if one.soft.weight else "") for one in train if one.epochs)
        rows.append({
            "run": name,
            "train_set": run.train_set,
            "image": f"{run.image.height} x {run.image.width}",
            "backbone": f"{run.backbone.name} ({run.backbone.weights})",
            "aggregator": run.aggregator.name
            + (f", {run.aggregator.clusters} words" if run.aggregator.name == "netvlad" else ""),
            "trained": f"published: {Path(run.checkpoint.path).name}" if run.checkpoint
            else ", then ".join(losses) or "initial network",
            "generations": len(train),
            "seeds": len({network.seed for network in campaign.networks if network.run == name}),
            "done": sum(one in campaign.evaluated for one in wanted),
            "wanted": len(wanted),
        })  # fmt: skip
    return rows


def difference_rows(campaign: Artifacts, dataset: str, protocol: str) -> list:
    """The pairs of runs of differences.csv, the most different first; empty where the file is missing."""
    path = campaign.results / dataset / "differences.csv"
    if len(campaign.config.runs) < 2:
        return []
    table = campaign.joined(path, f"{dataset}: differences between runs", dataset)
    if table is None:
        return []
    table = table[(table.protocol == protocol) & table.other.isin(campaign.config.runs)]
    table = table.sort_values("p_holm", kind="stable").assign(seeds=table.seed.nunique())
    for name in ("recall", "other_recall", "difference", "low", "high"):
        table[name] *= 100
    return json_value(table.to_dict("records"))


def usable_difference_rows(campaign: Artifacts, dataset: str, protocol: str) -> list:
    """As `differences`; [] where the file cannot be used."""
    return or_gap(f"{dataset}: differences between runs", difference_rows, campaign, dataset, protocol) or []


def condition_table(campaign: Artifacts, dataset: str, protocol: str) -> dict:
    """Recall at the smallest k of each condition, by label; `columns` has the conditions with their queries."""
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


def verification_summary(campaign: Artifacts, dataset: str) -> dict | None:
    """What `verify` found, or None where it has not run."""
    path = campaign.results / dataset / "verification.json"
    what = f"{dataset}: verification of the photos"
    if not path.exists():
        campaign.lacks(what, f"{path} is not there yet")
        return None
    try:
        found = json.loads(path.read_text())
    except ValueError:
        campaign.lacks(what, f"{path} cannot be read as JSON")
        return None
    problems = {"groups of photos with the same bytes": len(found["duplicates"])}
    problems["near-duplicate pairs"] = sum(found["near_duplicates"]["pairs"].values())
    problems |= {f"photos of {pair}'s database": count for pair, count in found["leaks"].items()}
    for row in found["positives"]:
        if row["without"]:
            problems[f"{row['split']} queries without a positive ({row['protocol']})"] = len(row["without"])
    return found | {"problems": {what: count for what, count in problems.items() if count}}


def measured_on(campaign: Artifacts, dataset: str, protocol: str) -> dict:
    """On what a protocol's recalls were measured: queries, database, radius; {} without recalls."""
    if campaign.recalls is None:
        return {}
    table = campaign.recalls[(campaign.recalls.dataset == dataset) & (campaign.recalls.protocol == protocol)]
    table = table[table.condition == ALL]
    if table.empty:
        return {}
    first = table.iloc[0]
    return json_value({name: first[name] for name in ("queries", "without_positives", "database", "radius", "unit")})


def or_gap(what: str, make, campaign: Artifacts, *arguments):
    """What a part of the page is made of, or None where the files that it is made from cannot be used: a gap."""
    try:
        return make(campaign, *arguments)
    except (InputError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        campaign.lacks(what, f"{type(error).__name__}: {error}")
        return None
