"""The page claims nothing of the network of descriptors that were computed elsewhere, and names their files."""

import json
from dataclasses import replace

import numpy as np

from tests.helpers.experiment_files import make_campaign
from vprlib.config import parse_config
from vprlib.evaluation.recall_table import epoch_selection
from vprlib.io.files import write_h5
from vprlib.report.artifacts import EvaluatedNetwork
from vprlib.report.page import build_page
from vprlib.report.page_tables import run_rows
from vprlib.report.provenance import provenance_chain

GIVEN = {"database": {"file": "db.npy", "sha256": "a" * 64}, "queries": {"file": "q.npy", "sha256": "b" * 64}}
MODEL = {"epoch": 0, "source": {"file": "db.npy, q.npy", "given": GIVEN}}


def test_the_page_says_what_is_not_known(tmp_path):
    campaign = make_campaign(
        tmp_path, runs=["ours", "given"], names=["town"], queries=8, database=24, size=(60, 40), checked=False
    )
    runs = campaign.asked["runs"] | {"given": {"descriptors": {"database": "x/db.npy", "queries": "x/q.npy"}}}
    config = parse_config(campaign.asked | {"runs": runs})
    networks = [EvaluatedNetwork(run, 0, 0, config.runs[run].identity(0)) for run in ("ours", "given")]
    campaign = replace(campaign, config=config, networks=networks, gaps=[])
    rows = {row["run"]: row for row in run_rows(campaign)}
    assert rows["given"]["trained"] == "computed elsewhere"
    assert rows["given"]["backbone"] == "descriptors of db.npy, q.npy"
    assert {rows["given"][key] for key in ("aggregator", "image")} == {"not known"}
    assert rows["given"]["train_set"] == ""
    assert rows["ours"]["train_set"] == "town"
    campaign.logs.mkdir(exist_ok=True)
    record = {"rule": "search", "wildcards": {}, "seconds": 9, "cpu_seconds": 9, "gpus": 0, "gpu": None, "nodes": 1}
    record |= {"gpu_watts": None, "peak_gb": 1, "host": "h", "cpu": "c", "cores": 2}
    path = campaign.logs / "search/town/given/seed0/gen0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    build_page(tmp_path / "report.html", campaign)
    text = (tmp_path / "report.html").read_text()
    assert "The descriptors of given were computed elsewhere" in text
    assert "not counted" in text


def test_the_inputs_of_a_ranking_are_the_given_files(tmp_path):
    write_h5(tmp_path / "r.h5", {"x": np.zeros(1)}, {"checkpoint": "c", "model": json.dumps(MODEL)})
    inputs, recipe = provenance_chain(tmp_path / "r.h5")
    assert inputs == [["given file db.npy", "a" * 64], ["given file q.npy", "b" * 64]]
    assert recipe == ""
    selection = {"checkpoint": "best", "train_set": "", "validation": "", "images": ""}
    assert epoch_selection(**selection, trained=MODEL) == "computed elsewhere, db.npy, q.npy"
