"""Trainings that a cluster ends early go on where they were: real jobs, ended in every way that clusters know."""

import contextlib
import signal

import psutil
import pytest
from campaign import Campaign

ENDED = ("cancelled", "killed", "limited", "requeued")
UNTOUCHED = ("refused", "without_controller", "without_daemon")
ORPHANS = ("orphan_1", "orphan_2", "orphan_3")
DEAD = "dead_node"


@pytest.fixture(scope="module")
def campaign(slurm, tmp_path_factory):
    return Campaign(slurm, tmp_path_factory.mktemp("campaign"), (*ENDED, *UNTOUCHED, *ORPHANS, DEAD), epochs=60)


@pytest.fixture(scope="module")
def ended(campaign):
    """Each run's first job was ended, by what its name says."""
    running, run = campaign.start(*ENDED), campaign.slurm.run
    jobs = campaign.hold(*ENDED)
    run("scancel", jobs["cancelled"])
    campaign.payload("killed").kill()
    run("scontrol", "update", f"JobId={jobs['limited']}", "EndTime=now")  # SLURM looks twice a minute
    run("scontrol", "requeue", jobs["requeued"])
    assert running.wait(300) == 0, campaign.said
    return campaign


@pytest.mark.parametrize("run", ENDED)
def test_a_job_that_was_ended_goes_on_to_the_same_bytes(ended, run):
    ended.check(run)
    ended.check_never_doubled(run)
    assert "resumed after epoch" in ended.log(run)
    assert len([log for log in ended.logs(run) if "ended by SIGTERM" in log]) == (run != "killed")
    assert len(ended.times(run)) == 2
    assert len(ended.logs(run)) == (1 if run == "requeued" else 2)  # that one kept its number


@pytest.fixture(scope="module")
def untouched(campaign):
    """SLURM refuses jobs for a while; then its controller, and a node's daemon, die and come back."""
    slurm, before = campaign.slurm, len(campaign.said)
    slurm.run("scontrol", "update", "PartitionName=gpu", "State=DRAIN")
    running = campaign.start(*UNTOUCHED)
    slurm.wait(lambda: "Auto-selected" in campaign.said[before:], "submission")
    with pytest.raises(TimeoutError):
        slurm.wait(lambda: "submitted" in campaign.said[before:], "job", seconds=15)
    slurm.run("scontrol", "update", "PartitionName=gpu", "State=UP")
    jobs = campaign.hold(*UNTOUCHED)
    slurm.end("slurmctld", signal.SIGKILL)
    slurm.start_slurmctld()
    node = slurm.run("squeue", "-h", "-j", jobs["without_daemon"], "-o", "%N").stdout.strip()
    slurm.end(f"slurmd-{node}", signal.SIGKILL)
    slurm.start_slurmd(node)
    for run in UNTOUCHED:
        campaign.payload(run).resume()
    assert running.wait(300) == 0, campaign.said
    return campaign


@pytest.mark.parametrize("run", UNTOUCHED)
def test_a_job_runs_once_whatever_slurm_itself_goes_through(untouched, run):
    untouched.check(run)
    assert len(untouched.times(run)) == 1


@pytest.mark.slow
def test_a_node_that_dies_takes_a_job_and_not_the_run(campaign):
    """Its daemon and all processes of the job are gone: the job runs again, on the other node, and goes on."""
    slurm, running, jobs = campaign.slurm, campaign.start(DEAD), campaign.hold(DEAD)
    node = slurm.run("squeue", "-h", "-j", jobs[DEAD], "-o", "%N").stdout.strip()
    slurm.end(f"slurmd-{node}", signal.SIGKILL)
    for process in slurm.steps(jobs[DEAD]) + slurm.processes(jobs[DEAD]):
        with contextlib.suppress(psutil.NoSuchProcess):  # one may end by the other's end
            process.kill()
    try:
        assert running.wait(300) == 0, campaign.said
    finally:
        slurm.start_slurmd(node)
    campaign.check(DEAD)
    campaign.check_never_doubled(DEAD)
    assert "resumed after epoch" in campaign.log(DEAD)
    assert len(campaign.times(DEAD)) == 2


@pytest.mark.slow
def test_orphans_of_a_killed_snakemake_are_named_and_not_doubled(campaign):
    running, jobs = campaign.start(*ORPHANS), campaign.hold(*ORPHANS)
    running.kill()
    running.wait()
    assert campaign.unlocked() == 0
    assert campaign.start(*ORPHANS, options=("--retries", "0")).wait(200) != 0
    for name in ORPHANS:
        assert f"SLURM job {jobs[name]}, process" in campaign.log(name)
        assert "epoch" not in campaign.log(name)
    campaign.slurm.run("scancel", *jobs.values())
    assert campaign.start(*ORPHANS).wait(300) == 0, campaign.said
    for name in ORPHANS:
        campaign.check(name)
        assert "resumed after epoch" in campaign.log(name)
