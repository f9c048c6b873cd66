"""Time and energy of a campaign's stages, from what each job left beside its log (`vprlib.ledger`)."""

import json
from pathlib import Path

import pandas as pd

CORE_WATTS = 10  # of a busy core of a server: its processor's 200 to 350 W by 24 to 48 cores, and its memory
STAGES = ("render", "download", "index", "verify", "weights", "pretrain", "trunk", "centroids", "train", "checkpoint")
STAGES += ("checkpoint_pca", "whiten", "extract", "merge", "search", "rerank", "evaluate")
HOW = (
    f"Times are those that each job measured of itself, last time it ended well; downloads and waiting included, a "
    f"queue's waiting, failed and killed attempts not. Energy is an estimate, not a measurement: {CORE_WATTS} W for "
    "each second of a busy core, and a GPU's power limit for each second that a job held it, which is an upper bound "
    "of the GPU's part; idle machines, disks, networks and cooling are left out."
)


def stages(logs: Path, runs, datasets) -> list:
    """A dict a stage: `rule`, `jobs`, `hours` of wall time, `cpu_hours`, `gpu_hours`, `peak_gb`, `wh` of energy.

    `wh` is None where a GPU worked whose power limit nobody knows. Jobs of other runs and datasets do not count.
    """
    records = [record for record in read_all(logs) if belongs(record["wildcards"], runs, datasets)]
    if not records:
        return []
    table = pd.DataFrame(records)
    table["gpu_seconds"] = table.seconds * table.gpus
    cpu_ws = table.cpu_seconds * table.nodes * CORE_WATTS
    table["ws"] = cpu_ws + (table.gpu_seconds * table.gpu_watts.astype(float)).where(table.gpus > 0, 0)
    rows = []
    for rule, part in table.groupby("rule"):
        hours = {name: float(part[column].sum() / 3600) for name, column in HOURS.items()}
        energy = None if part.ws.isna().any() else float(part.ws.sum() / 3600)
        rows.append({"rule": rule, "jobs": len(part), **hours, "peak_gb": float(part.peak_gb.max()), "wh": energy})
    return sorted(rows, key=lambda row: (STAGES.index(row["rule"]) if row["rule"] in STAGES else 99, row["rule"]))


HOURS = {"hours": "seconds", "cpu_hours": "cpu_seconds", "gpu_hours": "gpu_seconds"}


def total(rows: list) -> dict:
    """The sum of all stages; its energy is unknown if one's is."""
    energies = [row["wh"] for row in rows]
    summed = {name: sum(row[name] for row in rows) for name in ("jobs", *HOURS)}
    energy = None if None in energies else sum(energies)
    return summed | {"rule": "all", "peak_gb": max(row["peak_gb"] for row in rows), "wh": energy}


def machines(logs: Path) -> list:
    """What the jobs ran on: one line a kind of machine, with its number of jobs."""
    kinds = {}
    for record in read_all(logs):
        gpu = f"; {record['gpus']} x {record['gpu']}" if record["gpu"] else ""
        kind = f"{record['host']}: {record['cpu']}, {record['cores']} cores{gpu}"
        kinds[kind] = kinds.get(kind, 0) + 1
    return sorted(kinds.items(), key=lambda one: -one[1])


def read_all(logs: Path) -> list:
    """All records below a folder; a file that is something else is no record."""
    found = []
    for path in sorted(logs.rglob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and {"rule", "seconds", "gpu_watts"} <= set(record):
            found.append(record)
    return found


def belongs(wildcards: dict, runs, datasets) -> bool:
    known = {"run": runs, "dataset": datasets, "train_set": datasets}
    return all(wildcards[name] in names for name, names in known.items() if name in wildcards)
