import json
import logging
import shutil
from dataclasses import replace

import pytest

from vprlib.datasets.base import Protocol
from vprlib.datasets.csvfile import dataset
from vprlib.files import write_csv
from vprlib.verify import verify


@pytest.fixture
def sets(tmp_path, photo):
    """Two splits of 3 places, 1 km apart; a query at each. Returns (rows by name, check)."""
    rows = {}
    for number, split in enumerate(("train", "test")):
        for place in range(3):
            for role, east in (("database", 0), ("query", 4)):
                name = f"{split}_{role}_{place}.jpg"
                photo(tmp_path / name, seed=len(rows))
                rows[name] = [split, role, 1000 * number + 50 * place + east, 0]

    def check(counts=(), **changes):
        lines = [",".join(map(str, [name, *row])) for name, row in (rows | changes).items()]
        (tmp_path / "own.csv").write_text("\n".join(["path,split,role,east,north", *lines]))
        declared = replace(dataset(tmp_path / "own.csv", Protocol("10 m", radius=10)), counts=dict(counts))
        write_csv(tmp_path / "images.csv", declared.table())
        verify(tmp_path / "out.json", images=tmp_path / "images.csv", dataset=declared, name="own", threads=2)
        return json.loads((tmp_path / "out.json").read_text())

    return tmp_path, check


def test_a_clean_set_passes(sets):
    _, check = sets
    report = check({("train", "query"): 3, ("val", "query"): 0})
    assert report["counts"] == {
        "train database": 3, "train query": 3, "val database": 0, "val query": 0, "test database": 3, "test query": 3,
    }  # fmt: skip
    assert report["sizes"] == {"32x24": 12}
    assert report["bounds_m"] == {"east": [0, 1104], "north": [0, 0]}
    assert (report["duplicates"], report["leaks"]) == ([], {})
    assert report["without_positives"] == {"train": 0, "val": 0, "test": 0}
    assert (report["dataset"], report["protocols"], report["radius"]) == ("own", ["10 m"], 10)


@pytest.mark.parametrize("damage", [lambda content: content[:-60], lambda content: b"", None])
def test_photos_that_cannot_be_read_are_named_and_counted(sets, refused, caplog, damage):
    root, check = sets
    for name in ("train_query_1.jpg", "test_database_2.jpg"):
        if damage:
            (root / name).write_bytes(damage((root / name).read_bytes()))
        else:
            (root / name).unlink()
    with refused(root / "train_query_1.jpg", "and 1 more, in the log"):
        check()
    assert str(root / "test_database_2.jpg") in caplog.text
    assert not (root / "out.json").exists()


def test_other_counts_than_the_declared_ones_are_refused(sets, refused):
    _, check = sets
    with refused("images.csv", "test has 3 query", "should have 4"):
        check({("train", "query"): 3, ("test", "query"): 4})


def test_duplicates_leaks_and_queries_without_positives_are_reported(sets, caplog):
    root, check = sets
    for copy in ("train_query_2.jpg", "test_query_0.jpg"):
        shutil.copy(root / "train_database_0.jpg", root / copy)
    far, near = ["train", "query", 500, 0], ["train", "query", 1052, 0]
    with caplog.at_level(logging.WARNING):
        report = check(**{"train_query_0.jpg": far, "train_query_1.jpg": near})
    group = ["test_query_0.jpg", "train_database_0.jpg", "train_query_2.jpg"]
    assert report["duplicates"] == [[str(root / name) for name in group]]
    assert report["leaks"] == {"train near test": 1}
    assert report["without_positives"] == {"train": 2, "val": 0, "test": 0}
    assert "1 duplicates" in caplog.text
    assert "1 leaks" in caplog.text
