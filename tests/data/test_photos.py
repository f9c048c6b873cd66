"""Which photos of a folder are read, and which role their folders give them."""

import logging
import os
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from vprlib.data import photos
from vprlib.data.folder_roles import read_folder_roles
from vprlib.data.layouts.photo_folder import folder_dataset
from vprlib.data.photos import list_photos
from vprlib.data.protocol import Protocol
from vprlib.images.decode import decode_photo
from vprlib.io.folders import walk_folders
from vprlib.jobs.inputs import Disk


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


# files that are left out


def test_one_line_counts_what_is_left_out_by_kind(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    touch(tmp_path, "a.jpg", "b/c.PNG", "d.HEIC", "b/e.heif", "f.mov", "g.DNG", "notes.txt", "LICENSE", ".h.heic")
    assert list_photos(tmp_path) == ["a.jpg", "b/c.PNG"]
    (line,) = [record.getMessage() for record in caplog.records]
    for part in ("2 photos are read", "2 HEIC (.heic, .heif)", "1 RAW (.dng)", "1 video (.mov)", "2 other", "`heif`"):
        assert part in line


def test_a_folder_of_nothing_that_can_be_read_says_what_there_is(tmp_path, refused):
    touch(tmp_path, *(f"IMG_{i}.HEIC" for i in range(7)))
    with refused(tmp_path, "holds no photo", "7 HEIC", "pillow-heif"):
        list_photos(tmp_path)


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    touch(tmp_path, "a.jpg", "b.webp", ".DS_Store")
    assert len(list_photos(tmp_path)) == 2
    assert not caplog.text


@pytest.fixture
def heif(monkeypatch):
    """Stand in for pillow-heif: it counts how often it is registered."""
    calls = []
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=lambda: calls.append(1)))
    photos.register_heif.cache_clear()
    yield calls
    photos.register_heif.cache_clear()


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path, heif):
    Image.new("RGB", (6, 4), "red").save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.HEIC")  # Pillow knows a file by its content
    assert list_photos(tmp_path) == ["a.HEIC"]
    assert decode_photo(tmp_path / "a.HEIC").shape == (3, 4, 6)
    assert heif == [1]


