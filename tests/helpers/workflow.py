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


def command(folder, *arguments, config=None, own_lines=True):
    """A snakemake command in `folder`, with the tiny configuration's top-level keys changed by `config`.

    With `own_lines`, Snakemake's paragraphs are printed, not the lines that users get without `--printshellcmds`.
    """
    written = Path(folder) / "config.yaml"
    written.write_text(yaml.safe_dump(TINY | (config or {}), sort_keys=False))
    profile, told = ROOT / "profiles/local", ["--printshellcmds"] if own_lines else []
    return [
        *(sys.executable, "-m", "snakemake", *told, "--snakefile", ROOT / "Snakefile", "--directory", folder),
        *("--profile", profile, "--cores", "2", *arguments, "--configfile", written),
    ]


def snakemake(folder, *arguments, config=None, own_lines=True):
    """Run it; returns (exit status, all that it printed)."""
    done = subprocess.run(
        command(folder, *arguments, config=config, own_lines=own_lines),
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
