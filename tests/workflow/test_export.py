"""Exports as a user asks for them: by the name of a file, which says at once whether the recipe fits."""

import pytest
import torch

from tests.helpers.workflow import MODEL, TINY, planned, snakemake
from vprlib.models.published_import import read_published


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize(
    ("base", "format", "reason"),
    [
        ({}, "openibl_hub", "normalises by the mean [0.48501961, 0.45795686, 0.40760392]"),
        ({"aggregator": "gem"}, "patch_netvlad", "holds NetVLAD, not 'gem'"),
        ({"extract": {"descriptors": ["raw"]}}, "patch_netvlad", "has a PCA layer"),
    ],
)
def test_a_recipe_that_a_format_cannot_hold_is_refused_before_training(base, format, reason, tmp_path):
    status, text = snakemake(tmp_path, f"{MODEL}/export/{format}.pth.tar", config={"base": TINY["base"] | base})
    assert status
    (line,) = errors(text)
    assert line.startswith(f"error: config: runs.netvlad: the format '{format}' ")
    assert reason in line
    assert "it holds backbone: vgg16; aggregator: netvlad of" in line
    assert not (tmp_path / "results").exists()


def test_an_export_is_one_job_and_holds_the_network(done):
    target = f"{MODEL}/export/patch_netvlad.pth.tar"
    assert planned(done, target) == {"export_checkpoint": 1}
    status, text = snakemake(done, target)
    assert status == 0, text
    assert "vgg16 of width 0.0625, not 1" in text
    exported, ours = read_published(done / target), read_published(done / MODEL / "best.safetensors")
    assert exported.format == "patch_netvlad"
    assert exported.whitening.dim == TINY["base"]["whiten"]["dim"]
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(tensor, exported.model.state_dict()[name]), name
