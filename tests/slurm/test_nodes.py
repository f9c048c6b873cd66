"""One network trained on two nodes, by `srun` of a real SLURM."""

import json
import signal
import sys

import numpy as np
import pandas as pd
import psutil
import pytest
from campaign import MODEL, Campaign

from tests.helpers import tiny_training as mini
from tests.helpers.tiny_training import OUTPUTS, SOFT, run

GENTLE = {"optimiser": {"options": {"lr": 0.005}}, "batch_size": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory, photo):
    return mini.make(tmp_path_factory.mktemp("mini"), photo)


def submitted(slurm, repository, root, folder, processes=1, **settings):
    """The id of a job that trains on two nodes."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, mini.__file__, root, folder, f"'{json.dumps(settings, default=str)}'", processes, 2]
    wrapped = f"PYTHONPATH={repository} {' '.join(map(str, command))}"
    shape = ("--nodes=2", "--ntasks=2", "--gpus=2", "--mem=1000", "--partition=gpu", "--time=10")
    options = ("--parsable", f"--output={folder}/slurm.log", "--export=ALL", *shape)
    return slurm.run("sbatch", *options, f"--wrap={wrapped}").stdout.strip()


def ended(slurm, job) -> str:
    """A job's state when it and all its processes have ended: a busy machine takes seconds for these."""
    slurm.wait(lambda: slurm.state(job) not in ("PENDING", "RUNNING", "COMPLETING"), "end of the job", 300)
    slurm.wait(lambda: not list(slurm.processes(job)), "end of the job's processes", 60)
    return slurm.state(job)


def test_two_nodes_have_the_losses_of_one_process(slurm, repository, root, tmp_path):
    """Two processes on each; soft labels, so that a teacher takes part."""
    run(root, tmp_path / "first", epochs=1, **GENTLE)
    settings = {"generation": 1, "teacher": tmp_path / "first/last.safetensors", "epochs": 2, **SOFT, **GENTLE}
    settings |= {"batch_size": 4}
    job = submitted(slurm, repository, root, tmp_path / "nodes", processes=2, **settings)
    run(root, tmp_path / "one", **settings)
    assert ended(slurm, job) == "COMPLETED", (tmp_path / "nodes/slurm.log").read_text()
    one, nodes = (pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "nodes"))
    np.testing.assert_allclose(one.loss[1:], nodes.loss[1:], rtol=0, atol=1e-5)


LONG = {"epochs": 20, "patience": 20, **GENTLE}


@pytest.fixture(scope="module")
def whole(slurm, repository, root, tmp_path_factory):
    """A folder in which a training on two nodes was not disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(slurm, submitted(slurm, repository, root, folder, **LONG)) == "COMPLETED"
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_that_ends_early_ends_the_job_and_the_next_goes_on(slurm, repository, root, whole, tmp_path, number):
    """SIGKILL: the second node's process dies. SIGTERM: somebody cancels the job."""
    job = submitted(slurm, repository, root, tmp_path / "a", **LONG)
    slurm.wait(lambda: (tmp_path / "a/resume.pt").exists(), "saved state", 300)
    if number == signal.SIGTERM:
        slurm.run("scancel", job)
        assert ended(slurm, job) == "CANCELLED"
        assert "ended by SIGTERM" in (tmp_path / "a/log").read_text()
    else:
        worker(slurm, job, node="1").kill()
        assert ended(slurm, job) == "FAILED"
    assert not (tmp_path / "a/last.safetensors").exists()
    again = ended(slurm, submitted(slurm, repository, root, tmp_path / "a", **LONG))
    assert again == "COMPLETED", (tmp_path / "a/slurm.log").read_text()[-2000:]
    assert "resumed after epoch" in (tmp_path / "a/log").read_text()
    for name in OUTPUTS:
        assert (tmp_path / "a" / name).read_bytes() == (whole / name).read_bytes()


def worker(slurm, job, node) -> psutil.Process:
    """A process that trains on a node of a job."""
    return next(one for one in slurm.processes(job, SLURM_NODEID=node) if "spawn_main" in " ".join(one.cmdline()))


def test_two_nodes_through_snakemake_go_on_when_one_was_killed(slurm, tmp_path):
    """`execution: {nodes: 2}` and the profile: the next attempt goes on, to the bytes of two undisturbed nodes."""
    campaign = Campaign(slurm, tmp_path, ("killed", "undisturbed"), nodes=2, epochs=30)
    running = campaign.start("killed", "undisturbed")
    slurm.wait((tmp_path / MODEL.format("killed") / "resume.pt").exists, "saved state", 300)
    worker(slurm, campaign.job("killed"), node="1").kill()
    assert running.wait(300) == 0, campaign.said
    assert "resumed after epoch" in campaign.log("killed")
    assert len(campaign.times("killed")) == 2
    campaign.check_never_doubled("killed")
    campaign.check("killed", like="undisturbed")
    one, two = (pd.read_csv(tmp_path / MODEL.format(run) / "history.csv") for run in ("calm", "killed"))
    # descriptors of this network are nearly alike, so that rounding grows; those above hold 1e-5
    np.testing.assert_allclose(one.loss[1:], two.loss[1:], rtol=0, atol=1e-4)
