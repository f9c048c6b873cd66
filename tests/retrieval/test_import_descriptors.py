"""Descriptors of other programs become our files: the same rows, whatever file, type and order they come in."""

import json
import logging
from contextlib import nullcontext

import h5py
import numpy as np
import pandas as pd
import pytest

from vprlib.data.image_table import hash_test_photos, read_image_table
from vprlib.io.files import open_h5, write_csv, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.retrieval.import_descriptors import import_descriptors

D = 5
COUNTS = {"database": 7, "query": 3}


def unit_rows(count, seed, dtype=np.float32):
    x_ND = np.random.default_rng(seed).normal(size=(count, D))
    return (x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)).astype(dtype)


@pytest.fixture
def given(tmp_path):
    """An image table, whose photos need not exist, and its descriptors as `.npy`: (folder, files, {role: rows})."""
    rows = [
        {"path": f"data/{role}/{n}.jpg", "split": split, "role": role, "east": 0.0, "north": 0.0}
        for role, count in COUNTS.items()
        for split, number in (("train", 2), ("test", count))
        for n in range(100 * (split == "train"), 100 * (split == "train") + number)
    ]
    write_csv(tmp_path / "images.csv", pd.DataFrame(rows))
    x = {"database": unit_rows(7, 0), "query": unit_rows(3, 1)}
    files = {"database": str(tmp_path / "db.npy"), "queries": str(tmp_path / "q.npy")}
    for path, rows_ND in zip(files.values(), x.values(), strict=True):
        np.save(path, rows_ND)
    return tmp_path, files, x


def imported(folder, files, **options):
    import_descriptors(folder / "out", images=folder / "images.csv", files=files, **options)
    result = {}
    for role, name in (("database", "database.h5"), ("query", "queries.h5")):
        with open_h5(folder / "out" / name) as file:
            result[role] = {kind: file[kind][()] for kind in file}
            attributes = dict(file.attrs)
    return result, attributes


def test_rows_in_the_order_of_the_table_are_kept(given):
    folder, files, x = given
    found, attributes = imported(folder, files)
    for role, rows_ND in x.items():
        assert list(found[role]) == ["raw"]
        np.testing.assert_array_equal(found[role]["raw"], rows_ND)
    assert attributes["photos"] == hash_test_photos(read_image_table(folder / "images.csv"))
    source = json.loads(attributes["model"])["source"]
    assert source["given"]["queries"] == {"file": "q.npy", "sha256": sha256_of_file(files["queries"])}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float16_stays_and_wider_types_become_float32(given, dtype):
    folder, files, _ = given
    x_ND = unit_rows(7, 2, dtype)
    np.save(files["database"], x_ND)
    found, _ = imported(folder, files)
    wanted = x_ND.astype(np.float16 if dtype == np.float16 else np.float32)
    assert found["database"]["raw"].dtype == wanted.dtype
    np.testing.assert_array_equal(found["database"]["raw"], wanted)


@pytest.mark.parametrize("form", ["list", "one file", "described"])
def test_rows_of_any_order_are_found_by_their_paths(given, form):
    """Also if photos of another split are among them, and if paths are relative to another folder."""
    folder, files, x = given
    rng = np.random.default_rng(3)
    one = {}
    for (role, rows_ND), key in zip(x.items(), files, strict=True):
        paths = [f"{role}/{n}.jpg" for n in range(len(rows_ND))] + [f"data/{role}/100.jpg"]
        order = rng.permutation(len(paths))
        shuffled = np.concatenate([rows_ND, unit_rows(1, 9)])[order]
        listed = [paths[n] for n in order]
        one |= {key: shuffled, f"{key}_paths": listed}
        if form == "list":
            np.save(files[key], shuffled)
            camera = " PINHOLE 640 480 510 510 320 240" if role == "query" else ""  # as hloc's lists of queries have it
            (folder / f"{key}.txt").write_text("".join(f"{path}{camera}\n" for path in listed) + "\n")
            files = files | {f"{key}_paths": str(folder / f"{key}.txt")}
        elif form == "described":  # a file of `vprlib describe`
            with h5py.File(folder / f"{key}.h5", "w") as file:
                file["descriptors"], file["paths"] = shuffled, listed
            files = files | {key: str(folder / f"{key}.h5")}
    if form == "one file":
        with h5py.File(folder / "one.h5", "w") as file:
            for name, values in one.items():
                options = {"chunks": True, "compression": "gzip"} if values is one.get(name.split("_")[0]) else {}
                file.create_dataset(name, data=values, **options)
        files = {"file": str(folder / "one.h5")}
    found, _ = imported(folder, files)
    for role, rows_ND in x.items():
        np.testing.assert_array_equal(found[role]["raw"], rows_ND)


