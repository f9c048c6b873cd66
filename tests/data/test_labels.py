"""Labels are text as written, in every table that is written and read again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.data.image_table import read_image_table
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.layouts.photo_folder import folder_dataset
from vprlib.data.protocol import Protocol
from vprlib.evaluation.columns import TABLES, TEXT, is_number_column
from vprlib.evaluation.recall_table import join_results, query_conditions, read_results, read_sizes_table
from vprlib.io.files import write_csv

AWKWARD = [
    "NA",
    "N/A",
    "null",
    "NULL",
    "None",
    "nan",
    "NaN",
    "-inf",
    "1e5",
    "007",
    "1.50",
    "True",
    "no",
    "#N/A",
    "<NA>",
]
LISTED = "path,split,role,east,north"
texts = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("labels") / "table.csv"


def image_table(**columns):
    count = len(next(iter(columns.values())))
    table = pd.DataFrame({"path": [f"{i}.jpg" for i in range(count)], "split": "test", "role": "database"})
    return table.assign(east=np.arange(count) / 3, north=4e6, heading=np.nan, **columns)


@settings(deadline=None, derandomize=True)
@given(texts)
def test_any_label_comes_back_from_the_table_as_it_was(path, labels):
    write_csv(path, image_table(place=labels, time=labels, weather=labels))
    again = read_image_table(path)
    assert again.place.tolist() == labels
    assert again.time.tolist() == labels
    assert again.weather.astype(str).tolist() == labels  # columns of 0 and 1 only are integers
    assert again.east.tolist() == (np.arange(len(labels)) / 3).tolist()


def test_only_an_empty_cell_is_missing(path):
    write_csv(path, image_table(place=["NA", None, "nan"], weather=[None, "None", "0"]))
    again = read_image_table(path)
    assert again.place.isna().tolist() == [False, True, False]
    assert again.weather.isna().tolist() == [True, False, False]
    assert again.heading.isna().all()


def test_columns_of_0_and_1_select_queries_and_others_stay_text(path):
    write_csv(path, image_table(night=[1, 0, 1], some=[1.0, np.nan, 0.0], grade=["0", "01", "1"]))
    again = read_image_table(path)
    assert again.night.dtype == np.int64
    assert again.grade.tolist() == ["0", "01", "1"]
    assert Protocol("a", 25, queries="night").evaluated(again).tolist() == [True, False, True]
    assert Protocol("a", 25, queries="some").evaluated(again).tolist() == [True, False, False]
    assert Protocol("a", 25).evaluated(again).tolist() == [True] * 3


def test_a_csv_and_folders_keep_awkward_labels(tmp_path, path, photo):
    rows = []
    for i, label in enumerate(AWKWARD):
        rows += [
            f"{role}{i}.jpg,test,{role},{400_000 + 100 * i},5000000,{label},{label}" for role in ("database", "query")
        ]
        if "/" not in label:
            photo(tmp_path / "walk" / label / "1.jpg", seed=i)
    (tmp_path / "mine.csv").write_text("\n".join([f"{LISTED},place,weather", *rows]))
    write_csv(path, csv_dataset(tmp_path / "mine.csv", Protocol("own", 25, views_per_place=1)).table())
    again = read_image_table(path)
    assert again.place.tolist() == again.weather.tolist() == [label for label in AWKWARD for _ in range(2)]
    expected = {f"weather={label}" for label in AWKWARD} | {"all"}
    assert set(query_conditions(again[again.role == "query"], ["weather"], "x")) == expected
    write_csv(path, folder_dataset(tmp_path / "walk", Protocol("own", 25)).table())
    assert set(read_image_table(path).place) == {label for label in AWKWARD if "/" not in label}


def test_results_keep_names_and_conditions(path):
    rows = [
        {
            "dataset": "null",
            "run": run,
            "seed": 0,
            "k": 1,
            "recall": 0.1 + 0.2,
            "condition": f"city={run}",
            "rank": None,
        }
        | {"config_hash": "0012", "city": run, "error@1": np.nan, "train_set": ""}
        for run in AWKWARD
    ]
    write_csv(path, pd.DataFrame(rows))
    for again in (read_results(path), join_results([path], ["0012"]), read_sizes_table(path)):
        assert again.run.tolist() == again.city.tolist() == AWKWARD
        assert set(again.dataset) == {"null"}
        assert again.condition.tolist() == [f"city={run}" for run in AWKWARD]
        assert again.recall.tolist() == [0.1 + 0.2] * len(AWKWARD)
        assert (again["error@1"].dtype, again["rank"].dtype, again.seed.dtype) == (float, float, np.int64)
        assert again.train_set.isna().all()


def test_every_column_of_the_results_is_text_or_number():
    for table, columns in TABLES.items():
        if not table.endswith("images.csv"):
            for column in columns:
                name = column.replace("{k}", "5").replace("{q}", "50").replace("{share}", "90").replace("{by}", "score")
                assert is_number_column(name) != (column in TEXT or column == "(others)"), (table, column)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("role,roll", ""), ("role,place,places", ""), ("role,pitch,roll,tile", ""), ("role,pace", "place"),
        ("role,plce", "place"), ("role,tme", "time"), ("rle", None),
    ],
)  # fmt: skip
def test_a_column_like_another_is_a_condition_unless_that_one_is_required(tmp_path, refused, caplog, columns, told):
    width = columns.count(",")
    rows = [
        f"{r}{i}.jpg,test,{400_000 + 100 * i},5000000,{r}{',2' * width}" for r in ("database", "query") for i in (0, 1)
    ]
    (tmp_path / "mine.csv").write_text("\n".join([f"path,split,east,north,{columns}", *rows]))
    dataset = csv_dataset(tmp_path / "mine.csv", Protocol("own", 25))
    if told is None:
        with refused("mine.csv", "'rle'", "'role'"):
            dataset.table()
    else:
        assert set(columns.split(",")) <= set(dataset.table())
        assert bool(caplog.text) == bool(told)
        assert f"rename it if {told!r} is meant" in caplog.text or not told


def test_beside_degrees_no_column_is_a_misspelt_east_or_north(tmp_path, refused):
    def dataset(position, values):
        rows = [f"{r}{i}.jpg,test,{r},Y,{values}{i}" for r in ("database", "query") for i in (0, 1)]
        (tmp_path / "mine.csv").write_text("\n".join([f"path,split,role,eats,{position}", *rows]))
        return csv_dataset(tmp_path / "mine.csv", Protocol("own", 25))

    assert "eats" in dataset("lat,lon", "47.1,8.0").table()
    with refused("'eats'", "'east'"):
        dataset("north,x", "5000000,").table()


def test_a_csv_that_is_not_utf8_is_named(tmp_path, refused):
    (tmp_path / "mine.csv").write_bytes(f"{LISTED},city\na.jpg,test,query,1,2,K\xf6ln\n".encode("latin-1"))
    with refused(tmp_path / "mine.csv", "UTF-8"):
        csv_dataset(tmp_path / "mine.csv", Protocol("own", 25)).table()


def test_a_comma_at_the_end_of_each_row_shifts_nothing(tmp_path):
    rows = [f"{r}{i}.jpg,test,{r},{400_000 + 100 * i},5000000," for r in ("database", "query") for i in (0, 1)]
    (tmp_path / "mine.csv").write_text("\n".join([LISTED, *rows]))
    assert len(csv_dataset(tmp_path / "mine.csv", Protocol("own", 25)).table()) == 4