def test_a_heic_photo_that_cannot_be_decoded_says_what_is_needed(tmp_path, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    photos.register_heif.cache_clear()
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with refused(tmp_path / "a.heic", "pillow-heif"):
        decode_photo(tmp_path / "a.heic")
    photos.register_heif.cache_clear()


@pytest.mark.parametrize("suffix", ["avif", "jfif", "jpe"])
def test_what_else_phones_and_browsers_write_is_read(tmp_path, suffix):
    Image.new("RGB", (16, 16), "blue").save(tmp_path / f"a.{suffix}")
    assert list_photos(tmp_path) == [f"a.{suffix}"]
    assert decode_photo(tmp_path / f"a.{suffix}").float().mean((1, 2)).tolist() == pytest.approx([0, 0, 255], abs=20)


def test_a_name_that_is_not_utf8_is_refused_in_a_line_that_can_be_printed(tmp_path, refused):
    touch(tmp_path, "fine.jpg", "straße/ok.jpg")
    touch(tmp_path, os.fsdecode(b"calle_ni\xf1o/1.jpg"))
    with refused("calle_ni\\udcf1o/1.jpg", "1 of 3", "UTF-8", "convmv"):
        list_photos(tmp_path)


# folders


def test_hidden_folders_are_not_read(tmp_path):
    for folder in (".thumbnails", "@eaDir/IMG.jpg", "x/__MACOSX", "$RECYCLE.BIN", "lost+found", ".git/a/b"):
        touch(tmp_path, f"{folder}/a.jpg")
    touch(tmp_path, "x/a.jpg", "x.y/a.jpg")
    assert list_photos(tmp_path) == ["x.y/a.jpg", "x/a.jpg"]
    assert len(list_photos(tmp_path / ".thumbnails")) == 1, "the folder itself may be hidden"


def test_each_folder_is_read_once_under_its_own_name(tmp_path, caplog):
    touch(tmp_path, "walk/database/a.jpg", "walk/queries/b.jpg", "elsewhere/deep/c.jpg")
    links = {
        "walk/a_first": "queries",  # sorts before what it leads to
        "walk/database/up": "..",
        "walk/queries/self": ".",
        "walk/above": "../..",
        "walk/more": "../elsewhere",
        "elsewhere/back": "../walk/more",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    assert list_photos(tmp_path / "walk") == ["database/a.jpg", "more/deep/c.jpg", "queries/b.jpg"]
    for link in ("a_first", "database/up", "queries/self", "above", "more/back"):
        assert f"walk/{link} is not followed" in caplog.text


def test_what_is_walked_is_what_the_workflow_watches(tmp_path):
    touch(tmp_path, "walk/a/1.jpg", "walk/.hidden/2.jpg", "far/b/3.jpg")
    (tmp_path / "walk/link").symlink_to("../far")
    (tmp_path / "walk/loop").symlink_to("..")
    watched = Disk().folders_below(str(tmp_path / "walk"))
    assert watched == [str(tmp_path / "walk" / name) for name in ("a", "link", "link/b")]
    assert Disk().folders_below(str(tmp_path / "none")) == []
    assert list(walk_folders(tmp_path / "walk/a/1.jpg")) == []


def test_a_link_that_leads_to_itself_is_told_and_the_rest_is_read(tmp_path, caplog):
    touch(tmp_path, "database/a.jpg", "queries/b.jpg")
    links = {"loop": "loop", "queries/c.jpg": "c.jpg", "to": "fro", "fro": "to", "inner": "queries/b.jpg/x"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    (tmp_path / ".loop").symlink_to(".loop")
    assert list_photos(tmp_path) == ["database/a.jpg", "queries/b.jpg"]
    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.split()[1] for line in told) == sorted(str(tmp_path / link) for link in links)
    assert all("is not followed" in line and "to itself" in line for line in told)
    assert Disk().folders_below(str(tmp_path)) == [str(tmp_path / name) for name in ("database", "queries")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path, refused):
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "b").chmod(0)
    with refused(tmp_path / "b", "cannot be read"):
        list_photos(tmp_path)


# roles


def roles(*names):
    return {
        name: (row.split, row.role or "database", row.place)
        for name, row in zip(names, read_folder_roles("walk", names), strict=True)
    }


@pytest.mark.parametrize(
    ("folder", "role"),
    [
        ("db", "database"), ("Gallery", "database"), ("ref", "database"), ("references", "database"),
        ("query", "query"), ("Queries", "query"), ("queries_night", "query"), ("query_2", "query"), ("probe", "query"),
        ("q", "query"), ("probe_night", "query"), ("probes_1", "query"), ("database_2019", "database"),
        ("DB_a", "database"), ("ref_day", "database"), ("references_x", "database"), ("gallery_1", "database"),
    ],
)  # fmt: skip
def test_usual_names_of_roles_are_known(folder, role):
    assert roles("database/1.jpg", f"{folder}/2.jpg")[f"{folder}/2.jpg"] == ("test", role, "")


def test_a_place_may_have_a_letter_for_a_name():
    assert {row[1] for row in roles("p/1.jpg", "q/1.jpg").values()} == {"database"}
    assert roles("p/1.jpg", "q/1.jpg")["q/1.jpg"][2] == "q"


@pytest.mark.parametrize(
    ("folder", "split"), [("training", "train"), ("validation", "val"), ("valid", "val"), ("Test", "test")]
)
def test_usual_names_of_splits_are_known(folder, split):
    assert roles(f"{folder}/database/1.jpg")[f"{folder}/database/1.jpg"] == (split, "database", "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("database/q/2.jpg", ("test", "database", "q")),
        ("database/q/deep/2.jpg", ("test", "database", "q/deep")),
        ("queries/gallery/1.jpg", ("test", "query", "gallery")),
        ("query/ref/1.jpg", ("test", "query", "ref")),
        ("q/ref/1.jpg", ("test", "query", "ref")),
        ("database/database/1.jpg", ("test", "database", "database")),
        ("database/query_2/1.jpg", ("test", "database", "query_2")),
        ("queries/training/1.jpg", ("test", "query", "training")),
        ("database/test/1.jpg", ("test", "database", "test")),
        ("train/queries/test/1.jpg", ("train", "query", "test")),
        ("val/paris/gallery/train/1.jpg", ("val", "database", "paris/train")),
        ("train/tower/1.jpg", ("train", "database", "tower")),
        ("tower/valid/1.jpg", ("val", "database", "tower")),
    ],
)
def test_the_outermost_role_decides_and_places_below_have_any_name(path, expected):
    assert roles("database/x/0.jpg", "queries/x/0.jpg", path)[path] == expected


