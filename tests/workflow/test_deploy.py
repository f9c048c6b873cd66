"""The workflow outside its clone: as a module of another Snakefile, by snakedeploy, and from a wheel."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY

OTHER = f"""
configfile: "config.yaml"


module vpr:
    snakefile:
        "{ROOT}/Snakefile"
    config:
        config


use rule * from vpr as vpr_*


rule all:
    default_target: True
    input:
        rules.vpr_all.input,
"""


def run(folder, *command, **environment):
    """(exit status, all that a command printed) in a folder."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def snakemake(folder, *arguments, **environment):
    return run(folder, sys.executable, "-m", "snakemake", "--cores", 1, *arguments, **environment)


def test_the_workflow_is_a_module_of_another_one(tmp_path):
    (tmp_path / "Snakefile").write_text(OTHER)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    status, text = snakemake(tmp_path, "-n")
    assert status == 0, text
    assert "vpr_train" in text
    status, text = snakemake(tmp_path, "results/city_night/images.csv")
    assert status == 0, text
    assert (tmp_path / "results/city_night/images.csv").exists()
    assert (tmp_path / "logs/image_table/city_night.log").exists()


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """A clone of the repository as it is now."""
    folder = tmp_path_factory.mktemp("clones") / "vpr"
    listed = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_snakedeploy_deploys_a_clone(clone, tmp_path):
    status, text = run(tmp_path, "snakedeploy", "deploy-workflow", clone, "mine", "--branch", "main")
    assert status == 0, text
    deployed = tmp_path / "mine"
    assert (deployed / "config/config.yaml").read_bytes() == (ROOT / "config/config.yaml").read_bytes()
    assert (deployed / "profiles/slurm/config.yaml").exists()
    snakefile = deployed / "workflow/Snakefile"
    text = snakefile.read_text()
    assert "use rule * from" in text
    # of a local clone snakedeploy writes the path inside it; of a forge, the repository and the tag
    snakefile.write_text(text.replace('"Snakefile"', f'"{clone}/Snakefile"'))
    (deployed / "config/config.yaml").write_text(yaml.safe_dump(TINY))
    status, text = snakemake(deployed, "-n", "all")
    assert status == 0, text
    assert "train" in text


@pytest.fixture(scope="session")
def installed(clone, tmp_path_factory):
    """A folder with the library, installed from a wheel into a new virtual environment that sees our packages."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, clone)
    status, text = run(folder, *build)
    assert status == 0, text
    [wheel] = folder.glob("*.whl")
    status, text = run(folder, sys.executable, "-m", "venv", "--without-pip", folder / "env")
    assert status == 0, text
    python = folder / "env/bin/python"
    [site] = (folder / "env/lib").glob("python*/site-packages")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "others.pth").write_text(packages + "\n")
    status, text = run(folder, sys.executable, "-m", "uv", "pip", "install", "--python", python, "--no-deps", wheel)
    assert status == 0, text
    return folder / "env/bin"


def test_a_wheel_brings_the_library_the_command_and_a_project(installed, tmp_path):
    environment = {"PATH": f"{installed}:{os.environ['PATH']}", "PYTHONPATH": ""}
    status, text = run(tmp_path, installed / "python", "-c", "import vprlib; print(vprlib.__file__)", **environment)
    assert status == 0, text
    assert text.startswith(str(installed.parent)), text
    status, text = run(tmp_path, installed / "vprlib", "new", "mine", **environment)
    assert status == 0, text
    mine = tmp_path / "mine"
    assert sorted(path.name for path in mine.iterdir()) == ["Snakefile", "config", "profiles"]
    status, text = run(tmp_path, installed / "vprlib", "new", "mine", **environment)
    assert (status, text) == (1, "error: mine: is not an empty folder; name a new or empty one\n")

    (mine / "config/config.yaml").write_text(yaml.safe_dump(TINY))
    python = installed / "python"
    profile = ("--profile", "profiles/local", "--cores", 1)
    status, text = run(mine, python, "-m", "snakemake", "-n", "all", *profile, **environment)
    assert status == 0, text
    assert "build_report" in text
    target = "results/city_night/verification.json"
    status, text = run(mine, python, "-m", "snakemake", target, *profile, **environment)
    assert status == 0, text
    assert (mine / target).exists()
    assert f"{ROOT}/vprlib" not in text
    assert f"{ROOT}/workflow" not in text
