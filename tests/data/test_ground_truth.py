"""Ground truth in the formats of others: each file is written by the format's definition, and read to the same hits."""

import numpy as np
import pytest

from tests.helpers.ground_truth import own_dataset, slow_positives, write_list
from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.photo_lists import read_photo_list

UTM = np.array([500_000.0, 4_000_000.0])
DATABASE = UTM + np.array([[0, 0], [20, 0], [40, 0], [400, 0]])
QUERIES = UTM + np.array([[10, 5], [401, 0]])


@pytest.fixture
def npz(tmp_path):
    """Write a .npz and its lists, and declare the dataset: npz(change, keys of the configuration)."""

    def write(change=None, **keys):
        arrays = {"utmDb": DATABASE, "utmQ": QUERIES, "posDistThr": 25} | (change or {})
        np.savez(tmp_path / "gt.npz", **{key: value for key, value in arrays.items() if value is not None})
        write_list(tmp_path / "db.txt", [f"db/{n}.jpg" for n in range(4)])
        write_list(tmp_path / "q.txt", [f"q/{n}.jpg" for n in range(2)])
        return own_dataset(tmp_path, {"npz": "gt.npz", "database": "db.txt", "queries": "q.txt"} | keys)

    return write


def test_the_positions_of_an_npz_belong_to_the_photos_of_the_lists(tmp_path, npz):
    dataset = npz()
    table = dataset.table()
    assert table.path.tolist() == [
        str(tmp_path / f"{role}/{n}.jpg") for role, k in (("db", 4), ("q", 2)) for n in range(k)
    ]
    assert table[["east", "north"]].to_numpy().tolist() == [*DATABASE.tolist(), *QUERIES.tolist()]
    assert set(table.split) == {"test"}
    assert [rows.tolist() for rows in dataset.positives(table, "test")] == slow_positives(QUERIES, DATABASE, 25)
    assert [rows.tolist() for rows in dataset.positives(table, "test")] == [[0, 1], [3]]


@pytest.mark.parametrize("seed", range(5))
def test_an_npz_keeps_its_order_whatever_it_is(tmp_path, seed):
    rng = np.random.default_rng(seed)
    database, queries = UTM + rng.uniform(0, 200, (30, 2)), UTM + rng.uniform(0, 200, (12, 2))
    names = {"db": rng.permutation(30), "q": rng.permutation(12)}
    np.savez(tmp_path / "gt.npz", utmDb=database, utmQ=queries)
    for role, order in names.items():
        np.save(tmp_path / f"{role}.npy", [f"{role}/{n}.jpg" for n in order])
    keys = {"npz": "gt.npz", "database": "db.npy", "queries": "q.npy", "radius": 60}
    dataset = own_dataset(tmp_path, keys)
    table = dataset.table()
    assert [path.rpartition("/")[2] for path in table.path] == [f"{n}.jpg" for order in names.values() for n in order]
    assert [rows.tolist() for rows in dataset.positives(table, "test")] == slow_positives(queries, database, 60)


BAD_NPZ = {
    "a missing key": ({"utmQ": None, "utmq": QUERIES}, {}, "gt.npz", "'utmQ'", "did you mean 'utmq'"),
    "another number of rows": ({"utmDb": DATABASE[:3]}, {}, "gt.npz", "utmDb has 3 rows", "db.txt", "4 photos"),
    "transposed": ({"utmDb": DATABASE.T}, {}, "gt.npz", "utmDb is (2, 4)", "one row of east and north"),
    "text": ({"utmQ": QUERIES.astype(str)}, {}, "gt.npz", "utmQ is", "must be numbers"),
    "objects": ({"utmQ": QUERIES.astype(object)}, {}, "gt.npz", "cannot be read", "np.savez"),
    "another radius than the usual one": ({"posDistThr": 10}, {}, "gt.npz", "posDistThr", "10 m", "write `radius: 10`"),
    "a radius that is none": ({"posDistThr": [1, 2]}, {}, "gt.npz", "posDistThr", "not one positive number"),
    "a radius of zero": ({"posDistThr": 0}, {}, "gt.npz", "posDistThr", "not one positive number"),
    "degrees": ({"utmDb": DATABASE / 1e5 + 1e-6, "utmQ": QUERIES / 1e5 + 1e-6}, {}, "gt.npz", "degrees"),
    "no position": ({"utmQ": QUERIES * [np.nan, 1]}, {}, "gt.npz", "q/0.jpg", "east is nan"),
    "places without labels": ({}, {"views_per_place": 2}, "gt.npz", "views_per_place"),
}