def test_areas_of_one_letter_are_no_queries_where_each_has_both_roles():
    found = roles(*(f"{area}/{role}/1.jpg" for area in "pq" for role in ("db", "queries")))
    assert {name: row[1] for name, row in found.items() if "/db/" in name} == dict.fromkeys(
        ["p/db/1.jpg", "q/db/1.jpg"], "database"
    )
    assert roles("2019/database/1.jpg", "2020/q/1.jpg")["2020/q/1.jpg"][1] == "query"


def test_places_with_names_of_roles_stay_places(tmp_path, photo, caplog):
    places = ("gallery", "q", "train", "proben", "Quercy")
    for i, place in enumerate(places):
        photo(tmp_path / "database" / place / "1.jpg", seed=i)
        photo(tmp_path / "queries" / place / "2.jpg", seed=i)
    dataset = folder_dataset(tmp_path, Protocol("own", radius=25))
    table = dataset.table()
    assert table.role.tolist() == ["database"] * 5 + ["query"] * 5
    assert [table.place[rows].tolist() for rows in dataset.positives(table, "test")] == [[p] for p in sorted(places)]
    (line,) = [record.getMessage() for record in caplog.records]
    for part in ("3 photos have a place", "database/train/1.jpg", "outermost role", "rename or move"):
        assert part in line


def test_nothing_is_said_of_ordinary_trees(caplog):
    roles("train/database/x/1.jpg", "train/queries/x/1.jpg", "test/db_1/proben/1.jpg", "test/q/Quercy/1.jpg")
    assert not caplog.text


@pytest.mark.parametrize(
    ("folder", "meant", "other"),
    [
        ("databse", "database", "query"), ("querys", "query", "db"), ("Galery", "gallery", "queries"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", ["", "train/"])
def test_a_misspelt_role_that_is_lacking_is_refused_with_the_known_names(refused, folder, meant, other, split):
    with refused("walk", repr(folder), repr(meant), "queries_*", "db"):
        roles("val/database/1.jpg", "val/queries/1.jpg", f"{split}{other}/1.jpg", f"{split}{folder}/2.jpg")


def test_two_misspelt_roles_are_no_two_places(refused):
    with refused("walk", "'databse'", "'database'"):
        roles("databse/1.jpg", "querys/1.jpg")


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (("proben/1.jpg", "tower/1.jpg"), "proben"),
        (("Quercy/1.jpg", "Paris/1.jpg"), "Quercy"),
        (("database/1.jpg", "proben/1.jpg"), "proben"),
        (("database/1.jpg", "queries/1.jpg", "Quercy/1.jpg"), "Quercy"),
        (("queries/1.jpg", "Referense/1.jpg"), "Referense"),
    ],
)
def test_a_folder_that_resembles_a_role_is_told_where_it_may_be_a_place(caplog, names, folder):
    place = next(name for name in names if name.startswith(folder))
    assert roles(*names)[place] == ("test", "database", folder)
    assert f"folder {folder!r} names no role; rename it if" in caplog.text


def test_photos_outside_of_named_roles_are_told(tmp_path, caplog):
    touch(tmp_path, "db/@400000@5000000@.jpg", "evening/@400001@5000000@.jpg", "evening/@400002@5000000@.jpg")
    assert set(folder_dataset(tmp_path, Protocol("own", radius=25)).table().role) == {"database"}
    for part in ("2 of 3 photos", "evening/@400001@5000000@.jpg", "queries_*"):
        assert part in caplog.text
    caplog.clear()
    roles("queries/1.jpg", "2.jpg")
    assert not caplog.text, "the rest of the photos are the database"
