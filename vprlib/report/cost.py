"""Time and energy of a campaign's stages, from what each job left beside its log (`vprlib.jobs.resource_usage`)."""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vprlib.data.catalogue import get_dataset
from vprlib.report.artifacts import Artifacts

CORE_WATTS = 10  # of a busy core of a server: its processor's 200 to 350 W by 24 to 48 cores, and its memory
DRAWN = "tables, figures"  # all other rules, but the page itself
PAGES = {"report", "preview"}
HOURS = {"hours": "seconds", "cpu_hours": "cpu_seconds", "gpu_hours": "gpu_seconds"}
HOW = (
    f"Jobs: how many of those that this campaign needs left a record; only these are added up. Times are those that "
    f"each job measured of itself, last time it ended well; downloads and waiting included, a queue's waiting, failed "
    f"and killed attempts not. Energy is an estimate, not a measurement: {CORE_WATTS} W for each second of a busy "
    "core, and a GPU's power limit for each second that a job held it, which is an upper bound of the GPU's part; idle "
    "machines, disks, networks and cooling are left out."
)


class StageUsage(NamedTuple):
    """What jobs of a stage took."""

    records: list  # what those wrote that left a record
    wanted: int | None  # how many jobs the campaign needs; None where nobody counts them


def expected_jobs(campaign: Artifacts) -> dict:
    """The jobs of each stage of the workflow, in its order: stage -> the names of their logs, without suffix."""
    cfg, networks = campaign.config, campaign.networks
    trained, whitened = cfg.trained, {n for n, run in cfg.runs.items() if "whitened" in run.extract.descriptors}
    with_pca = {n for n, run in cfg.runs.items() if run.checkpoint and run.checkpoint.whitening == "published"}
    trained_on = {run.train_set for run in trained.values()}
    indexed = sorted({*campaign.protocols, *trained_on, *(cfg.runs[name].train_set for name in whitened - with_pca)})
    weights = {f"{run.backbone.path}/{run.backbone.weights}": run.backbone for run in trained.values()}
    cached = [run for run in trained.values() if run.cache_trunk == "auto"]
    clustered = [one for one in networks if one.run in trained and cfg.runs[one.run].aggregator.name == "netvlad"]
    judged = [f"{name}/{one.path}" for name in campaign.protocols for one in networks]
    searches, sharded = cfg.search.shards, cfg.search.shards > 1
    jobs = {
        "render": [name for name in indexed if get_dataset(name, cfg).render],
        "download": indexed,
        "index": indexed,
        "verify": sorted({*campaign.protocols, *trained_on}),
        "weights": [name for name, one in weights.items() if one.weights != "pretrain"],
        "pretrain": [one.path for one in weights.values() if one.weights == "pretrain"],
        "trunk": [f"{feature_source(run)}/{run.image.height}x{run.image.width}" for run in cached],
        "centroids": [f"{feature_source(cfg.runs[one.run])}/seed{one.seed}" for one in clustered],
        "train": [one.path for one in networks if one.run in trained],
        "checkpoint": [one.path for one in networks if one.run not in trained],
        "checkpoint_pca": [one.path for one in networks if one.run in with_pca & whitened],
        "whiten": [one.path for one in networks if one.run in whitened - with_pca],
        "extract": shard_names(judged, cfg.shards),
        "merge": judged,
        "search": [] if sharded else judged,
        "search_shard": shard_names(judged, searches) if sharded else [],
        "search_join": judged if sharded else [],
        "rerank": [f"{name}/{one.name}" for name in judged for one in cfg.rerank],
        "evaluate": judged,
    }
    return {stage: [f"{stage}/{name}" for name in dict.fromkeys(names)] for stage, names in jobs.items()}


def feature_source(run) -> str:
    """What a run's trunk and centroids are made from, as a part of their paths."""
    return f"{run.train_set}/{run.backbone.path}/{run.backbone.weights}"