@pytest.mark.parametrize("root", ["", "/far/away/"])
def test_the_whole_path_of_a_photo_never_means_another_one(tmp_path, refused, root):
    """The database is `1.jpg`, `2.jpg`, and `queries/1.jpg` is no other name of it."""
    paths = {"database": ["1.jpg", "2.jpg"], "query": ["queries/1.jpg", "queries/2.jpg"]}
    table = pd.DataFrame({"path": np.concatenate([*paths.values()]), "role": np.repeat([*paths], 2)})
    write_csv(tmp_path / "images.csv", table.assign(split="test", east=0, north=0))
    x_ND, order = unit_rows(4, 6), [2, 0, 3, 1]
    listed = [root + (paths["database"] + paths["query"])[n] for n in order]
    write_h5(tmp_path / "all.h5", {"descriptors": x_ND[order], "paths": listed})
    found, _ = imported(tmp_path, {"database": str(tmp_path / "all.h5"), "queries": str(tmp_path / "all.h5")})
    np.testing.assert_array_equal(np.concatenate([found[role]["raw"] for role in paths]), x_ND)
    write_h5(tmp_path / "q.h5", {"descriptors": x_ND[2:], "paths": [root + path for path in paths["query"]]})
    with refused("q.h5: descriptors: 1.jpg is not listed (2 of the 2 database photos"):
        imported(tmp_path, {"database": str(tmp_path / "q.h5"), "queries": str(tmp_path / "q.h5")})


def test_our_own_files_give_the_same_bits_for_each_kind_and_framing(given):
    folder, files, _ = given
    own = {"raw": unit_rows(7, 4, np.float16), "whitened": unit_rows(7, 5, np.float16)}
    with h5py.File(folder / "database.h5", "w") as file:
        for kind, rows_ND in own.items():
            file[kind] = rows_ND
    for kind, rows_ND in own.items():
        changed = files | {"database": str(folder / "database.h5")}
        found, _ = imported(folder, changed, kind=kind, framings=["fixed", "shorter"])
        assert found["database"][kind].tobytes() == rows_ND.tobytes()
        assert sorted(found["query"]) == [kind, f"{kind}@shorter"]


def test_our_own_files_of_other_photos_are_refused_without_a_list(given, refused):
    folder, files, x = given
    imported(folder, files)
    own = {"database": str(folder / "out/database.h5"), "queries": str(folder / "out/queries.h5")}
    found, _ = imported(folder, own)
    np.testing.assert_array_equal(found["database"]["raw"], x["database"])
    table = pd.read_csv(folder / "images.csv", dtype=str).drop(columns="table_checksum")
    table["path"] = table.path.str.replace("data/", "elsewhere/")
    write_csv(folder / "images.csv", table)
    with refused("out/database.h5: raw: holds the descriptors of other photos", f"photos of {folder}/images.csv; give"):
        imported(folder, own)
    for role, key in (("database", "database"), ("query", "queries")):
        (folder / f"{key}.txt").write_text("\n".join(f"{role}/{n}.jpg" for n in range(COUNTS[role])))
    found, _ = imported(folder, own | {f"{key}_paths": str(folder / f"{key}.txt") for key in own})
    np.testing.assert_array_equal(found["database"]["raw"], x["database"])


@pytest.mark.parametrize(
    ("database", "queries", "fault"),
    [
        ({"checkpoint": "1" * 64}, {"checkpoint": "2" * 64}, "another network (222222222222) than"),
        ({"checkpoint": "", "network": "resnet18"}, {"checkpoint": "2" * 64}, "another network (222222222222) than"),
        ({"checkpoint": "", "network": "resnet18"}, {"checkpoint": "", "network": "alexnet"}, "network (alexnet)"),
        ({"checkpoint": "1", "whitening": "3"}, {"checkpoint": "1", "whitening": "4"}, "another whitening (4) than"),
        ({"checkpoint": "1", "network": "a.pth"}, {"checkpoint": "1", "network": "b.pth"}, None),
        ({"checkpoint": "1", "whitening": "3"}, {"network": 5, "photos": np.arange(3)}, None),
    ],
)
def test_two_networks_are_refused_as_far_as_files_name_theirs(given, refused, database, queries, fault):
    folder, _, x = given
    for name, rows_ND, attributes in (("db", x["database"], database), ("q", x["query"], queries)):
        write_h5(folder / f"{name}.h5", {"whitened": rows_ND}, attributes)
    files = {"database": str(folder / "db.h5"), "queries": str(folder / "q.h5")}
    with refused("q.h5: whitened: was computed by", fault) if fault else nullcontext():
        imported(folder, files, kind="whitened")
    write_h5(folder / "q.h5", {"whitened": x["query"]}, database)
    imported(folder, files, kind="whitened")


