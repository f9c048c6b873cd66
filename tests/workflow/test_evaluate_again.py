"""Another radius, other ks, conditions, protocols or re-rankings: only evaluations run, on rankings that are there."""

import shutil

import pandas as pd
import pytest

from tests.helpers.workflow import RUN, planned, snakemake

TABLES = dict.fromkeys(("collect_recalls", "plot_recalls", "compare_runs", "plot_tradeoffs"), 2)
EVALUATION = {"evaluate": 4, "plot_comparison": 1, "build_report": 1, "all": 1} | TABLES
STRICT = {"name": "strict", "radius": 4}


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"evaluate": {"recall_at": [1, 2]}}, {}),
        ({"evaluate": {"group_by": {"city": ["heading"], "city_night": ["heading"]}}}, {}),
        # the photos are not decoded again: verify_dataset only counts positives
        ({"protocols": {"city": ["10 m", STRICT], "city_night": ["10 m, first view of a place", STRICT]}}, "verified"),
        ({"rerank": ["alpha_qe", {"name": "alpha_qe", "label": "wide", "options": {"alpha": 1}}]}, {"rerank": 8}),
        ({"search": {"top_k": 30}, "evaluate": {"recall_at": [30]}}, {"search": 4, "plot_gallery": 4}),
    ],
    ids=["ks", "conditions", "radius", "re-rankings", "a k beyond the rankings"],
)
def test_only_the_evaluation_runs(done, change, more):
    assert planned(done, config=change) == EVALUATION | ({"verify_dataset": 2} if more == "verified" else more)


def test_another_protocol_of_the_dataset_needs_no_search(done):
    counts = planned(done, config={"protocols": {"city_night": ["10 m, all views"]}})
    assert counts["evaluate"] == 2
    assert not {"image_table", "train", "extract_descriptors", "search"} & set(counts)


def test_a_radius_and_two_settings_of_a_re_ranker_stand_side_by_side(done, tmp_path):
    folder, target = tmp_path / "again", RUN.format("city") + "/recalls.csv"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("logs"))
    kept = ("results/city/images.csv", RUN.format("city") + "/ranking.h5")
    before = [(folder / path).stat().st_mtime_ns for path in kept]
    asked = {
        "protocols": {"city": ["10 m", STRICT]},
        "rerank": [{"name": "alpha_qe", "label": "narrow", "options": {"neighbours": 1}}, {"name": "alpha_qe"}],
    }
    status, text = snakemake(folder, target, config=asked)
    assert status == 0, text
    table = pd.read_csv(folder / target)
    assert {*zip(table.protocol, table.radius, strict=True)} == {("10 m", 10), ("strict", 4)}
    assert dict(zip(table["rerank"], table.reranker, strict=True)) == {
        "none": "none",
        "narrow": "alpha_qe(neighbours=1)",
        "alpha_qe": "alpha_qe",
    }
    recalls = table.pivot_table("recall", ["descriptor", "rerank", "k"], "protocol")
    assert (recalls["strict"] <= recalls["10 m"]).all()
    assert (recalls["strict"] < recalls["10 m"]).any()
    assert [(folder / path).stat().st_mtime_ns for path in kept] == before


def test_labels_and_protocols_that_cannot_be_told_apart_are_one_line(tmp_path):
    for change, said in (
        ({"rerank": ["alpha_qe", {"name": "alpha_qe", "options": {"alpha": 1}}]}, "a `label` of its own"),
        ({"protocols": {"city": [{"name": "10 m", "radius": 5}]}}, '"10 m" is a protocol of the dataset'),
    ):
        status, text = snakemake(tmp_path, "--dry-run", "all", config=change)
        (line,) = [line for line in text.splitlines() if line.startswith("error:")]
        assert status
        assert said in line
