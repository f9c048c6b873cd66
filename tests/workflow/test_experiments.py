"""Several experiments in one clone: what takes long is shared, and tables, figures and pages stand side by side."""

import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests.helpers.workflow import ENVIRONMENT, ROOT, TINY, planned, snakemake, with_run

OWN = "results/experiments/quick"
QUICK = {"results": OWN, "evaluate": {"recall_at": [1, 2]}, "runs": {"netvlad": {}}}
OTHER_MARGIN = with_run("netvlad", train=TINY["base"]["train"] | {"loss": {"options": {"margin": 0.2}}})


def test_a_second_experiment_only_evaluates_and_leaves_the_first_alone(done, tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(done, folder, symlinks=True)
    evaluated = {"evaluate", "collect_recalls", "compare_runs", "verify_dataset", "build_report", "all"}
    assert {name for name in planned(folder, config=QUICK) if not name.startswith("plot_")} == evaluated
    before = {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("[!.]*") if path.is_file()}
    tables = [f"{OWN}/{name}/recalls.csv" for name in TINY["datasets"]]
    status, text = snakemake(folder, *tables, f"{OWN}/city/verification.json", config=QUICK)
    assert status == 0, text
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert planned(folder) == {}, "the first is finished"
    first, second = (pd.read_csv(folder / path) for path in ("results/city/recalls.csv", tables[0]))
    assert set(second.k) == {1, 2}
    assert set(first.k) == {1, 5, 10, 20}
    assert (folder / OWN / "logs/evaluate/city/netvlad/seed0/gen0.json").exists()
    compare = [sys.executable, "-m", "vprlib", "compare", "results", f"b={OWN}", "--out", "joined"]
    said = subprocess.run(
        compare, cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert "k 2, 5, 10, 20 is not in all experiments" in said.stderr
    assert set(pd.read_csv(folder / "joined/city/recalls.csv").run) == {"vlad", "netvlad", "b/netvlad"}
    assert len(pd.read_csv(folder / "joined/city/differences.csv")) == 4  # three raw pairs, one whitened


def test_the_folder_of_results_may_be_named_on_the_command_line(done):
    status, text = snakemake(done, "--dry-run", "mine/city/recalls.csv", "--config", "results=mine")
    assert status == 0, text
    assert "mine/logs/evaluate/city/netvlad/seed0/gen0.log" in text
    assert "results/city/netvlad/seed0/gen0/ranking.h5" in text


@pytest.mark.parametrize("results", [{}, {"results": OWN}])
def test_another_recipe_of_one_name_is_told_before_it_takes_the_place_of_the_network(done, results):
    status, text = snakemake(done, "--dry-run", "all", config=OTHER_MARGIN | results)
    assert status == 0, text
    (line,) = [line for line in text.splitlines() if line.startswith("warning:")]
    assert line.startswith("warning: runs.netvlad: results/models/netvlad/seed0/gen0/last.safetensors was trained with")
    assert "margin" in line
    assert "give the run another name" in line
    assert "warning:" not in snakemake(done, "--dry-run", "all", config=results)[1]


def test_other_shared_files_are_told_before_they_are_made_again(done):
    """An untrained run takes its centroids from the tested database, and the same file."""
    untrained = {
        "results": OWN,
        "datasets": ["city"],
        "base": {k: v for k, v in TINY["base"].items() if k != "train_set"},
    }
    untrained["base"] = {k: v for k, v in untrained["base"].items() if k in ("image", "backbone", "aggregator")}
    status, text = snakemake(done, "--dry-run", "all", config=untrained | {"runs": {"bare": {}}})
    assert status == 0, text
    (line,) = [line for line in text.splitlines() if "are made again" in line]
    assert line.startswith("warning: results/centroids/city/vgg16/pretrain/seed0.h5 was made with centroids.")
    assert "give runs.bare a backbone.cache_name of its own" in line


def test_the_demo_and_the_tiny_city_make_no_file_of_each_other(tmp_path):
    outputs = []
    for name in ("config/city.yaml", "tests/tiny.yaml"):
        command = [sys.executable, "-m", "snakemake", "-p", "-s", ROOT / "Snakefile", "--directory", tmp_path]
        command += ["--dry-run", "--profile", ROOT / "profiles/local", "all", "--configfile", ROOT / name]
        text = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
        outputs.append(set(re.findall(r"^    (?:output|log): (.*)$", text, re.MULTILINE)))
    demo, tiny = ({file for line in lines for file in line.split(", ")} for lines in outputs)
    assert {"data/city/annotations.json", "results/report.html"} <= demo
    assert {"data/toy/annotations.json", "results/experiments/toy/report.html"} <= tiny
    assert not demo & tiny


def test_a_city_of_another_name_renders_its_own_photos_only(done):
    toy = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    assert planned(done, "results/toy/images.csv", config=toy) == {"render_city": 1, "image_table": 1}
    assert planned(done) == {}
