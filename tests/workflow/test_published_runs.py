"""Published checkpoints, downloads and folders inside the workflow: real processes, a web server on loopback."""

import json
import re
import shutil
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import vprlib
from tests.helpers.local_site import Page, Site
from tests.helpers.published_checkpoints import published_state
from tests.helpers.workflow import TINY, planned, snakemake
from vprlib.io.fingerprints import sha256_of_file


@pytest.fixture
def offered(tmp_path):
    """A web server that offers a published checkpoint, and the configuration that evaluates it."""
    torch.save(published_state("openibl_hub", dims=12), tmp_path / "hub.pth")
    with Site() as site:
        site.pages["/hub.pth"] = Page((tmp_path / "hub.pth").read_bytes())
        named = {"url": site.url("/hub.pth"), "sha256": sha256_of_file(tmp_path / "hub.pth")}
        (tmp_path / "hub.pth").unlink()
        both = {"descriptors": ["raw", "whitened"]}
        yield site, {"datasets": ["city"], "runs": {"hub": {"checkpoint": named, "extract": both}}}


def test_a_published_checkpoint_is_downloaded_and_evaluated_without_any_training(offered, tmp_path):
    site, config = offered
    counts = planned(tmp_path, config=config)
    assert {rule: counts[rule] for rule in ("import_checkpoint", "import_whitening", "extract_descriptors")} == {
        "import_checkpoint": 1, "import_whitening": 1, "extract_descriptors": 2,
    }  # fmt: skip
    assert not {
        "train",
        "fit_whitening",
        "backbone_weights",
        "pretrain_backbone",
        "cache_features",
        "cluster_features",
        "plot_training",
        "plot_centroids",
    } & set(counts)
    status, text = snakemake(tmp_path, "all", config=config)
    assert status == 0, text
    assert len(site.asked) == 1
    model = tmp_path / "results/models/hub/seed0/gen0"  # whose trained model, if there ever was one, stays
    assert sorted(path.name for path in model.iterdir()) == ["pca.h5", "published.safetensors"]
    rows = pd.read_csv(tmp_path / "results/city/recalls.csv")
    assert rows.groupby("descriptor").dim.first().to_dict() == {"raw": 4 * 32, "whitened": 12}
    table = pd.read_csv(tmp_path / "results/city/images.csv")
    photos = [tmp_path / path for path in table.path[(table.split == "test") & (table.role == "query")]]
    with h5py.File(tmp_path / "results/city/hub/seed0/gen0/queries.h5") as file:
        stored = file["whitened"][:].astype(np.float32)
    (kept,) = tmp_path.glob("data/checkpoints/*/hub.pth")
    described = vprlib.describe(kept, photos, device="cpu")
    np.testing.assert_allclose(stored, described, atol=2e-3)
    assert planned(tmp_path, config=config) == {}


def test_offline_a_checkpoint_that_is_not_here_is_named_with_its_address(offered, tmp_path):
    site, config = offered
    status, text = snakemake(tmp_path, "results/city/recalls.csv", config=config | {"offline": True})
    assert status
    lines = [line for line in text.splitlines() if line.startswith("error: import_checkpoint")]
    assert len(lines) == 1
    assert re.search(r"data/checkpoints/\w+/hub.pth: is missing", lines[0])
    assert config["runs"]["hub"]["checkpoint"]["url"] in lines[0]
    assert "offline" in lines[0]
    assert not site.asked


def test_a_checkpoint_without_pca_names_what_to_do(tmp_path):
    torch.save(published_state("pytorch_netvlad"), tmp_path / "raw.pth")
    named = {"file": str(tmp_path / "raw.pth")}
    config = {"datasets": ["city"], "runs": {"own": {"checkpoint": named}}}
    status, text = snakemake(tmp_path, "results/city/recalls.csv", config=config)
    assert status
    assert "raw.pth: holds no PCA" in text
    assert "checkpoint.whitening: fitted" in text
    config["runs"]["own"]["checkpoint"] |= {"whitening": "fitted"}
    counts = planned(tmp_path, "results/city/recalls.csv", config=config)
    assert counts["fit_whitening"] == 1
    assert not {"train", "cache_features", "import_whitening"} & set(counts)


