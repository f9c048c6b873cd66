from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.dataset import Dataset
from vprlib.data.datasets.pittsburgh import PITTS30K
from vprlib.data.datasets.tokyo247 import TOKYO247, tokyo247_dataset, tokyo247_panorama
from vprlib.data.geometry import within
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.layouts.dbstruct import read_dbstruct, read_mat_struct
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError

CSV = "path,split,role,east,north"
GOOD = ["a.png,test,database,0,0", "b.png,test,database,100,0", "q.png,test,query,3,4"]


def cells(names):
    result = np.empty((len(names), 1), object)
    result[:, 0] = names
    return result


def fields(images="dbImage", queries="qImage", count=3):
    """The struct of 5 database images and `count` queries, in the published order."""
    struct = {"whichSet": "test", images: cells([f"000/{number:06d}_pitch1_yaw1.jpg" for number in range(5)])}
    struct |= {"utmDb": 585_000 + np.arange(10.0).reshape(2, 5)}
    struct |= {queries: cells([f"q{number}.jpg " for number in range(count)])}
    struct |= {"utmQ": 585_000 + np.arange(2.0 * count).reshape(2, count), "numDb": 5.0, "posDistThr": 25.0}
    return struct


def read(root, struct, place=lambda names: names):
    savemat(root / "x.mat", {"dbStruct": struct})
    folders = {"database": "images", "query": "queries"}
    return read_dbstruct(root, splits={"test": "x.mat"}, folders=folders, place=place)


@pytest.mark.parametrize(("images", "queries"), [("dbImage", "qImage"), ("dbImageFns", "qImageFns")])
def test_a_dbstruct_is_read_by_name_in_any_order(tmp_path, images, queries):
    expected = read(tmp_path, fields())
    assert expected.path.tolist()[:1] + expected.path.tolist()[5:] == [
        "images/000/000000_pitch1_yaw1.jpg", "queries/q0.jpg", "queries/q1.jpg", "queries/q2.jpg",
    ]  # fmt: skip
    assert expected.role.tolist() == 5 * ["database"] + 3 * ["query"]
    assert (expected.east - 585_000).tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert (expected.north - 585_000).tolist() == [5, 6, 7, 8, 9, 3, 4, 5]
    struct = fields(images, queries)
    for names in (list(reversed(struct)), sorted(struct)):
        pd.testing.assert_frame_equal(read(tmp_path, {name: struct[name] for name in names}), expected)


def test_a_dbstruct_of_a_single_query_is_read(tmp_path):
    table = read(tmp_path, fields(count=1))
    assert table.path.tolist()[5:] == ["queries/q0.jpg"]
    assert table.loc[5, ["east", "north"]].tolist() == [585_000, 585_001]


