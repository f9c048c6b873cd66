"""Add up time and energy of the stages, from the record that each job leaves beside its log (`jobs.resource_usage`)."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from vprlib.report.artifacts import Artifacts

CORE_WATTS = 10  # per busy core of a server: 200 to 350 W of a processor with 24 to 48 cores, plus its memory
DRAWN = "tables, figures"  # the row of all other rules except those of the page itself
PAGES = {"build_report", "preview_report"}
HOURS = {"hours": "seconds", "cpu_hours": "cpu_seconds", "gpu_hours": "gpu_seconds"}
HOW = (
    "Jobs: the number of this experiment's jobs that left a record; only these are added up. Each job measured its own "
    "time, the last time that it succeeded. Times include downloads and waiting within the job; they exclude waiting "
    "in a queue, and failed or killed attempts. Energy is an estimate, not a measurement: "
    f"{CORE_WATTS} W for each second of a busy core, and a GPU's power limit for each second that a job held it, which "
    "is an upper bound of the GPU's part. Idle machines, disks, networks and cooling are left out."
)


class StageUsage(NamedTuple):
    """The resources that the jobs of one stage used."""

    records: list[dict[str, Any]]  # of the jobs that left a record
    wanted: int | None  # number of jobs that the experiment needs; None if it is not known


def read_usage(campaign: Artifacts) -> dict[str, StageUsage]:
    """Read the resources that this experiment's jobs used, {stage: usage}.

    Jobs of runs, seeds, generations and datasets that the configuration no longer has do not count, nor do the jobs
    that write the page.
    """
    jobs, records = campaign.stage_jobs(), read_records(campaign.logs)
    if campaign.shared not in (None, campaign.results):
        records |= read_records(Path(campaign.paths.logs))
    usage: dict[str, StageUsage] = {}
    for stage, names in jobs.items():
        stage_records = [records[name] for name in names if name in records]
        wanted = None if stage == "download_dataset" else len(names)  # the files may have existed before
        if stage_records or wanted:
            usage[stage] = StageUsage(stage_records, wanted)
    others = [
        record for record in records.values() if record["rule"] not in {*jobs, *PAGES} and is_current(record, campaign)
    ]
    return usage | ({DRAWN: StageUsage(others, None)} if others else {})


def is_current(record: dict[str, Any], campaign: Artifacts) -> bool:
    """Return whether a job belongs to this experiment's networks and datasets."""
    wildcards = record["wildcards"]
    datasets = {*campaign.protocols, *(run.train_set for run in campaign.config.runs.values())}
    networks = {(network.run, str(network.seed), str(network.gen)) for network in campaign.networks}
    if any(wildcards[name] not in datasets for name in ("dataset", "train_set") if name in wildcards):
        return False
    return "run" not in wildcards or (wildcards["run"], wildcards["seed"], wildcards["gen"]) in networks


def stage_rows(parts: dict[str, StageUsage]) -> list[dict[str, Any]]:
    """Build one table row per stage of `read_usage`.

    Returns:
        Dicts of `rule`, `jobs` with a record, the number of jobs `wanted`, `hours` of wall time, `cpu_hours`,
        `gpu_hours`, `peak_gb` and `wh` of energy; [] if no stage has a record. `wh` is None if a GPU worked whose power
        limit is unknown. All values are None in a stage without records.
    """
    rows = [stage_row(stage, part) for stage, part in parts.items()]
    return rows if any(row["jobs"] for row in rows) else []


def stage_row(stage: str, part: StageUsage) -> dict[str, Any]:
    """Build the row of one stage; see `stage_rows`."""
    about: dict[str, Any] = {"rule": stage, "jobs": len(part.records), "wanted": part.wanted}
    if not part.records:
        return about | dict.fromkeys([*HOURS, "peak_gb", "wh"])
    table = pd.DataFrame(part.records)
    table["gpu_seconds"] = table.seconds * table.gpus
    cpu_ws = table.cpu_seconds * table.nodes * CORE_WATTS
    ws = cpu_ws + (table.gpu_seconds * table.gpu_watts.astype(float)).where(table.gpus > 0, 0)
    hours = {name: float(table[column].sum() / 3600) for name, column in HOURS.items()}
    energy = None if ws.isna().any() else float(ws.sum() / 3600)
    return about | hours | {"peak_gb": float(table.peak_gb.max()), "wh": energy}


def total_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum all stages with records. The energy is unknown if that of one stage is; `peak_gb` is the largest."""
    rows = [row for row in rows if row["jobs"]]
    energies = [row["wh"] for row in rows]
    summed = {name: sum(row[name] for row in rows) for name in ("jobs", *HOURS)}
    energy = None if None in energies else sum(energies)
    return summed | {"rule": "all", "wanted": None, "peak_gb": max(row["peak_gb"] for row in rows), "wh": energy}


def machine_lines(parts: dict[str, StageUsage]) -> list[tuple[str, int]]:
    """List the kinds of machine that the jobs of `read_usage` ran on, with their numbers of jobs, most jobs first."""
    kinds: dict[str, int] = {}
    for record in (record for part in parts.values() for record in part.records):
        gpu = f"; {record['gpus']} x {record['gpu']}" if record["gpu"] else ""
        kind = f"{record['host']}: {record['cpu']}, {record['cores']} cores{gpu}"
        kinds[kind] = kinds.get(kind, 0) + 1
    return sorted(kinds.items(), key=lambda item: -item[1])


def read_records(logs: Path) -> dict[str, dict[str, Any]]:
    """Read all records below a folder, by their paths without suffix; any other file is skipped."""
    records = {}
    for path in sorted(logs.rglob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and {"rule", "seconds", "gpu_watts"} <= set(record):
            records[path.relative_to(logs).with_suffix("").as_posix()] = record
    return records
