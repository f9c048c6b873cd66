"""A `.mat` dbStruct as a dataset of one's own."""

import numpy as np
import pytest
from scipy.io import savemat

from tests.helpers.ground_truth import own_dataset, slow_positives
from vprlib.data.image_table import select_rows
from vprlib.data.layouts.dbstruct import mat_strings, read_mat_struct

UTM = np.array([[500_000.0], [4_000_000.0]])
DATABASE = UTM + np.array([[0, 20, 400], [0, 0, 0]])
QUERIES = UTM + np.array([[10, 401], [5, 0]])


@pytest.fixture
def struct(tmp_path):
    """Write a dbStruct and declare the dataset: struct(changed fields, keys of the configuration)."""

    def write(change=None, **keys):
        fields = {"whichSet": "test", "dbImage": cells("db0.jpg", "db1.jpg", "db2.jpg"), "utmDb": DATABASE}
        fields |= {"qImage": cells("q0.jpg", "q1.jpg"), "utmQ": QUERIES, "posDistThr": 25.0} | (change or {})
        savemat(tmp_path / "x.mat", {"dbStruct": {key: value for key, value in fields.items() if value is not None}})
        return own_dataset(tmp_path, {"mat": "x.mat"} | keys)

    return write


def cells(*names):
    column = np.empty((len(names), 1), object)
    column[:, 0] = names
    return column


def test_a_struct_is_read_with_its_photos_beside_it_or_in_folders(tmp_path, struct):
    for keys, folders in (({}, ("", "")), ({"database": "images", "queries": "asked"}, ("images/", "asked/"))):
        table = struct(**keys).table()
        paths = [f"{folders[0]}db{n}.jpg" for n in range(3)] + [f"{folders[1]}q{n}.jpg" for n in range(2)]
        assert table.path.tolist() == [str(tmp_path / path) for path in paths]
        assert table[["east", "north"]].to_numpy().T.tolist() == np.concatenate([DATABASE, QUERIES], 1).tolist()
        positives = struct(**keys).positives(table, "test")
        assert [rows.tolist() for rows in positives] == slow_positives(QUERIES.T, DATABASE.T, 25) == [[0, 1], [2]]


BAD = {
    "a missing field": ({"utmQ": None}, {}, "no field 'utmQ'", "utmDb"),
    "fewer positions than names": ({"utmQ": QUERIES[:, :1]}, {}, "utmQ", "2 x 2"),
    "another radius than the usual one": ({"posDistThr": 10.0}, {}, "posDistThr", "is 10 m", "write `radius: 10`"),
    "a radius that is text": ({"posDistThr": "far"}, {}, "posDistThr", "not one positive number"),
    "a list for a folder": ({}, {"queries": "x.mat"}, "is a file", "folder of its query photos"),
    "places without labels": ({}, {"views_per_place": 2}, "views_per_place"),
    "a photo that is query and database": ({"qImage": cells("q0.jpg", "db0.jpg")}, {}, "db0.jpg", "twice"),
}


@pytest.mark.parametrize(("change", "keys", "fragments"), [(c, k, f) for c, k, *f in BAD.values()], ids=BAD)
def test_a_struct_that_does_not_fit_is_refused(tmp_path, struct, refused, change, keys, fragments):
    with refused(tmp_path / "x.mat", *fragments):
        struct(change, **keys).table()


def test_a_file_that_is_no_matlab_file_is_refused(tmp_path, struct, refused):
    dataset = struct()
    (tmp_path / "x.mat").write_bytes(b"text")
    with refused(tmp_path / "x.mat", "cannot be read as a MATLAB file"):
        dataset.table()
    savemat(tmp_path / "x.mat", {"other": 1})
    with refused(tmp_path / "x.mat", "holds no dbStruct"):
        dataset.table()


def test_a_real_struct_with_another_order_of_its_fields_is_read_by_their_names(real_data, refused):
    mat = next((real_data / "other_dbstruct").iterdir())
    fields = read_mat_struct(mat)
    with refused(mat, "posDistThr", "write `radius: 10`"):
        own_dataset(mat.parent, {"mat": mat.name}).table()
    for radius, without in ((10, 155), (25, 0)):
        dataset = own_dataset(mat.parent, {"mat": mat.name, "radius": radius})
        table = dataset.table()
        database, query = (select_rows(table, "test", role) for role in ("database", "query"))
        assert (len(database), len(query)) == (953, 835)
        names = mat_strings(fields["dbImageFns"], "dbImageFns", mat)
        assert [path.endswith(name) for path, name in zip(database.path, names, strict=True)] == [True] * 953
        assert database[["east", "north"]].to_numpy().T.tolist() == fields["utmDb"].tolist()
        assert sum(not len(rows) for rows in dataset.positives(table, "test")) == without
