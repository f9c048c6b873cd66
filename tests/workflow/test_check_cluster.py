"""`profiles/slurm/check_cluster.py` where the workflow is not beside it; a made-up `sinfo` stands for the cluster."""

import os
import subprocess
import sys

import check_cluster
import pytest
import yaml

from tests.helpers.workflow import ROOT, TINY
from vprlib.jobs.project import new_project

SINFO = """#!/bin/sh
echo 'cpu*|64|256000|(null)|1-00:00:00'
echo 'gpu|64|256000|gpu:4|1-00:00:00'
"""
PREFIXED = """
use rule * from vpr as vpr_*


use rule train from vpr as longer_training with:
    threads: 4
"""


@pytest.fixture
def check(tmp_path):
    """Run the script of a folder, in that folder; (status, the lines that it prints)."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in {"sinfo": SINFO, "sacctmgr": "#!/bin/sh\nexit 1\n"}.items():  # no accounting
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(folder, *arguments):
        command = [sys.executable, "profiles/slurm/check_cluster.py", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout.splitlines()

    return run


@pytest.fixture
def project(tmp_path):
    """What `vprlib new` lays down, with the tiny experiment."""
    new_project(tmp_path / "mine")
    (tmp_path / "mine/config/config.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path / "mine"


def test_the_profile_of_a_new_project_fits(check, project):
    assert not (project / "workflow").exists()
    assert check(project) == (0, ["profiles/slurm: fits this cluster"])


def test_the_profile_of_the_clone_fits(check):
    assert check(ROOT, "--configfile", "tests/tiny.yaml") == (0, ["profiles/slurm: fits this cluster"])


def test_what_is_wrong_in_a_project_is_one_line_each(check, project):
    """Of the project's own Snakefile: a rule of its own is known, and its jobs are those that are looked at."""
    own = '\n\nrule own:\n    output:\n        "own.txt",\n    threads: 99\n    shell:\n        "touch {output}"\n'
    text = (project / "Snakefile").read_text()
    everything = "rules.everything.input,"
    assert text.count(everything) == 1
    (project / "Snakefile").write_text(text.replace(everything, f'{everything}\n        "own.txt",') + own)
    path = project / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"] |= {"trian": {"runtime": 5}, "own": {"runtime": 5}, "train": {"runtime": 1500}}
    path.write_text(yaml.safe_dump(profile))
    status, lines = check(project)
    assert status == 1
    assert lines[0] == "set-resources: there is no rule trian"
    assert sorted(line.split(" asks for ")[0] for line in lines[1:-1]) == ["rule own:", "rule train:"]
    assert "99 threads" in "".join(lines)
    assert "1500 minutes" in "".join(lines)
    assert lines[-1] == "profiles/slurm: to change: 3"


def test_rules_are_known_by_the_names_that_a_snakefile_gives_them(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text(PREFIXED)
    monkeypatch.chdir(tmp_path)
    named = ("vpr_train", "vpr_search_shard", "longer_training", "train")
    profile = {"set-resources": {name: {} for name in named}}
    assert check_cluster.unknown_rules(profile) == ["set-resources: there is no rule train"]


def test_a_project_without_the_library_or_a_snakefile_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check_cluster, "ROOT", tmp_path)
    with pytest.raises(check_cluster.Unusable, match=r"^Snakefile: is not here"):
        check_cluster.planned(tmp_path / "profiles/slurm", None)
    monkeypatch.setitem(sys.modules, "vprlib.jobs.project", None)
    with pytest.raises(check_cluster.Unusable, match=r"^vprlib: is not installed"):
        check_cluster.unknown_rules({})
