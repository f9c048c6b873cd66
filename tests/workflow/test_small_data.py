"""A folder of photos that are all `test`, from a recipe that names nothing but the folder and a network."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.workflow import ENVIRONMENT, ROOT, command

PLACES = 8  # photos of the database
RECIPE = {
    "backbone": {"name": "vgg16", "weights": "pretrain", "options": {"width": 0.0625}},  # weights without a download
    "aggregator": {"options": {"clusters": 4}},
    "image": {"height": 32, "width": 32},
}


@pytest.fixture
def walk(tmp_path, photo):
    """A folder as a user has it: photos of eight places 100 m apart, and three queries 5 m beside places."""
    for number in range(PLACES):
        photo(tmp_path / f"photos/database/@{500_000 + 100 * number}@5000000@.jpg", number)
    for number in range(3):
        photo(tmp_path / f"photos/query/@{500_005 + 100 * number}@5000000@.jpg", number)
    return tmp_path


def run(folder, *target, **custom):
    """Run a target with a configuration of three keys, and a small pretraining; (status, lines)."""
    config = {
        "datasets": ["walk"],
        "custom_datasets": {"walk": {"folder": str(folder / "photos")} | custom},
        "runs": {"walk_vlad": RECIPE},
        "pretrain": {"cities": 1, "pairs": 8, "epochs": 1, "batch": 8},
    }
    start = command(folder, *target)
    Path(start[-1]).write_text(yaml.safe_dump(config))
    ran = subprocess.run(start, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.returncode, (ran.stdout + ran.stderr).splitlines()


def test_a_folder_and_a_network_are_a_whole_recipe(walk):
    status, lines = run(walk, "results/walk/recalls.csv")
    assert status == 0, "\n".join(lines)
    (said,) = [line for line in lines if line.startswith("warning:")]
    assert said == (
        "warning: config: runs.walk_vlad: no train_set is named, so: not trained, centroids from the database of walk, "
        "raw descriptors"
    )
    assert "evaluate.recall_at: recall@10 and recall@20 left out, because walk has 8 database photos" in lines
    table = pd.read_csv(walk / "results/walk/recalls.csv")
    assert list(zip(table.k, table.recall, table.descriptor, table.epoch, strict=True)) == [
        (1, 1.0, "raw", 0),  # the photo of a place is that of its query
        (5, 1.0, "raw", 0),
    ]


def test_no_job_of_a_training_is_planned(walk):
    status, lines = run(walk, "--dry-run", "all")
    assert status == 0, "\n".join(lines)
    rules = {line.split()[0] for line in lines if len(line.split()) == 2 and line.split()[1].isdigit()}
    assert {"train", "cluster_features", "evaluate"} <= rules  # `train` writes the initial network
    assert not {"cache_features", "fit_whitening", "plot_training"} & rules


def test_folders_of_any_name_need_two_lists_as_hloc_writes_them(walk):
    (walk / "photos/database").rename(walk / "photos/map")
    (walk / "photos/query").rename(walk / "photos/live")
    status, lines = run(walk, "results/walk/images.csv")
    assert status == 0, "\n".join(lines)
    (asked,) = [line for line in lines if "hold the queries?" in line]
    assert "does 'live' or 'map' hold the queries? Rename it to queries, or list them" in asked
    names = {folder: sorted((walk / f"photos/{folder}").iterdir()) for folder in ("map", "live")}
    (walk / "db.txt").write_text("".join(f"map/{path.name}\n" for path in names["map"]))
    camera = "SIMPLE_RADIAL 32 24 30 16 12 0.01"
    (walk / "queries_with_intrinsics.txt").write_text("".join(f"live/{path.name} {camera}\n" for path in names["live"]))
    lists = {"database": str(walk / "db.txt"), "queries": str(walk / "queries_with_intrinsics.txt")}
    status, lines = run(walk, "results/walk/images.csv", **lists)
    assert status == 0, "\n".join(lines)
    table = pd.read_csv(walk / "results/walk/images.csv")
    assert table.role.value_counts().to_dict() == {"database": PLACES, "query": 3}
