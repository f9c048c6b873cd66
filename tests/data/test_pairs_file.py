"""Ground truth as pairs of names, as hloc and COLMAP write it."""

import numpy as np
import pytest

from tests.helpers.ground_truth import own_dataset, write_list
from vprlib.data.layouts.pairs_file import read_pairs_file
from vprlib.data.listed_positives import LISTED_POSITIVES

DATABASE = [f"db/{n:02}.jpg" for n in range(6)]
QUERIES = [f"query/{time}/{n:02}.jpg" for time in ("day", "night") for n in range(3)]


@pytest.fixture
def paired(tmp_path):
    """Write lines of pairs and photos in two folders, and declare the dataset."""

    def write(*lines, database=DATABASE, queries=QUERIES):
        for name in (*database, *queries):
            (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "images" / name).touch()
        write_list(tmp_path / "pairs.txt", lines)
        folders = {"database": "images/" + database[0].split("/")[0], "queries": "images/" + queries[0].split("/")[0]}
        return own_dataset(tmp_path, {"pairs": "pairs.txt"} | folders)

    return write


def found(dataset):
    return [rows.tolist() for rows in dataset.positives(dataset.table(), "test")]


@pytest.mark.parametrize("seed", range(8))
def test_pairs_in_any_order_and_direction_are_the_positives(paired, seed):
    rng = np.random.default_rng(seed)
    right = rng.random((len(QUERIES), len(DATABASE))) < 0.3
    right[0, 0] = True
    pairs = [(QUERIES[q], DATABASE[d]) for q, d in np.argwhere(right)]
    lines = [" ".join(pair if rng.random() < 0.5 else pair[::-1]) for pair in pairs for _ in range(rng.integers(1, 3))]
    assert found(paired(*rng.permutation(lines))) == [np.flatnonzero(row).tolist() for row in right]


FORMS = {
    "below the folders": "day/01.jpg 04.jpg",
    "with the folders": "query/day/01.jpg db/04.jpg",
    "with more folders": "images/query/day/01.jpg images/db/04.jpg",
    "the other way round": "db/04.jpg query/day/01.jpg",
    "with tabs and blanks": "  day/01.jpg\t db/04.jpg ",
    "with a dot": "./query/day/01.jpg ./db/04.jpg",
}


@pytest.mark.parametrize("line", FORMS.values(), ids=FORMS)
def test_a_name_is_the_end_of_a_path(paired, line):
    assert found(paired(line, "", "night/02.jpg db/05.jpg")) == [[], [4], [], [], [], [5]]


def test_a_name_may_be_absolute(tmp_path, paired):
    line = f"{tmp_path}/images/query/day/01.jpg {tmp_path}/images/db/04.jpg"
    assert found(paired(line)) == [[], [4], [], [], [], []]


def test_names_with_blanks_are_found(paired):
    database, queries = ["db/my place 1.jpg", "db/my place 2.jpg"], ["asked/a b.jpg", "asked/b.jpg"]
    dataset = paired("a b.jpg my place 2.jpg", "my place 1.jpg b.jpg", database=database, queries=queries)
    assert found(dataset) == [[1], [0]]


def test_names_of_both_folders_are_the_query_first(paired):
    database, queries = (["db/1.jpg", "db/2.jpg", "db/3.jpg"], ["asked/1.jpg", "asked/2.jpg"])
    assert found(paired("1.jpg 2.jpg", "2.jpg 1.jpg", database=database, queries=queries)) == [[1], [0]]
    named = paired("db/3.jpg asked/1.jpg", "asked/2.jpg db/2.jpg", database=database, queries=queries)
    assert found(named) == [[2], [1]]


def test_the_whole_path_of_a_database_photo_is_no_query(tmp_path):
    """Though the paths of the queries end with it."""
    lists = {"database": ["1.jpg", "2.jpg"], "queries": ["queries/1.jpg", "queries/2.jpg"]}
    for key, names in lists.items():
        write_list(tmp_path / f"{key}.txt", names)
    write_list(tmp_path / "pairs.txt", ["1.jpg queries/2.jpg", "queries/1.jpg 1.jpg", "1.jpg 2.jpg"])
    table = read_pairs_file(tmp_path, pairs="pairs.txt", lists={"database": "database.txt", "query": "queries.txt"})
    assert table[table.role == "query"][LISTED_POSITIVES].tolist() == ["0", "0"]


def test_pairs_of_one_role_are_left_out_and_counted(paired, caplog):
    lines = ("db/00.jpg db/01.jpg", "day/00.jpg db/00.jpg", "day/00.jpg night/01.jpg", "db/02.jpg db/03.jpg")
    assert found(paired(*lines)) == [[0], [], [], [], [], []]
    assert "3 pairs of two queries or of two database photos are left out" in caplog.text


BAD = {
    "an unknown query": (["day/00.jpg db/00.jpg", "day/09.jpg db/00.jpg"], "line 2: day/09.jpg is no photo"),
    "an unknown database photo": (["day/00.jpg db/77.jpg"], "line 1: db/77.jpg is no photo"),
    "another folder": (["query/dusk/00.jpg db/00.jpg"], "line 1: query/dusk/00.jpg is no photo"),
    "a name of several photos": (["01.jpg db/00.jpg"], "line 1: 01.jpg may be 2 photos", "more of its path"),
    "a single name": (["", "day/00.jpg"], "line 2: has one name", "QUERY DATABASE"),
    "COLMAP's matches": (["day/00.jpg db/00.jpg", "12 34"], "line 2: 12 is no photo"),
    "a comma": (["day/00.jpg,db/00.jpg"], "line 1: has one name"),
    "no pair": ([], "no pair"),
    "no pair of a query": (["db/00.jpg db/01.jpg"], "no pair of a query and a database photo"),
}


@pytest.mark.parametrize(("lines", "fragments"), [(lines, f) for lines, *f in BAD.values()], ids=BAD)
def test_pairs_that_do_not_fit_are_refused_with_their_line(tmp_path, paired, refused, lines, fragments):
    with refused(tmp_path / "pairs.txt", *fragments):
        paired(*lines).table()


def test_a_file_that_is_no_text_is_refused(tmp_path, paired, refused):
    dataset = paired("day/00.jpg db/00.jpg")
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00")
    with refused(tmp_path / "pairs.txt", "UTF-8"):
        dataset.table()
