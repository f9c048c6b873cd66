"""Snakemake processes on a tiny rendered city: run, dry run, and what they started."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parent.parent.parent
# tests/tiny.yaml with the demo's names of datasets, short names of runs, and its results in `results/`
TINY = yaml.safe_load(re.sub("toy_(?=vlad|netvlad)", "", (ROOT / "tests/tiny.yaml").read_text()).replace("toy", "city"))
del TINY["results"]
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
RUN = "results/{}/netvlad/seed0/gen0"
MODEL = "results/models/netvlad/seed0/gen0"


def command(folder, *arguments, config=None):
    """A snakemake command in `folder`, with the tiny configuration's top-level keys changed by `config`."""
    written = Path(folder) / "config.yaml"
    written.write_text(yaml.safe_dump(TINY | (config or {}), sort_keys=False))
    profile = ROOT / "profiles/local"
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder),
        *("--profile", profile, "--cores", "2", *arguments, "--configfile", written),
    ]


def snakemake(folder, *arguments, config=None):
    """Run it; returns (exit status, all that it printed)."""
    done = subprocess.run(
        command(folder, *arguments, config=config),
        env=ENVIRONMENT,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def planned(folder, *arguments, config=None):
    """The jobs that a dry run would do: rule -> number."""
    status, text = snakemake(folder, "--dry-run", *(arguments or ["all"]), config=config)
    assert status == 0, text
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, re.MULTILINE | re.DOTALL)
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)", table[1], re.MULTILINE)} if table else {}


def with_run(name, **changes):
    return {"runs": TINY["runs"] | {name: TINY["runs"].get(name, {}) | changes}}


def descendants(pid):
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_script(process, stage):
    try:
        return any(part.endswith(f".{stage}.py") for part in process.cmdline())
    except psutil.Error:
        return False
