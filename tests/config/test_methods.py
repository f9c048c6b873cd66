"""A method is one file and one line: what a stranger does to add one, inside the repository and outside."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.workflow import ROOT, TINY

AGGREGATOR = '''"""Power pooling, with parameters of its own."""

from typing import Annotated, Literal

import torch
from torch import nn
from torch.nn import functional as F


class PowerPool(nn.Module):
    """Pool each channel by a power mean.

    Args:
        power: exponent of the mean.
        floor: smallest value that is pooled.
        norm: norm of the descriptor.
    """

    def __init__(
        self,
        channels: int,
        power: Annotated[float, "> 0"] = 2.0,
        floor: float = 1e-6,
        norm: Literal["l2", "none"] = "l2",
    ) -> None:
        super().__init__()
        self.dim, self.power, self.floor, self.norm = channels, power, floor, norm

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x_BC = x_BCHW.clamp_min(self.floor).pow(self.power).mean((2, 3)).pow(1 / self.power)
        return F.normalize(x_BC, dim=1) if self.norm == "l2" else x_BC
'''
BUILD = """
import sys, yaml
from vprlib.config import parse_config
from vprlib.models.network import build_network
run = parse_config(yaml.safe_load(open(sys.argv[1]))).runs["mine"]
network = build_network(run.image, run.backbone, run.aggregator)
print(type(network.aggregator).__name__, network.aggregator.power, network.aggregator.floor, network.dim)
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the repository's code, in a folder of its own."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Snakefile", "config", "profiles", "vprlib", "workflow", "docs"):
        target = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        target(ROOT / name, folder / name)
    return folder


def python(folder, *arguments):
    """Run Python in a folder, where the checkout's library is found: (exit status, all that it printed)."""
    path = os.pathsep.join([str(folder.parent / "checkout"), str(folder)])
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def configuration(folder, aggregator):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(TINY | {"runs": {"mine": {"aggregator": aggregator}}}))
    return path


def dry_run(checkout, folder, path):
    profile = ("--profile", checkout / "profiles/local", "--configfile", path, "-d", folder, "--cores", 1)
    return python(folder, "-m", "snakemake", "-s", checkout / "Snakefile", "-n", "all", *profile)


def test_a_new_aggregator_is_one_file_and_one_line(checkout):
    (checkout / "vprlib/models/aggregators/power.py").write_text(AGGREGATOR)
    registry = checkout / "vprlib/registry.py"
    line = '        mean="pooling:Mean",\n'
    text = registry.read_text()
    assert line in text
    registry.write_text(text.replace(line, line + '        power="power:PowerPool",\n'))

    path = configuration(checkout, {"name": "power", "options": {"power": 4.0, "floor": 0.001}})
    status, text = python(checkout, "-c", BUILD, path)
    assert (status, text.split()) == (0, ["PowerPool", "4.0", "0.001", "32"])
    status, text = dry_run(checkout, checkout, path)
    assert status == 0, text
    assert "cluster_features" not in text, "it needs no centroids"

    status, text = python(checkout, "docs/generate.py", checkout / "reference")
    assert status == 0, text
    page = (checkout / "reference/methods.md").read_text()
    section = page[page.index("### power") :].split("\n###")[0].split("\n## ")[0]
    for row in (
        "| `power` | 2 | float > 0 | exponent of the mean. |",
        "| `floor` | 1e-06 | float | smallest value that is pooled. |",
    ):
        assert row in section
    assert "'l2' or 'none'" in section

    for options, fragments in (
        ({"powre": 2}, ("runs.mine.aggregator.options", "power has no option 'powre'", "did you mean 'power'?")),
        ({"power": 0.0}, ("runs.mine.aggregator.options", "power must be > 0, not 0.0")),
        ({"norm": "l3"}, ("runs.mine.aggregator.options", "norm must be", "not 'l3'")),
    ):
        status, text = dry_run(checkout, checkout, configuration(checkout, {"name": "power", "options": options}))
        assert status != 0
        [error] = [line for line in text.splitlines() if line.startswith("error: ")]
        assert not [fragment for fragment in fragments if fragment not in error], error


def test_a_method_of_one_s_own_package_is_used_by_its_address(checkout, tmp_path):
    project = tmp_path / "project"
    (project / "mylab").mkdir(parents=True)
    (project / "mylab/__init__.py").write_text("")
    (project / "mylab/nets.py").write_text(
        AGGREGATOR.replace("    def __init__", '    traits = ("words",)\n\n    def __init__', 1)
    )
    path = configuration(project, {"name": "mylab.nets:PowerPool", "options": {"power": 3.0}})
    status, text = python(project, "-c", BUILD, path)
    assert (status, text.split()) == (0, ["PowerPool", "3.0", "1e-06", "32"])
    status, text = dry_run(checkout, project, path)
    assert status == 0, text
    assert "plot_visual_words" in text, "its trait is known"
    status, text = dry_run(checkout, project, configuration(project, "mylab.nets:PowerPol"))
    assert status != 0
    assert "error: config: runs.mine.aggregator.name: mylab.nets has no 'PowerPol'; did you mean 'PowerPool'?" in text
    assert "Traceback" not in text
