"""`vprlib match`, as it is typed: rankings by their definition, pairs as hloc reads them, and the page."""

import shutil

import numpy as np
import pandas as pd
import pytest

import vprlib
from tests.helpers.tiny_network import write_tiny_network
from vprlib.__main__ import main
from vprlib.data.layouts.pairs_file import read_pairs_file


@pytest.fixture
def place(tmp_path, photo, monkeypatch):
    """A network, seven database photos, and three queries, of which q1.png is a copy of db/4.png."""
    write_tiny_network(tmp_path / "best.safetensors")
    for number in range(7):
        photo(tmp_path / f"photos/db/{number % 2}/{number}.png", seed=number, size=(48, 32))
    for number in range(3):
        photo(tmp_path / f"photos/q/q{number}.png", seed=50 + number, size=(48, 32))
    shutil.copy(tmp_path / "photos/db/0/4.png", tmp_path / "photos/q/q1.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = ["match", "photos/q", "photos/db", "--network", "best.safetensors", "--device", "cpu"]


def test_candidates_are_ordered_by_the_similarity_of_descriptors(place, capsys):
    assert main([*COMMAND, "--out", "out", "--top", "4"]) == 0
    table = pd.read_csv(place / "out/ranking.csv")
    assert list(table) == ["query", "rank", "database", "score"]
    queries = [f"photos/q/q{number}.png" for number in range(3)]
    database = sorted(str(path.relative_to(place)) for path in (place / "photos/db").rglob("*.png"))
    query_QD, database_ND = (vprlib.describe("best.safetensors", paths, device="cpu") for paths in (queries, database))
    for query, x_D in zip(queries, query_QD, strict=True):
        found = table[table["query"] == query]
        assert found["rank"].tolist() == [1, 2, 3, 4]
        order = np.argsort(-(database_ND @ x_D), kind="stable")[:4]
        assert found.database.tolist() == [database[row] for row in order]
        np.testing.assert_allclose(found.score, (database_ND @ x_D)[order], atol=1e-5)
    copy = table[(table["query"] == queries[1]) & (table["rank"] == 1)].iloc[0]
    assert (copy.database, copy.score) == ("photos/db/0/4.png", pytest.approx(1, abs=1e-6))
    assert "3 queries, 4 of 7 photos" in capsys.readouterr().out


def test_pairs_are_those_of_the_ranking_and_read_as_such(place, capsys):
    """Names are below one folder, as hloc wants them; our own reader of pairs finds the same photos."""
    assert main([*COMMAND, "--out", "out", "--top", "2"]) == 0
    table = pd.read_csv(place / "out/ranking.csv")
    pairs = [line.split() for line in (place / "out/pairs.txt").read_text().splitlines()]
    assert pairs == [
        [row.query.removeprefix("photos/"), row.database.removeprefix("photos/")]
        for row in table[["query", "database"]].itertuples()
    ]
    assert str(place / "photos") in capsys.readouterr().out
    lists = {"database": "photos/db", "query": "photos/q"}
    read = read_pairs_file(place, pairs="out/pairs.txt", lists=lists)
    listed = read[read.role == "query"].listed_positives.map(lambda text: len(text.split()))
    assert listed.tolist() == [2, 2, 2]


def test_names_with_blanks_leave_out_the_pairs_only(place, capfd):
    assert main([*COMMAND, "--out", "out"]) == 0
    (place / "photos/q/q2.png").rename(place / "photos/q/my photo.png")
    assert main([*COMMAND, "--out", "out"]) == 0
    assert sorted(path.name for path in (place / "out").iterdir()) == ["matches.html", "ranking.csv"]
    assert "photos/q/my photo.png" in set(pd.read_csv(place / "out/ranking.csv")["query"])


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([*COMMAND, "--out", "out", "--top", "0"], ["--top 0"]),
        ([*COMMAND, "--out", "best.safetensors"], ["--out best.safetensors", "no folder"]),
        (["match", "photos/q", "nowhere", *COMMAND[3:], "--out", "out"], ["nowhere: no such file or folder"]),
        ([*COMMAND, "--out", "out", "--whitening", "none.h5"], ["none.h5: no such file"]),
        (["match", "photos/q", "list.txt", *COMMAND[3:], "--out", "out"], ["photos/none.png: no such file"]),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(place, capsys, arguments, fragments):
    (place / "list.txt").write_text("photos/none.png\n")
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not [fragment for fragment in fragments if fragment not in said], said
    assert not (place / "out").exists()
