"""Miniature files in the published layouts, each read to the right table; and the real ones, where they are."""

from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.datasets.pittsburgh import PITTS250K
from vprlib.data.datasets.tokyotm import SPLITS, TOKYOTM
from vprlib.data.image_table import select_rows
from vprlib.data.layouts.dbstruct import read_dbstruct
from vprlib.registry import FAMILIES, load_object

FOLDERS = {"database": "images", "query": "queries"}
HALF = np.arange(6.0).reshape(2, 3)


def names(count, form="a/{}/x.jpg"):
    return [form.format(number) for number in range(count)]


def cells(texts, nested=False):
    """A cell column of strings, each in a 1 x 1 cell of its own if nested."""
    result = np.empty((len(texts), 1), object)
    for row, text in enumerate(texts):
        result[row, 0] = cells([text]) if nested else text
    return result


def structure(images, queries, **more):
    return {"dbImageFns": images, "utmDb": HALF, "qImageFns": queries, "utmQ": HALF[:, :2] + 1, **more}


def write_v73(path, struct):
    """A struct as MATLAB's `save -v7.3` lays it out: cells are references to transposed uint16 text under #refs#."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs, top = file.create_group("#refs#"), file.create_group("dbStruct")
        top.attrs["MATLAB_class"] = np.bytes_("struct")

        def text(node, name, rows):
            codes = np.array([list(row.encode("utf-16-le")) for row in rows], np.uint8).view("<u2")
            stored = node.create_dataset(name, data=codes.T)
            stored.attrs["MATLAB_class"] = np.bytes_("char")
            return stored

        for field, value in struct.items():
            if isinstance(value, list):
                stored = [text(refs, f"{field}{number}", [one]).ref for number, one in enumerate(value)]
                column = np.array([stored], h5py.ref_dtype)
                top.create_dataset(field, data=column).attrs["MATLAB_class"] = np.bytes_("cell")
            elif isinstance(value, str):
                text(top, field, [value])
            elif isinstance(value, tuple):
                text(top, field, value)
            else:
                top.create_dataset(field, data=np.asarray(value).T).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def read(root, mat="x.mat"):
    return read_dbstruct(root, splits={"test": mat}, folders=FOLDERS, place=lambda names: names)


def expected(table, queries=2):
    assert table.path.tolist() == ["images/" + name for name in names(3)] + [
        "queries/" + name for name in names(queries)
    ]
    assert table.east.tolist() == [0, 1, 2, 1, 2]
    assert table.north.tolist() == [3, 4, 5, 4, 5]
    assert table.role.tolist() == 3 * ["database"] + 2 * ["query"]


@pytest.mark.parametrize("form", ["cells", "nested cells", "char matrix", "padded char matrix"])
def test_a_version_5_struct_is_read_whatever_its_strings_are(tmp_path, form):
    images, queries = names(3), names(2)
    if "cells" in form:
        images, queries = (cells(some, nested=form == "nested cells") for some in (images, queries))
    else:
        images, queries = (
            np.array([name.ljust(20 if "padded" in form else 0) for name in n]) for n in (images, queries)
        )
    savemat(tmp_path / "x.mat", {"dbStruct": structure(images, queries), "other": 3})
    expected(read(tmp_path))


@pytest.mark.parametrize("matrix", [False, True])
def test_a_version_7_3_struct_is_read_like_one_of_version_5(tmp_path, matrix):
    kind = tuple if matrix else list
    write_v73(tmp_path / "x.mat", structure(kind(names(3)), kind(names(2)), whichSet="test", numDb=np.ones((1, 1))))
    expected(read(tmp_path))


def test_a_damaged_version_7_3_file_is_named_in_one_line(tmp_path, refused):
    path = tmp_path / "x.mat"
    write_v73(path, structure(names(3), names(2)))
    content = path.read_bytes()
    for kept in range(0, len(content) - 1, 700):
        path.write_bytes(content[:kept])
        with refused(path):
            read(tmp_path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with refused(path, "no dbStruct"):
        read(tmp_path)


def test_a_struct_with_numbers_for_names_is_refused(tmp_path, refused):
    savemat(tmp_path / "x.mat", {"dbStruct": structure(HALF, cells(names(2)))})
    with refused(tmp_path / "x.mat", "dbImage holds", "not the name"):
        read(tmp_path)


def stamped(stamps):
    """Five views of place 0 at two times, three of place 1; the first view of each is a query, too."""
    views = ("0/201304/0", "0/201304/1", "0/201506/0", "0/201506/1", "1/201304/0", "1/200907/0")
    images = [f"p/{view}.jpg" for view in views]
    utm = np.array([[0, 0, 0, 0, 900, 900], np.zeros(6)])
    asked = [0, 4]
    times = np.array([[201304, 201304, 201506, 201506, 201304, 200907]], float)
    struct = {"dbImageFns": cells(images), "utmDb": utm, "qImageFns": cells([images[row] for row in asked])}
    struct |= {"utmQ": utm[:, asked], "posDistThr": 25.0}
    return struct | ({"dbTimeStamp": times, "qTimeStamp": times[:, asked]} if stamps else {})


def test_tokyo_time_machine_has_times_and_no_photo_that_finds_itself(tmp_path, refused):
    (tmp_path / "datasets").mkdir()
    for split in ("train", "val"):
        struct = stamped(stamps=True)
        for field in ("dbImageFns", "qImageFns"):
            struct[field] = cells([f"{split}/{name[0]}" for name in struct[field]])
        savemat(tmp_path / SPLITS[split], {"dbStruct": struct})
    dataset = replace(TOKYOTM, root=tmp_path)
    table = dataset.table()
    train = table[table.split == "train"]
    assert train[train.role == "query"].time.tolist() == ["201304", "201304"]
    assert train[train.role == "database"].time.tolist() == ["201304", "201506", "201506", "200907"]
    assert train.place.dropna().tolist() == [
        f"train/p/{one}" for one in ("0/201304", "0/201506", "0/201506", "1/200907")
    ]
    assert [found.tolist() for found in dataset.positives(table, "val")] == [[1, 2], [3]]
    query, database = select_rows(table, "val", "query"), select_rows(table, "val", "database")
    any_time = dataset.protocols[1].positives(query, database)
    assert [found.tolist() for found in any_time] == [[0, 1, 2], [3]]
    assert not table.path.duplicated().any()
    savemat(tmp_path / SPLITS["val"], {"dbStruct": {k: v for k, v in struct.items() if "Time" not in k}})
    with refused(tmp_path, "'25 m, another time'", "'time'"):
        dataset.table()
    struct["qTimeStamp"] = struct["qTimeStamp"][:, :1]
    savemat(tmp_path / SPLITS["val"], {"dbStruct": struct})
    with refused(tmp_path / SPLITS["val"], "qTimeStamp", "1 x 2"):
        dataset.table()


def test_pittsburgh_250k_in_miniature_is_read_by_its_declaration(tmp_path):
    (tmp_path / "datasets").mkdir()
    for at, split in enumerate(("train", "val", "test")):
        images = [f"00{at}/00{at}{number}_pitch1_yaw{number}.jpg" for number in range(3)]
        struct = structure(cells(images), cells(images[:2]), whichSet=split)
        savemat(tmp_path / f"datasets/pitts250k_{split}.mat", {"dbStruct": struct})
    table = replace(PITTS250K, root=tmp_path).table()
    assert table.split.value_counts().to_dict() == {"train": 5, "val": 5, "test": 5}
    assert table.path[3] == str(tmp_path / "queries_real/000/0000_pitch1_yaw0.jpg")
    assert table.place[0] == "0000"


def test_published_ground_truth_agrees_with_the_published_struct(real_data):
    root = real_data / "pitts30k_test"
    with np.load(root / "pitts30k_test.npz", allow_pickle=False) as file:
        published = {"database": file["utmDb"], "query": file["utmQ"]}
    index = partial(read_dbstruct, splits={"test": "pitts30k_test.mat"}, folders={"database": "", "query": "q"})
    table = index(root, place=lambda names: names)
    for role, where in published.items():
        assert np.array_equal(where, table.loc[table.role == role, ["east", "north"]])


PUBLISHED = [name for name in FAMILIES["dataset"] if not name.startswith("city")]
UNCOUNTED = {"tokyotm"}  # no public source with its counts was found


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_dataset_says_all_that_a_user_asks(tmp_path, refused, name):
    dataset = load_object("dataset", name)
    protocols = [protocol.name for protocol in dataset.protocols]
    assert len(set(protocols)) == len(protocols) > 0
    assert dataset.page.startswith("http")
    assert dataset.licence
    assert dataset.citation
    assert f"data/{dataset.root.name}" in dataset.access
    assert f"roots: {{{name}:" in dataset.access or name == "tokyo247"
    assert dataset.counts or name in UNCOUNTED
    assert all(count > 0 for count in dataset.counts.values())
    with refused(tmp_path / "none", "no such", dataset.access):
        replace(dataset, root=tmp_path / "none").table()
    config = {"datasets": [name], "runs": {"a": {"train_set": "city"}}, "protocols": {name: protocols}}
    assert get_dataset(name, parse_config(config)).protocols == dataset.protocols
