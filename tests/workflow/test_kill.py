"""Fifty jobs killed at random moments, each run again to the same bytes."""

import contextlib
import random
import signal
import subprocess
import time

import psutil
import pytest

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY, command, descendants, is_script, snakemake

SARE = {"name": "sare_ind", "options": {"temperature": 0.07}}
SOFT = {"loss": SARE, "regions": True, "soft": {"weight": 0.5}}
BASE = TINY["base"] | {"image": {"height": 32, "width": 64}}
RUNS = {
    "sfrs": {
        "train": {"loss": SARE, "epochs": 4},
        "generations": [{"epochs": 2}, SOFT, SOFT | {"jitter": {"brightness": 0.5, "hue": 0.2}}],
    }
}
MODEL = "results/models/sfrs/seed0/gen{}"
TRAINED = [f"{MODEL}/{name}" for name in ("last.safetensors", "best.safetensors", "history.csv")]
STAGES = {
    "cache_features": ["results/trunk/city/vgg16/pretrain/32x64.h5"],
    "cluster_features": ["results/centroids/city/vgg16/pretrain/seed0.h5"],
    **{f"train {gen}": [path.format(gen) for path in TRAINED] for gen in range(3)},
    "fit_whitening": [f"{MODEL.format(2)}/pca.h5"],
}


def config(processes):
    return {"base": BASE, "runs": RUNS, "execution": {"processes": processes, "checkpoint_minutes": 0.001}}


def tree(process):
    """A process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def interrupted(folder, stage, seconds, processes) -> bool:
    """Start a stage's job, kill its processes after so many seconds; whether they were still there."""
    arguments = command(folder, *STAGES[stage], "--rerun-triggers", "mtime", config=config(processes))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    running = subprocess.Popen(arguments, env=ENVIRONMENT, cwd=ROOT, **quiet)
    job = None
    while running.poll() is None and not job:
        job = next((child for child in descendants(running.pid) if is_script(child, stage.split()[0])), None)
        time.sleep(0.01)
    time.sleep(seconds)
    alive = tree(job) if job else []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    running.wait()
    return bool(alive)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_fifty_killed_jobs_run_again_to_the_same_bytes(tmp_path, capsys):
    """A random stage, generation and moment; training in one process and in two."""
    rng, killed, took = random.Random(0), 0, {}
    folders = {processes: tmp_path / str(processes) for processes in (1, 2)}
    for processes, folder in folders.items():
        folder.mkdir()
        status, text = snakemake(folder, *STAGES["fit_whitening"], config=config(processes))
        assert status == 0, text
    for trial in range(50):
        processes = rng.choice([1, 1, 2])
        stage = rng.choice([name for name in STAGES if processes == 1 or name.startswith("train")])
        outputs = [folders[processes] / path for path in STAGES[stage]]
        before = [path.read_bytes() for path in outputs]
        for path in outputs:
            path.unlink()
        killed += interrupted(folders[processes], stage, rng.uniform(0, took.get((stage, processes), 8)), processes)
        started = time.monotonic()
        again = [*STAGES[stage], "--rerun-triggers", "mtime"]
        status, text = snakemake(folders[processes], *again, config=config(processes))
        assert status == 0, f"trial {trial}, {stage}: {text}"
        took[stage, processes] = max(1, time.monotonic() - started - 3)  # snakemake itself takes seconds to start
        assert [path.read_bytes() for path in outputs] == before, f"trial {trial}, {stage}, {processes} processes"
    with capsys.disabled():
        print(f"\n{killed} of 50 jobs were killed while they ran; all 50 ended in the same bytes")
    assert killed >= 30