def test_a_dry_run_names_the_files_that_are_not_where_the_configuration_says(tmp_path, photo):
    """Those that only the user has, unless what is made from them is there."""
    torch.save(published_state("openibl"), tmp_path / "own.pth")
    own = {"checkpoint": {"file": "own.pth"}, "extract": {"descriptors": ["raw"]}}
    lost = {"checkpoint": {"file": "lost.pth", "pca": "lost.h5"}}
    mine = {"backbone": {"name": "vgg16", "weights": "mine", "file": "w.pth"}, "aggregator": {"name": "gem"}}
    mine |= {"image": TINY["base"]["image"] | {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
    custom = {"walk": {"folder": "walk"}, "list": {"csv": "list.csv"}, "unused": {"folder": "unused"}}
    config = {"datasets": ["city", "walk", "list", "tokyo247", "pitts30k", "nordland"], "custom_datasets": custom}
    config |= {"dataset_roots": {"pitts30k": "pitts", "nordland": "made/by/download"}}
    config |= {"runs": {"own": own, "lost": lost, "mine": mine}}
    for target, fault in (
        ("results/models/lost/seed0/gen0/published.safetensors", "runs.lost.checkpoint.file: lost.pth"),
        ("results/models/lost/seed0/gen0/pca.h5", "runs.lost.checkpoint.pca: lost.h5"),
        ("results/models/mine/seed0/gen0/best.safetensors", "backbone.file: w.pth"),
        ("results/list/images.csv", "custom_datasets.list.csv: list.csv"),
        ("results/pitts30k/images.csv", "dataset_roots.pitts30k: pitts"),
    ):
        status, text = snakemake(tmp_path, "-n", target, config=config)
        assert status
        assert text.splitlines()[-1] == f"error: config: {fault}: no such file or folder"
        assert "Traceback" not in text
    for free in (["results/tokyo247/images.csv"], ["--list-rules"], ["--unlock", "results/list/images.csv"]):
        assert snakemake(tmp_path, "-n", *free, config=config)[0] == 0, "what needs none of these goes on"
    for number, place in enumerate("aabb"):
        photo(tmp_path / f"walk/{place}/{number}.jpg", seed=number)
    config = {"datasets": ["walk"], "custom_datasets": custom, "runs": {"own": own}}
    assert snakemake(tmp_path, "results/walk/images.csv", config=config)[0] == 0
    shutil.rmtree(tmp_path / "walk")
    (tmp_path / "own.pth").unlink()
    status, text = snakemake(tmp_path, "-n", "all", config=config)
    assert text.splitlines()[-1] == "error: config: runs.own.checkpoint.file: own.pth: no such file or folder"
    for made in ("models/own/seed0/gen0/published", "weights/vgg16/mine"):
        path = tmp_path / f"results/{made}.safetensors"
        path.parent.mkdir(parents=True)
        path.touch()
    config["runs"]["mine"] = mine | {"train_set": "walk"}
    assert not {"image_table", "import_checkpoint", "backbone_weights"} & set(planned(tmp_path, config=config))


def test_a_run_with_a_checkpoint_has_no_generations(tmp_path):
    named = {"checkpoint": {"file": "x.pth"}, "generations": [{}, {}]}
    status, text = snakemake(tmp_path, "-n", "all", config={"runs": TINY["runs"] | {"own": named}})
    assert status
    assert "runs.own: a run with a `checkpoint` is not trained" in text
    assert json.dumps(named) not in text


def test_a_photo_added_to_a_sub_folder_is_indexed(tmp_path, photo):
    for number, place in enumerate("aabb"):
        photo(tmp_path / f"walk/{place}/{number}.jpg", seed=number)
    config = {"datasets": ["walk"], "custom_datasets": {"walk": {"folder": "walk"}}}
    target = "results/walk/images.csv"
    assert snakemake(tmp_path, target, config=config)[0] == 0
    assert planned(tmp_path, target, config=config) == {}
    time.sleep(1.1)  # a folder's time may be no finer than that
    photo(tmp_path / "walk/b/new.jpg", seed=9)
    assert planned(tmp_path, target, config=config) == {"image_table": 1}


def test_two_checkpoints_of_one_name_are_two_and_of_a_published_one_the_seeds_are_one(tmp_path):
    with Site() as site:
        runs = {}
        for number, name in enumerate(("a", "b")):
            torch.save(published_state("pytorch_netvlad", seed=number), tmp_path / "x.pth")
            site.pages[f"/{name}/model_best.pth"] = Page((tmp_path / "x.pth").read_bytes())
            named = {"url": site.url(f"/{name}/model_best.pth")}
            runs[name] = {"checkpoint": named, "extract": {"descriptors": ["raw"]}}
        config = {"datasets": ["city"], "runs": runs, "seeds": [0, 1]}
        status, text = snakemake(tmp_path, "results/city/recalls.csv", config=config)
    assert status == 0, text
    rows = pd.read_csv(tmp_path / "results/city/recalls.csv")
    assert rows.groupby("run").checkpoint.first().nunique() == 2
    assert set(rows.seed) == {0}
    assert rows.train_set.isna().all()
