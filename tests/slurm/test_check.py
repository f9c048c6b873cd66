"""`profiles/slurm/check_cluster.py` against a real SLURM: one line for each thing that would not fit."""

import copy
import subprocess
import sys

import pytest
import yaml
from campaign import PARTITIONS

from tests.helpers.workflow import ROOT, TINY

TWO_THREADS = ("render_city", "verify_dataset", "pretrain_backbone", "cache_features", "cluster_features", "train")
TWO_THREADS += ("fit_whitening", "extract_descriptors", "search")
FITS = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
FITS |= {"retries": 1, "default-resources": {"runtime": 20, "mem_mb": "500 * attempt"}}
FITS |= {"set-resources": {"train": {"runtime": 600}}, "set-threads": dict.fromkeys(TWO_THREADS, 2)}

WRONG = {
    "an unknown partition": ("train", {"slurm_partition": "gpus"}, "goes to partition gpus, which is not on"),
    "runtime over the limit": ("verify_dataset", {"runtime": 1500}, "1500 minutes; no partition"),
    "a GPU that is not there": (
        "extract_descriptors",
        {"gpu_model": "a100"},
        "gpu_model a100; no node of partition gpu",
    ),
    "more GPUs than a node has": ("cache_features", {"gpu": 3}, "gpu 3; no node of partition gpu"),
    "more memory than a node has": ("cluster_features", {"mem_mb": "15000 * attempt"}, "attempt 2: ", "30000 MB"),
    "gpu and gres": ("plot_contact_sheet", {"gpu": 1, "gres": "gpu:1"}, "'gpu' and 'gres'"),
}
WRONG_ELSEWHERE = {
    "more threads than a node has": ({("set-threads", "fit_whitening"): 5}, "rule fit_whitening: asks for 5 threads"),
    "an unknown account": (
        {("set-resources", "render_city"): {"slurm_account": "nobody"}},
        "account nobody: is not known",
        "vpr",
    ),
    "array jobs in a few slots": ({("jobs",): 64}, "jobs: 64 and slurm-array-jobs", "unlimited"),
    "an unknown QOS": ({("set-resources", "compare_runs"): {"qos": "fast"}}, "qos fast: is not known", "normal"),
    "a rule that does not exist": (
        {("set-resources", "trian"): {"runtime": 5}},
        "set-resources: there is no rule trian",
    ),
    "a partition that is not there": (
        {("partitions", "a100"): {"max_runtime": 1}},
        "partition a100: is not on",
        "cpu, gpu",
    ),
    "a limit over the cluster's": ({("partitions", "gpu", "max_runtime"): "24h"}, "partition gpu: max_runtime", "720"),
}
UNUSABLE = {
    "no partition file": ({("slurm-partition-config",): "nowhere.yaml"}, "slurm-partition-config", "nowhere.yaml"),
    "a limit that nobody knows": ({("partitions", "cpu", "max_time"): 60}, "slurm-partition-config", "max_time"),
    "a resource that is no number": ({("set-resources", "train"): {"mem_mb": "2 *"}}, "dry run", "rule train"),
}


def check(slurm, folder, changes=()):
    """(status, the lines that the check prints of) the profile that fits, with some keys changed."""
    files = {"config.yaml": copy.deepcopy(FITS), "partitions.yaml": {"partitions": copy.deepcopy(PARTITIONS)}}
    files["config.yaml"]["slurm-partition-config"] = str(folder / "partitions.yaml")
    for (*parents, key), value in dict(changes).items():
        part = files["partitions.yaml" if parents[:1] == ["partitions"] else "config.yaml"]
        for name in parents:
            part = part[name]
        part[key] = value
    for name, content in {**files, "tiny.yaml": TINY}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    command = [sys.executable, ROOT / "profiles/slurm/check_cluster.py", "--profile", folder]
    command += ["--configfile", folder / "tiny.yaml"]
    done = subprocess.run(command, env=slurm.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_profile_that_fits(slurm, tmp_path):
    assert check(slurm, tmp_path) == (0, [f"{tmp_path}: fits this cluster"])


@pytest.fixture(scope="module")
def lines(slurm, tmp_path_factory):
    """What is said of a profile with everything wrong, each in another rule."""
    changes = {("set-resources", rule): resources for rule, resources, *_ in WRONG.values()}
    for others, *_ in WRONG_ELSEWHERE.values():
        changes |= others
    status, lines = check(slurm, tmp_path_factory.mktemp("wrong"), changes)
    assert status == 1
    return lines


@pytest.mark.parametrize("wrong", [*WRONG, *WRONG_ELSEWHERE])
def test_what_does_not_fit_is_one_line(lines, wrong):
    fragments = [f"rule {WRONG[wrong][0]}: ", *WRONG[wrong][2:]] if wrong in WRONG else WRONG_ELSEWHERE[wrong][1:]
    assert len([line for line in lines if all(fragment in line for fragment in fragments)]) == 1, lines


def test_nothing_else_is_said(lines):
    assert len(lines) == len(WRONG) + len(WRONG_ELSEWHERE) + 1, lines


@pytest.mark.parametrize("wrong", UNUSABLE)
def test_a_profile_that_cannot_be_used_is_one_line(slurm, tmp_path, wrong):
    changes, *fragments = UNUSABLE[wrong]
    status, lines = check(slurm, tmp_path, changes)
    assert status == 1
    assert len(lines) == 2
    assert not [fragment for fragment in fragments if fragment not in lines[0]], lines