@pytest.mark.parametrize(("change", "keys", "fragments"), [(c, k, f) for c, k, *f in BAD_NPZ.values()], ids=BAD_NPZ)
def test_an_npz_that_does_not_fit_is_refused(npz, refused, change, keys, fragments):
    with refused(*fragments):
        npz(change, **keys).table()


def test_a_radius_on_purpose_wins_over_that_of_the_file(npz, caplog):
    assert npz({"posDistThr": 10}, radius=25).radius == 25
    npz({"posDistThr": 10}, radius=25).table()
    assert "posDistThr: is 10 m, and the radius is set to 25 m" in caplog.text
    caplog.clear()
    npz({"posDistThr": None}).table()
    npz({"posDistThr": 10}, radius=10).table()
    assert "posDistThr" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY nothing", b"text"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, npz, refused, content):
    dataset = npz()
    (tmp_path / "gt.npz").write_bytes(content)
    with refused(tmp_path / "gt.npz", "cannot be read as a .npz"):
        dataset.table()


def test_photos_are_listed_as_text_as_an_array_or_by_their_folder(tmp_path, refused):
    (tmp_path / "frames").mkdir()
    for n in (8, 9, 10):
        (tmp_path / f"frames/{n:02}.jpg").touch()
    assert read_photo_list(tmp_path, "frames") == ["frames/08.jpg", "frames/09.jpg", "frames/10.jpg"]
    (tmp_path / "frames/7.jpg").touch()
    with refused(tmp_path / "frames", "order", "08.jpg or 7.jpg"):
        read_photo_list(tmp_path, "frames")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/a.txt").write_bytes("\ufeffb 1.jpg\r\n\r\n/far/ü.jpg\n".encode())
    assert read_photo_list(tmp_path, "lists/a.txt") == ["lists/b 1.jpg", "/far/ü.jpg"]
    np.save(tmp_path / "lists/a.npy", ["b 1.jpg", "../ü.jpg"])
    assert read_photo_list(tmp_path, "lists/a.npy") == ["lists/b 1.jpg", "lists/../ü.jpg"]


BAD_LISTS = {
    "empty": ("x.txt", b"\n \n", "lists no photo"),
    "not UTF-8": ("x.txt", "ü.jpg".encode("latin1"), "UTF-8"),
    "objects": ("x.npy", np.array(["a", 1], object), "cannot be read as an array of paths"),
    "numbers": ("x.npy", np.arange(3), "no array of strings"),
    "a table": ("x.npy", np.array([["a", "b"]]), "no array of strings"),
    "damaged": ("x.npy", b"\x93NUM", "cannot be read as an array of paths"),
}


@pytest.mark.parametrize(("name", "content", "fragment"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, refused, name, content, fragment):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        np.save(tmp_path / name, content, allow_pickle=True)
    with refused(tmp_path / name, fragment):
        read_photo_list(tmp_path, name)


@pytest.mark.parametrize("name", ["pitts30k_test", "tokyo247"])
def test_published_npz_files_are_read_with_lists_beside_them(real_data, tmp_path, name):
    source = real_data / name / f"{name}.npz"
    with np.load(source, allow_pickle=False) as file:
        counts = {"db": len(file["utmDb"]), "q": len(file["utmQ"])}
    for role, count in counts.items():
        write_list(tmp_path / f"{role}.txt", [f"{role}/{n:06}.jpg" for n in range(count)])
    lists = {"database": str(tmp_path / "db.txt"), "queries": str(tmp_path / "q.txt")}
    raw = {"datasets": ["own"], "runs": {"a": {"train_set": "city"}}}
    dataset = get_dataset("own", parse_config(raw | {"custom_datasets": {"own": {"npz": str(source)} | lists}}))
    table = dataset.table()
    positives = dataset.positives(table, "test")
    assert np.mean([len(rows) for rows in positives]) == pytest.approx(
        {"pitts30k_test": 142.1, "tokyo247": 118.3}[name], abs=0.05
    )
    assert min(map(len, positives)) == {"pitts30k_test": 24, "tokyo247": 48}[name]