def test_rows_of_other_lengths_are_normalised_with_a_warning(given, caplog):
    folder, files, x = given
    scaled = x["database"] * np.linspace(0.5, 30, 7, dtype=np.float32)[:, None]
    np.save(files["database"], scaled)
    with caplog.at_level(logging.WARNING):
        found, _ = imported(folder, files)
    np.testing.assert_allclose(np.linalg.norm(found["database"]["raw"], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found["database"]["raw"], x["database"], atol=1e-6)
    assert "db.npy: 7 of 7 rows are not of unit length (0.5 to 30)" in caplog.text
    assert "q.npy" not in caplog.text


def broken(kind, x_ND):
    """Descriptors that cannot be used."""
    if kind in ("nan", "zero"):
        x_ND = x_ND.copy()
        x_ND[4] = np.nan if kind == "nan" else 0
        return x_ND
    wide = x_ND.astype(np.longdouble)
    return {"whole numbers": (100 * x_ND).astype(int), "flat": x_ND.ravel(), "short": x_ND[:-1], "wide": wide}[kind]


@pytest.mark.parametrize(
    ("kind", "fragments"),
    [
        ("nan", ["row 4", "data/database/4.jpg", "not finite"]),
        ("zero", ["row 4", "data/database/4.jpg", "zero"]),
        ("whole numbers", ["7 x 5 of int64", "floating-point"]),
        ("flat", ["35 of float32", "photos x dimensions"]),
        ("wide", [f"7 x 5 of {np.dtype(np.longdouble)}", "16, 32 or 64 bits"]),
        ("short", ["has 6 rows", "7 database photos of the test split", "list of the photos"]),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(given, refused, kind, fragments):
    folder, files, x = given
    np.save(files["database"], broken(kind, x["database"]))
    with refused("db.npy", *fragments):
        imported(folder, files)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({2: "other/2.jpg"}, ["other/2.jpg is none of the database photos", "(1 such paths)"]),
        ({2: "3.jpg"}, ["3.jpg is listed twice"]),
        ({2: "database/100.jpg"}, ["data/database/2.jpg is not listed (1 of the 7"]),
        ({2: None}, ["lists 6 photos", "db.npy has 7 rows"]),
    ],
)
def test_a_list_that_does_not_fit_names_the_photo(given, refused, changes, fragments):
    folder, files, _ = given
    listed = [changes.get(n, f"database/{n}.jpg") for n in range(7)]
    (folder / "db.txt").write_text("\n".join(filter(None, listed)))
    with refused(*fragments):
        imported(folder, files | {"database_paths": str(folder / "db.txt")})


UNREADABLE = {
    "latin-1": (
        np.char.encode([f"été/{n}.jpg" for n in range(7)], "latin-1"),
        "_paths: cannot be read as paths in UTF-8",
    ),
    "UTF-8": (
        np.char.encode([f"été/{n}.png" for n in range(7)], "utf-8"),
        ": été/0.png is none of the database photos",
    ),
    "a column": (np.full((7, 1), b"1.jpg"), "_paths: is 7 x 1 of |S5; it has to be a row of texts"),
    "numbers": (np.arange(7), "_paths: is 7 of int64; it has to be a row of texts"),
    "one text": (b"1.jpg", "_paths: is a single value of object; it has to be a row of texts"),
    "a group": ({}, "_paths: is a group; it has to be a dataset"),
}


@pytest.mark.parametrize(("paths", "fragment"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_paths_in_a_file_are_one_line(given, refused, paths, fragment):
    folder, files, x = given
    with h5py.File(folder / "db.h5", "w") as file:
        file["database"] = x["database"]
        if isinstance(paths, dict):
            file.create_group("database_paths")
        else:
            file["database_paths"] = paths
    with refused(f"db.h5: database{fragment}"):
        imported(folder, files | {"database": str(folder / "db.h5")})


def test_other_faults_name_their_file(given, refused):
    folder, files, _ = given
    np.save(folder / "wide.npy", unit_rows(3, 1).repeat(2, axis=1) / np.sqrt(2).astype(np.float32))
    with refused("wide.npy: has 10 dimensions", "db.npy has 5"):
        imported(folder, files | {"queries": str(folder / "wide.npy")})
    with refused("descriptors.queries", "none.npy: no such file"):
        imported(folder, files | {"queries": str(folder / "none.npy")})
    (folder / "text.npy").write_text("no array")
    with refused("text.npy: cannot be read as a .npy array"):
        imported(folder, files | {"queries": str(folder / "text.npy")})
    np.savez(folder / "q.npz", x=unit_rows(3, 1))
    (folder / "q.npz").rename(folder / "zip.npy")
    with refused("zip.npy: is an .npz archive; save its array"):
        imported(folder, files | {"queries": str(folder / "zip.npy")})
    (folder / "zip.npy").write_bytes((folder / "zip.npy").read_bytes()[:100])
    with refused("zip.npy: cannot be read as a .npy array"):
        imported(folder, files | {"queries": str(folder / "zip.npy")})
    with h5py.File(folder / "q.h5", "w") as file:
        file["features"] = unit_rows(3, 1)
    with refused("q.h5: has no dataset raw or descriptors or queries; it has features"):
        imported(folder, files | {"queries": str(folder / "q.h5")})
