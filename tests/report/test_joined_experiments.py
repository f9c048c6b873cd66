"""`vprlib compare`: what two experiments left, joined, is what one experiment with all runs leaves; or one line."""

import shutil

import pandas as pd
import pytest

from tests.helpers.experiment_files import make_campaign
from vprlib.__main__ import main
from vprlib.evaluation.comparison import paired_differences
from vprlib.evaluation.recall_table import join_results, read_results
from vprlib.io.files import write_csv
from vprlib.report.joined_experiments import join_experiments

RUNS, TOWNS = ["plain", "better", "best"], ["town", "drive"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An experiment with all runs on two datasets; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    sizes = {"queries": 40, "database": 60, "size": (64, 48)}
    return make_campaign(
        folder, runs=RUNS, names=TOWNS, **sizes, checked=False, seeds={"better": 2}, stricter={"town": 5}
    )


def joined(campaign, kind, dataset, runs):
    networks = [network for network in campaign.networks if network.run in runs]
    paths = [campaign.file(kind, dataset, network) for network in networks]
    return join_results(paths, [network.identity for network in networks])


@pytest.fixture
def experiment(whole, tmp_path):
    """experiment(name, runs, datasets, **columns): a folder with these runs, whose recalls get these columns."""

    def write(name, runs, datasets=TOWNS, queries=True, **columns):
        folder = tmp_path / name
        for dataset in datasets:
            table = joined(whole, "run_recalls", dataset, runs)
            write_csv(folder / dataset / "recalls.csv", table.assign(**columns))
            for run in runs if queries else ():
                shutil.copytree(whole.results / dataset / run, folder / dataset / run)
        return str(folder)

    return write


def test_two_halves_give_the_tables_of_the_whole(experiment, whole, tmp_path, capsys):
    halves = [experiment("a", RUNS[:2]), experiment("b", RUNS[1:])]  # `better` is in both
    assert main(["compare", *halves, "--out", str(tmp_path / "out")]) == 0
    assert f"{tmp_path}/out/town/differences.csv" in capsys.readouterr().out
    for dataset in TOWNS:
        table = read_results(tmp_path / "out" / dataset / "recalls.csv")
        experiments = table.pop("experiment")
        assert experiments[table.run == "best"].eq(halves[1]).all()
        assert experiments[table.run != "best"].eq(halves[0]).all()
        pd.testing.assert_frame_equal(table, joined(whole, "run_recalls", dataset, RUNS))
        tested = read_results(tmp_path / "out" / dataset / "differences.csv")
        expected = paired_differences(joined(whole, "run_queries", dataset, RUNS))
        pd.testing.assert_frame_equal(tested, expected, check_dtype=False)
    comparison = read_results(tmp_path / "out/comparison.csv")
    assert set(comparison.run) == set(RUNS)
    for name in ("comparison.svg", "comparison.pdf", "recalls.csv", "recalls.md", "recalls.tex"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    again = join_experiments([str(tmp_path / "out"), experiment("c", RUNS[:1])], tmp_path / "again")
    assert [path.name for path in again].count("differences.csv") == 0, "one run has per-query tables"


def test_only_common_protocols_and_ks_are_joined_and_the_rest_is_told(experiment, whole, tmp_path, caplog):
    one, other = experiment("a", RUNS[:1]), experiment("b", RUNS[1:], ["town"])
    table = read_results(tmp_path / "b/town/recalls.csv")
    write_csv(tmp_path / "b/town/recalls.csv", table[(table.protocol == "own") & (table.k != 5)])
    join_experiments([one, other], tmp_path / "out")
    town, drive = (read_results(tmp_path / f"out/{name}/recalls.csv") for name in TOWNS)
    assert set(town.protocol) == {"own"}
    assert set(town.k) == {1, 10, 20}
    assert set(drive.run) == {"plain"}
    assert set(drive.k) == {1, 5, 10, 20}
    assert set(read_results(tmp_path / "out/town/differences.csv").protocol) == {"own"}
    assert "town: protocol 5 m is not in all" in caplog.text
    assert "town: k 5 is not in all" in caplog.text


def test_a_name_in_front_of_a_folder_keeps_runs_of_one_name_apart(experiment, tmp_path):
    one, other = experiment("a", ["plain"]), experiment("b", ["plain"], config_hash="0" * 12)
    for dataset in TOWNS:  # its per-query tables are of the first recipe
        shutil.rmtree(tmp_path / "b" / dataset / "plain")
    join_experiments([f"then={one}", f"now={other}"], tmp_path / "out")
    assert set(read_results(tmp_path / "out/town/recalls.csv").run) == {"then/plain", "now/plain"}


REFUSED = {
    "another radius": ({"radius": 7.0}, "the protocol own is not the same", "radius 25.0 and 7.0"),
    "other protocols": ({"protocol": "mine"}, "no protocol in common", "own", "mine", "`protocols`"),
    "other photos": ({"database": 61}, "the photos tested under", "database 60 and 61"),
    "other positives": ({"chance": 0.5}, "the photos tested under", "chance"),
    "other ks": ({"k": 3}, "no k in common", "`evaluate.recall_at`"),
    "another recipe": ({"config_hash": "0" * 12}, "the network better seed 0 gen 0", "config_hash", "another name"),
    "another training": ({"checkpoint": "0" * 12}, "the network better", "checkpoint 111111111111 and 000000000000"),
    "another index": ({"index": "hnsw"}, "the recall of better", "index flat and hnsw"),
    "another re-ranking": ({"reranker": "alpha_qe"}, "the re-ranking none", "reranker none and alpha_qe", "`label`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_compare_is_one_line_and_nothing_is_written(case, experiment, refused, tmp_path):
    columns, *said = REFUSED[case]
    folders = [experiment("a", RUNS[:2], ["town"]), experiment("b", RUNS[1:], ["town"], **columns)]
    with refused("town", *said):
        join_experiments(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_queries_of_the_same_number_are_one_line(experiment, refused, tmp_path):
    folders = [experiment("a", ["plain"], ["town"]), experiment("b", ["best"], ["town"])]
    path = tmp_path / "b/town/best/seed0/gen0/queries.csv"
    table = read_results(path)
    write_csv(path, table.assign(query=table["query"] + "x"))
    with refused("plain and best", "different queries"):
        join_experiments(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_joined_are_one_line(experiment, tmp_path, capsys):
    town, drive = experiment("a", ["plain"], ["town"]), experiment("b", ["plain"], ["drive"])
    (tmp_path / "empty").mkdir()
    for folders, said in (
        ([town, str(tmp_path / "none")], "no such folder"),
        ([town, str(tmp_path / "empty")], "has no table of recalls"),
        ([town, town], "each once"),
        ([town], "at least two"),
        ([town, drive], "no dataset in common"),
    ):
        assert main(["compare", *folders, "--out", str(tmp_path / "out")]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]
    assert main(["compare", town, drive, "--out", town]) == 1
    assert "one of the compared folders" in capsys.readouterr().err


def test_joined_tables_take_the_place_of_no_experiment_and_of_a_whole_earlier_comparison(experiment, refused, tmp_path):
    one, other, third = experiment("a", RUNS[:1]), experiment("b", RUNS[1:2]), experiment("c", RUNS[2:])
    before = (tmp_path / "c/town/recalls.csv").read_bytes()
    with refused("--out", third, "holds an experiment"):
        join_experiments([one, other], third)
    shutil.rmtree(tmp_path / "c/drive")
    (tmp_path / "c/town/recalls.csv").unlink()
    with refused("--out", third, "holds an experiment"):
        join_experiments([one, other], third)
    (tmp_path / "c/town/recalls.csv").write_bytes(before)
    join_experiments([one, other], tmp_path / "out")
    assert (tmp_path / "out/drive/differences.csv").exists()
    alone = experiment("d", RUNS[:1], ["town"], queries=False)
    join_experiments([alone, third], tmp_path / "out")
    assert set(read_results(tmp_path / "out/town/recalls.csv").run) == {"plain", "best"}
    left = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*.csv")}
    assert left == {"town/recalls.csv"}


def test_a_table_for_spreadsheets_of_an_experiment_below_is_no_dataset(experiment, tmp_path, capsys):
    folders = [experiment("a", RUNS[:1]), experiment("b", RUNS[1:2])]
    join_experiments(folders, tmp_path / "a/paper")
    join_experiments(folders, tmp_path / "out")
    assert main(["show", str(tmp_path / "out")]) == 0
    assert main(["show", str(tmp_path / "a/paper")]) == 0
    (tmp_path / "e").mkdir()
    (tmp_path / "a/paper").rename(tmp_path / "e/paper")
    capsys.readouterr()
    assert main(["show", str(tmp_path / "e")]) == 1
    assert "has no recalls yet" in capsys.readouterr().err