def shard_names(names: list, count: int) -> list:
    """Jobs that `count` shards divide, as Snakemake names them."""
    return [f"{name}/{number}-of-{count}" for name in names for number in range(1, count + 1)]


def read_usage(campaign: Artifacts) -> dict:
    """Stage -> what its jobs of this campaign took; those of runs, seeds, generations and datasets that are gone, and
    of pages, do not count."""
    jobs, records, found = expected_jobs(campaign), read_records(campaign.logs), {}
    for stage, names in jobs.items():
        own = [records[name] for name in names if name in records]
        wanted = None if stage == "download" else len(names)  # files may have lain there already
        if own or wanted:
            found[stage] = StageUsage(own, wanted)
    others = [one for one in records.values() if one["rule"] not in {*jobs, *PAGES} and is_current(one, campaign)]
    return found | ({DRAWN: StageUsage(others, None)} if others else {})


def is_current(record: dict, campaign: Artifacts) -> bool:
    """Whether a job was one of this campaign's networks and datasets."""
    of, names = record["wildcards"], {*campaign.protocols, *(run.train_set for run in campaign.config.runs.values())}
    networks = {(one.run, str(one.seed), str(one.gen)) for one in campaign.networks}
    known = all(of[name] in names for name in ("dataset", "train_set") if name in of)
    return known and ("run" not in of or (of["run"], of["seed"], of["gen"]) in networks)


def stage_rows(parts: dict) -> list:
    """A dict a stage of `taken`: `rule`, `jobs` with a record, how many are `wanted`, `hours` of wall time,
    `cpu_hours`, `gpu_hours`, `peak_gb`, `wh` of energy; [] without a record.

    `wh` is None where a GPU worked whose power limit nobody knows; all are None in a stage without records.
    """
    rows = [stage_row(stage, part) for stage, part in parts.items()]
    return rows if any(one["jobs"] for one in rows) else []


def stage_row(stage: str, part: StageUsage) -> dict:
    about = {"rule": stage, "jobs": len(part.records), "wanted": part.wanted}
    if not part.records:
        return about | dict.fromkeys([*HOURS, "peak_gb", "wh"])
    table = pd.DataFrame(part.records)
    table["gpu_seconds"] = table.seconds * table.gpus
    cpu_ws = table.cpu_seconds * table.nodes * CORE_WATTS
    ws = cpu_ws + (table.gpu_seconds * table.gpu_watts.astype(float)).where(table.gpus > 0, 0)
    hours = {name: float(table[column].sum() / 3600) for name, column in HOURS.items()}
    energy = None if ws.isna().any() else float(ws.sum() / 3600)
    return about | hours | {"peak_gb": float(table.peak_gb.max()), "wh": energy}


def total_row(rows: list) -> dict:
    """The sum of all stages with records; its energy is unknown if one's is."""
    rows = [row for row in rows if row["jobs"]]
    energies = [row["wh"] for row in rows]
    summed = {name: sum(row[name] for row in rows) for name in ("jobs", *HOURS)}
    energy = None if None in energies else sum(energies)
    return summed | {"rule": "all", "wanted": None, "peak_gb": max(row["peak_gb"] for row in rows), "wh": energy}


def machine_lines(parts: dict) -> list:
    """What the jobs of `taken` ran on: one line a kind of machine, with its number of jobs."""
    kinds = {}
    for record in (record for part in parts.values() for record in part.records):
        gpu = f"; {record['gpus']} x {record['gpu']}" if record["gpu"] else ""
        kind = f"{record['host']}: {record['cpu']}, {record['cores']} cores{gpu}"
        kinds[kind] = kinds.get(kind, 0) + 1
    return sorted(kinds.items(), key=lambda one: -one[1])


def read_records(logs: Path) -> dict:
    """All records below a folder by their names without suffix; a file that is something else is no record."""
    found = {}
    for path in sorted(logs.rglob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and {"rule", "seconds", "gpu_watts"} <= set(record):
            found[path.relative_to(logs).with_suffix("").as_posix()] = record
    return found
