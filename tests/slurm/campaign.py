"""The tiny workflow's trainings through profiles/slurm: several runs of one recipe, whose files are the same bytes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY

MODEL = "results/models/{}/seed0/gen0"
OUTPUTS = ("last.safetensors", "best.safetensors", "history.csv")
SMALL = ("--default-resources", "mem_mb=500", "runtime=20", "--set-resources", "train:mem_mb=2000", "train:runtime=20")
PARTITIONS = {
    "cpu": {"max_runtime": "24h", "max_mem_mb": 20000, "max_threads": 4, "max_gpu": 0},
    "gpu": {"max_runtime": "12h", "max_mem_mb": 20000, "max_threads": 4, "max_gpu": 4},
}


class Campaign:
    """A folder whose runs are trained; `calm`, here in one process and undisturbed, tells what they must become."""

    def __init__(self, slurm, folder: Path, runs, nodes: int = 1, **train):
        self.slurm, self.folder = slurm, folder
        path = f"{ROOT}/profiles/slurm/bin:{slurm.environment['PATH']}"
        self.environment = slurm.environment | {"PATH": path}
        train = TINY["base"]["train"] | {"patience": train["epochs"]} | train
        changes = {"base": TINY["base"] | {"train": train}, "runs": {run: {} for run in ("calm", *runs)}}
        changes["execution"] = {"checkpoint_minutes": 0.01}
        (folder / "config.yaml").write_text(yaml.safe_dump(TINY | changes, sort_keys=False))
        (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": PARTITIONS}))
        local = self.command("calm", profile="local", options=("--cores", "2"))
        done = subprocess.run(local, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        if nodes > 1:
            changes["execution"] |= {"nodes": nodes}
            (folder / "config.yaml").write_text(yaml.safe_dump(TINY | changes, sort_keys=False))

    def command(self, *runs, profile="slurm", options=()):
        files = (
            "--snakefile",
            ROOT / "Snakefile",
            "--directory",
            self.folder,
            "--profile",
            ROOT / "profiles" / profile,
        )
        targets = [f"{MODEL.format(run)}/last.safetensors" for run in runs]
        config = ("--configfile", self.folder / "config.yaml", "--set-threads", "train=1", *options)
        return [sys.executable, "-m", "snakemake", *files, *targets, *config]

    def unlocked(self) -> int:
        """The status of the command that a killed Snakemake makes necessary."""
        command = self.command(profile="local", options=("--unlock",))
        return subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, check=False).returncode

    def start(self, *runs, options=()):
        """Snakemake, training runs through SLURM; what it says is in `said`."""
        settings = ("--slurm-partition-config", self.folder / "partitions.yaml", *SMALL)
        settings += ("--slurm-init-seconds-before-status-checks", "3")
        with (self.folder / "said").open("a") as said:
            output = {"stdout": said, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            command = self.command(*runs, options=(*settings, *options))
            return subprocess.Popen(command, env=self.environment, cwd=ROOT, **output)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def job(self, run: str) -> str | None:
        """The number of the running SLURM job that trains a run."""
        told = self.slurm.run("squeue", "-h", "-t", "R", "-o", "%i %k").stdout.split("\n")
        return next((line.split()[0] for line in told if line.endswith(f"rule_train_wildcards_{run}_0_0")), None)

    def hold(self, *runs) -> dict:
        """Stop each run's process when it has saved something, so that none ends too early; run -> SLURM job."""
        jobs = {}

        def all_held():
            for run in runs:
                if run not in jobs and (self.folder / MODEL.format(run) / "resume.pt").exists():
                    self.payload(run).suspend()
                    jobs[run] = self.job(run)
            return len(jobs) == len(runs)

        self.slurm.wait(all_held, "saved states", 300)
        return jobs

    def payload(self, run: str) -> psutil.Process:
        """The process that trains a run."""
        return next(process for process in self.slurm.processes(self.job(run)) if ".train.py" in process.cmdline()[1])

    def logs(self, run: str) -> list[str]:
        """What each SLURM job of a run said, the first one's first."""
        paths = sorted((self.folder / f"logs/slurm/rule_train/{run}_0_0").glob("*.log"), key=os.path.getctime)
        return [path.read_text() for path in paths]

    def log(self, run: str) -> str:
        """The rule's own log, of its last start."""
        return (self.folder / f"logs/train/{run}/seed0/gen0.log").read_text()

    def times(self, run: str) -> list[tuple[str, str]]:
        """(start, end) of every time that SLURM ran a run's job."""
        within = ("--starttime=now-1hour", "--endtime=now", "--state=CD,F,TO,CA,NF,RQ")
        shape = (*within, "-X", "-D", "-n", "-P", "-o", "Start,End,Comment")
        told = [line.split("|") for line in self.slurm.run("sacct", *shape).stdout.splitlines()]
        return sorted((start, end) for start, end, comment in told if comment.endswith(f"_{run}_0_0"))

    def check(self, run: str, like: str = "calm"):
        """A run's files are those of an undisturbed one."""
        calm, ours = (self.folder / MODEL.format(name) for name in (like, run))
        for name in OUTPUTS:
            assert (ours / name).read_bytes() == (calm / name).read_bytes(), f"{run}: {name}"
        assert not (ours / "resume.pt").exists()

    def check_never_doubled(self, run: str):
        """No job of a run was there while another one was."""
        times = self.times(run)
        for (_, end), (start, _) in itertools.pairwise(times):
            assert end <= start, f"{run}: two at once: {times}"
