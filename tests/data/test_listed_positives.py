"""Ground truth that lists the positives of each query instead of positions."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.helpers.ground_truth import own_dataset, write_list
from vprlib.data.image_table import read_image_table, select_rows
from vprlib.data.listed_positives import LISTED, LISTED_RADIUS, listed_table, read_listed_positives
from vprlib.data.protocol import Protocol
from vprlib.evaluation.correlated_queries import correlated_groups, position_groups
from vprlib.io.files import write_csv

PHOTOS = 6
LISTS = [[1, 0], [], [5], [3, 2, 4]]


@pytest.fixture
def listed(tmp_path):
    """Write lists of positives and of photos, and declare the dataset: listed(rows, keys)."""

    def write(rows, name="gt.json", database=PHOTOS, queries=None, **keys):
        if name.endswith("json"):
            (tmp_path / name).write_text(json.dumps(rows))
        elif isinstance(rows, np.ndarray):
            np.save(tmp_path / name, rows, allow_pickle=True)
        else:
            array = np.empty(len(rows), object)
            array[:] = rows
            np.save(tmp_path / name, array, allow_pickle=True)
        write_list(tmp_path / "db.txt", [f"db/{n}.jpg" for n in range(database)])
        write_list(tmp_path / "q.txt", [f"q/{n}.jpg" for n in range(len(rows) if queries is None else queries)])
        return own_dataset(tmp_path, {"positives": name, "database": "db.txt", "queries": "q.txt"} | keys)

    return write


def found(dataset):
    return [rows.tolist() for rows in dataset.positives(dataset.table(), "test")]


FORMS = {
    "lists": (LISTS, {}),
    "lists from one": ([[n + 1 for n in row] for row in LISTS], {}),
    "lists from one, told": ([[n + 1 for n in row] for row in LISTS], {"first_index": 1}),
    "numbered rows": ([[n, row] for n, row in enumerate(LISTS)], {}),
    "numbered rows in another order": ([[n, LISTS[n]] for n in (2, 0, 3, 1)], {}),
    "numbered rows from one": ([[n + 1, [m + 1 for m in row]] for n, row in enumerate(LISTS)], {}),
    "numbers given twice": ([row + row for row in LISTS], {}),
}


@pytest.mark.parametrize(("rows", "keys"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["gt.json", "gt.npy"])
def test_each_form_of_lists_gives_the_same_positives(listed, name, rows, keys):
    assert found(listed(rows, name, **keys)) == [sorted(row) for row in LISTS]


def test_a_single_positive_may_stand_without_a_list(listed):
    assert found(listed(np.array([0, 5, 2]), "gt.npy")) == [[0], [5], [2]]


@pytest.mark.parametrize("seed", range(6))
def test_positives_survive_the_csv_and_any_selection_of_rows(tmp_path, seed):
    rng = np.random.default_rng(seed)
    database, queries = rng.integers(1, 40), rng.integers(1, 30)
    lists = [np.flatnonzero(rng.random(database) < rng.choice([0, 0.1, 0.9])) for _ in range(queries)]
    table = listed_table([f"d{n}.jpg" for n in range(database)], [f"q{n}.jpg" for n in range(queries)], lists)
    write_csv(tmp_path / "images.csv", table)
    table = read_image_table(tmp_path / "images.csv")
    query, part = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    assert [rows.tolist() for rows in read_listed_positives(query, part)] == [rows.tolist() for rows in lists]
    kept, asked = rng.permutation(database)[: max(1, database // 2)], rng.permutation(queries)[: queries // 2]
    got = Protocol("own", LISTED_RADIUS, LISTED).positives(query.iloc[asked], part.iloc[kept])
    slow = [[row for row, n in enumerate(kept) if n in lists[q]] for q in asked]
    assert [rows.tolist() for rows in got] == slow


def test_an_image_table_of_positions_has_no_listed_positives(refused):
    table = pd.DataFrame({"path": ["a"], "east": [0.0], "north": [0.0]})
    with refused("listed_positives", "-R image_table"):
        Protocol("own", LISTED_RADIUS, LISTED).positives(table, table)


def east_of(lists, count):
    names = [[f"{role}{n}" for n in range(size)] for role, size in (("d", count), ("q", len(lists)))]
    return listed_table(*names, [np.array(row, int) for row in lists])


def test_queries_of_the_same_positives_are_one_place(tmp_path):
    table = east_of([[0, 1], [4], [0, 1], [], [], [3, 5], [8]], 9)
    position = table.loc[table.role == "query", ["east", "north"]].to_numpy()
    assert position_groups(position).tolist() == [0, 1, 0, 2, 3, 4, 5]


@pytest.mark.parametrize("step", [1, 3])
def test_a_traverse_of_overlapping_positives_is_cut_into_blocks(step):
    lists = [[n for n in range(step * q - 4, step * q + 5) if 0 <= n < 200 * step] for q in range(200)]
    table = east_of(lists, 200 * step)
    position = table.loc[table.role == "query", ["east", "north"]].to_numpy()
    alone = np.random.default_rng(0).random(200) < 0.5
    together = np.repeat(np.random.default_rng(0).random(20) < 0.5, 10)
    groups = [correlated_groups(position, LISTED_RADIUS, hit[:, None]).max() + 1 for hit in (alone, together)]
    assert groups[0] > 3 * groups[1]
    assert groups[1] < 40


def test_queries_of_places_apart_are_independent():
    lists = [[50 * q, 50 * q + 1] for q in range(60)]
    position = east_of(lists, 3000).query("role == 'query'")[["east", "north"]].to_numpy()
    hit = np.random.default_rng(0).random(60) < 0.5
    assert len(set(correlated_groups(position, LISTED_RADIUS, hit[:, None]))) == 60


BAD = {
    "another number of lists": (LISTS, {"queries": 3}, "the list has 4 rows", "q.txt has 3 photos"),
    "a number beyond the photos": ([[0], [9], [1], [2]], {}, "row 2 has the positive 9", "6 photos, numbered from 0"),
    "a gap beyond the photos": ([[0], [4, 5, 7]], {}, "row 2 has the positive 7", "numbered from 0"),
    "a negative number": ([[0], [-1]], {}, "row 2 has the positive -1"),
    "a zero where numbers begin at one": ([[1, [1]], [2, [0]]], {}, "row 2 has the positive 0", "numbered from 1"),
    "a zero in spite of the setting": ([[0], [1]], {"first_index": 1}, "row 1 has the positive 0", "first_index"),
    "numbers from zero or one": ([[1], [3, 2]], {}, "1 to 3 for 6 photos", "set `first_index`"),
    "numbers beyond, from zero or one": ([[1], [7]], {}, "1 to 7 for 6 photos", "set `first_index`"),
    "a query that is numbered twice": ([[0, [1]], [0, [2]]], {}, "must number the 2 queries", "each once"),
    "queries numbered from two": ([[2, [1]], [3, [2]]], {}, "must number the 2 queries", "0 or 1"),
    "queries that contradict the setting": ([[0, [1]], [1, [2]]], {"first_index": 1}, "from 0, not", "leave it out"),
    "columns that may be both": ([[0, 3], [1, 4], [2, 5]], {}, "two columns", "[[0, [3]], [1, [4]], ...]"),
    "text": ([["a"], [0]], {}, "row 1 is no list of whole numbers"),
    "fractions": ([[0], [1.0]], {}, "row 2 is no list of whole numbers"),
    "truth": ([[0], [True]], {}, "row 2 is no list of whole numbers"),
    "lists of lists": ([[[0], [1]], [[2], [3]]], {}, "row 1 is no list of whole numbers"),
    "no list at all": ({"0": [1]}, {"queries": 1}, "is no list"),
    "no positive": ([[], []], {}, "no query of the test split", "the listed positives", "check the list"),
    "another suffix": ([[0]], {"name": "gt.txt.json", "positives": "db.txt"}, "read from a .npy or .json"),
}


@pytest.mark.parametrize(("rows", "keys", "fragments"), [(r, k, f) for r, k, *f in BAD.values()], ids=BAD)
def test_lists_that_do_not_fit_are_refused(tmp_path, listed, refused, rows, keys, fragments):
    with refused(tmp_path, *fragments):
        listed(rows, **keys).table()


def test_a_json_file_that_is_none_is_refused(tmp_path, listed, refused):
    dataset = listed(LISTS)
    (tmp_path / "gt.json").write_text("[[0], [1")
    with refused(tmp_path / "gt.json", "cannot be read as JSON"):
        dataset.table()


def test_frames_around_the_last_photo_are_left_out_with_a_warning(listed, caplog):
    rows = [[n, list(range(max(n - 2, 0), n + 3))] for n in range(PHOTOS)]
    expected = [[m for m in range(PHOTOS) if abs(m - n) <= 2] for n in range(PHOTOS)]
    assert found(listed(rows)) == expected
    assert "3 positives beyond the last of the 6 photos" in caplog.text
    assert "the largest is 7" in caplog.text


def test_every_photo_as_a_positive_of_every_query_is_refused(listed, refused):
    with refused("every query", "the listed positives", "check the list"):
        listed([list(range(12))] * 3, database=12).table()


def test_the_table_of_vpr_bench_is_the_tolerance_of_two_frames(real_data, tmp_path, caplog):
    root = real_data / "gardens_point"
    keys = {"positives": root / "vprbench_ground_truth_new.npy", "database": root / "day_right"}
    dataset = own_dataset(tmp_path, keys | {"queries": root / "night_right"})
    assert found(dataset) == [[m for m in range(200) if abs(m - n) <= 2] for n in range(200)]
    assert "3 positives beyond the last of the 200 photos" in caplog.text