def test_a_dbstruct_that_cannot_be_used_is_named_in_one_line(tmp_path, refused):
    path = tmp_path / "x.mat"
    for struct, fragments in (
        ({k: v for k, v in fields().items() if k != "utmQ"}, ["'utmQ'", "utmDb"]),
        ({k: v for k, v in fields().items() if k != "dbImage"}, ["'dbImage'", "qImage"]),
        (fields() | {"utmDb": fields()["utmDb"].T}, ["utmDb", "(5, 2)", "2 x 5"]),
        (fields() | {"utmQ": np.ones((2, 4))}, ["utmQ", "(2, 4)", "2 x 3"]),
        (np.ones(3), ["dbStruct"]),
    ):
        with refused(path, *fragments):
            read(tmp_path, struct)
    savemat(path, {"other": fields()})
    with refused(path, "no dbStruct"):
        read_mat_struct(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_mat_file_is_named_in_one_line(tmp_path, refused, compressed):
    path = tmp_path / "x.mat"
    savemat(path, {"dbStruct": fields()}, do_compression=compressed)
    content = path.read_bytes()
    for kept in (*range(0, 400, 40), len(content) // 2, len(content) - 9):
        path.write_bytes(content[:kept])
        with refused(path):
            read_mat_struct(path)
    path.write_bytes(b"<html>not found</html>" * 20)
    with refused(path):
        read_mat_struct(path)


def test_twelve_consecutive_views_are_a_place_of_tokyo():
    assert tokyo247_panorama([str(number) for number in range(30)]) == [str(number // 12) for number in range(30)]


def own(root, *rows, header=CSV, views=None) -> Dataset:
    (root / "own.csv").write_text("\n".join([header, *rows, ""]))
    return csv_dataset(root / "own.csv", Protocol("own", radius=10, views_per_place=views))


def test_a_csv_dataset_becomes_a_table(tmp_path):
    declared = own(tmp_path, *GOOD, "/far/p.png,val,query,1,1", "v.png,val,database,1,1")
    table = declared.table()
    assert list(table.columns) == ["path", "split", "role", "place", "east", "north", "heading", "time"]
    assert table.path.tolist() == [str(tmp_path / name) for name in ("a.png", "b.png", "q.png", "/far/p.png", "v.png")]
    assert [found.tolist() for found in declared.positives(table, "test")] == [[0]]


def test_other_columns_of_a_csv_are_conditions(tmp_path):
    table = own(
        tmp_path,
        *(f"{row},{light}" for row, light in zip(GOOD, ("day", "day", "night"), strict=True)),
        header=f"{CSV},light",
    ).table()
    assert table.light.tolist() == ["day", "day", "night"]
    assert list(table.columns)[-2:] == ["time", "light"]


def test_a_protocol_is_chosen_by_its_name():
    raw = {"datasets": ["tokyo247"], "runs": {"a": {"train_set": "city"}}}
    first, _, every = TOKYO247.protocols
    assert [(one.views_per_place, one.framing) for one in TOKYO247.protocols] == [
        (12, "fixed"), (12, "shorter"), (None, "fixed"),
    ]  # fmt: skip
    assert get_dataset("tokyo247", parse_config(raw)).protocols == (first,)
    chosen = parse_config(raw | {"protocols": {"tokyo247": [every.name]}})
    assert get_dataset("tokyo247", chosen).protocols == (every,)
    with pytest.raises(
        InputError, match=f'protocols.tokyo247: unknown protocol "25 m, all view".*did you mean "{every.name}"'
    ):
        get_dataset("tokyo247", parse_config(raw | {"protocols": {"tokyo247": ["25 m, all view"]}}))


def test_a_protocol_of_one_s_own_changes_the_radius_of_another(refused):
    def asked(**protocols):
        own = {"walk": {"folder": "walk"}, "listed": {"pairs": "p.txt", "database": "a", "queries": "b"}}
        raw = {"datasets": ["walk"], "runs": {"a": {"train_set": "city"}}, "custom_datasets": own}
        return parse_config(raw | {"protocols": protocols})

    first, _, every = TOKYO247.protocols
    strict, views = {"name": "strict", "radius": 5}, {"name": "5", "radius": 5, "like": every.name}
    dataset = get_dataset("tokyo247", asked(tokyo247=[strict, first.name, views]))
    assert dataset.protocols == (replace(first, name="strict", radius=5), first, replace(every, name="5", radius=5))
    assert dataset.declared == TOKYO247.protocols
    assert dataset.own_protocol == first, "training and validation keep the dataset's own"
    assert (dataset.radius, dataset.views_per_place) == (25, 12)
    assert get_dataset("walk", asked(walk=["own", {"name": "b", "radius": 5}])).views_per_place == 1
    with refused("protocols.tokyo247", f'"{first.name}" is a protocol of the dataset', "another name"):
        get_dataset("tokyo247", asked(tokyo247=[{"name": first.name, "radius": 5}]))
    with refused("protocols.listed", "listed", "leave it out"):
        get_dataset("listed", asked(listed=[{"name": "b", "radius": 5}]))
    with refused("protocols.tokyo247", "`like` does nothing without a `radius`"):
        asked(tokyo247=[{"name": "b", "like": every.name}])
    with refused("protocols.walk", "'b' is given twice"):
        asked(walk=[{"name": "b", "radius": 5}, {"name": "b", "radius": 6}])


BAD_ROWS = {
    "misspelt column": (GOOD, "path,splt,role,east,north", "'splt'", "'split'"),
    "missing column": (GOOD, "path,split,role,east", "'north'"),
    "no coordinate": ([*GOOD, "n.png,test,query,,0"], CSV, "n.png", "east", "nan"),
    "infinite coordinate": ([*GOOD, "n.png,test,query,0,inf"], CSV, "n.png", "north", "inf"),
    "a word as coordinate": ([*GOOD, "n.png,test,query,0,x"], CSV, "n.png", "north is"),
    "no path": ([*GOOD, ",test,query,0,0"], CSV, "path"),
    "bad split": ([*GOOD, "n.png,tset,query,0,0"], CSV, "n.png", "split 'tset'", "train, val, test"),
    "bad role": ([*GOOD, "n.png,test,db,0,0"], CSV, "n.png", "role 'db'", "database, query"),
    "path given twice": ([*GOOD, "a.png,test,database,5,5"], CSV, "a.png", "twice"),
    "no query": (GOOD[:2], CSV, "test", "no query"),
    "no database": ([*GOOD, "n.png,val,query,0,0"], CSV, "val", "no database"),
    "nothing near": ([*GOOD[:2], "q.png,test,query,50,0"], CSV, "test", "10 m", "radius"),
    "no row": ([], CSV, "no image"),
    "empty": ([], "", "CSV"),
}


@pytest.mark.parametrize(("rows", "header", "fragments"), [(r, h, f) for r, h, *f in BAD_ROWS.values()], ids=BAD_ROWS)
def test_a_csv_that_cannot_be_used_is_refused_by_its_first_bad_row(tmp_path, refused, rows, header, fragments):
    with refused(tmp_path / "own.csv", *fragments):
        own(tmp_path, *rows, header=header).table()


def test_a_message_shows_a_value_as_it_stands_in_the_file(tmp_path, refused):
    with refused("east is nan,"):
        own(tmp_path, *GOOD, "n.png,test,query,,0").table()


def test_suppressing_views_needs_the_place_of_each_database_image(tmp_path, refused):
    placed = ["a.png,test,database,0,0,p", "b.png,test,database,0,1,p", "q.png,test,query,3,4,"]
    assert len(own(tmp_path, *placed, header=f"{CSV},place", views=2).table()) == 3
    with refused("place", "b.png"):
        own(tmp_path, placed[0], "b.png,test,database,0,1,", placed[2], header=f"{CSV},place", views=2).table()


def test_a_missing_file_comes_with_how_to_get_it(tmp_path, refused):
    with refused(tmp_path / "none.csv", "no such file", "Write this CSV"):
        csv_dataset(tmp_path / "none.csv", Protocol("own", radius=5)).table()
    config = parse_config(
        {"datasets": ["pitts30k"], "runs": {"a": {"train_set": "pitts30k"}}, "dataset_roots": {"pitts30k": "/none"}}
    )
    with refused("/none/datasets/pitts30k_train.mat", "ask its authors", "dataset_roots"):
        get_dataset("pitts30k", config).table()


def test_datasets_are_found_by_name_and_moved_by_roots(tmp_path):
    own(tmp_path, *GOOD)
    raw = {
        "datasets": ["mine"],
        "custom_datasets": {"mine": {"csv": str(tmp_path / "own.csv"), "radius": 7, "unit": "frames"}},
    }
    config = parse_config(raw | {"runs": {"a": {"train_set": "city"}}, "dataset_roots": {"tokyo247": "/elsewhere"}})
    assert get_dataset("mine", config).radius == 7
    assert get_dataset("mine", config).protocols[0].radius_text == "7 frames"
    assert len(get_dataset("mine", config).table()) == 3
    assert str(get_dataset("tokyo247", config).root) == "/elsewhere"
    with pytest.raises(InputError, match=r"roots\.city: it is rendered into data/city"):
        get_dataset(
            "city", parse_config(raw | {"runs": {"a": {"train_set": "city"}}, "dataset_roots": {"city": "/elsewhere"}})
        )
    assert get_dataset("pitts30k", config) == PITTS30K
    with pytest.raises(ValueError, match="did you mean 'pitts30k'"):
        get_dataset("pits30k", config)


def positives(table, radius):
    query, database = (table.loc[table.role == role, ["east", "north"]] for role in ("query", "database"))
    return np.array([len(found) for found in within(query, database, radius)])


def test_pitts30k_has_its_published_positives(real_data):
    index = partial(read_dbstruct, splits={"test": "pitts30k_test.mat"})
    table = index(real_data / "pitts30k_test", folders={"database": "", "query": "q"}, place=lambda names: names)
    counts = positives(table, 25)
    assert (len(counts), len(table)) == (6816, 16_816)
    assert counts.mean() == pytest.approx(142.1, abs=0.05)
    assert counts.min() == 24
    assert (positives(table, 10) == 0).sum() == 384


def test_tokyo_247_has_its_published_positives(real_data, tmp_path):
    with np.load(real_data / "tokyo247/tokyo247.npz", allow_pickle=False) as file:
        query, database = file["utmQ"], file["utmDb"]
    struct = {"qImage": cells([f"{n}.jpg" for n in range(315)]), "utmQ": query.T, "utmDb": database.T}
    savemat(tmp_path / "t.mat", {"dbStruct": struct | {"dbImage": cells([f"{n}.jpg" for n in range(75_984)])}})
    folders = {"database": "images", "query": "queries"}
    declared = tokyo247_dataset("t.mat", folders, radius=25, root=tmp_path, access="ask")
    table = declared.table()
    counts = np.array([len(found) for found in declared.positives(table, "test")])
    assert counts.mean() == pytest.approx(118.3, abs=0.05)
    assert counts.min() == 48
    assert table.place[table.role == "database"].nunique() == 75_984 / 12


def test_a_real_dbstruct_of_another_order_is_read_by_name(real_data):
    splits, folders = {"test": "msls_amman_d-20_d2-5.db"}, {"database": "", "query": "q"}
    table = read_dbstruct(real_data / "other_dbstruct", splits=splits, folders=folders, place=lambda names: names)
    assert (table.role == "database").sum() == 953
    assert (positives(table, 10) == 0).sum() == 155
    assert (positives(table, 25) == 0).sum() == 0
