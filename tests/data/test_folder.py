"""Folders of one's own photos, without a list."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.geometry import to_utm
from vprlib.data.layouts.photo_folder import DIRECTION, EXIF, GPS, ORIGINAL, folder_dataset
from vprlib.data.protocol import Protocol

OWN = Protocol("own", radius=25)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def angle(value):
    value = abs(value)
    return (int(value), int(value * 60 % 60), value * 3600 % 60)


@pytest.fixture
def shoot(tmp_path):
    """Write a photo whose EXIF says where, which way and when it was taken."""

    def write(name, latitude, longitude, **more):
        tags = Image.Exif()
        gps = tags.get_ifd(GPS)
        gps |= {
            1: "S" if latitude < 0 else "N",
            2: angle(latitude),
            3: "W" if longitude < 0 else "E",
            4: angle(longitude),
        }
        gps |= {DIRECTION: more["heading"]} if "heading" in more else {}
        if "time" in more:
            tags.get_ifd(EXIF)[ORIGINAL] = more["time"]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, exif=tags)

    return write


def test_a_folder_of_photos_knows_where_they_were_taken(tmp_path, shoot):
    shoot("b/one.jpg", -33.86, -70.5, heading=12.5, time="2019:06:30 08:05:09")
    shoot("two.JPG", -33.8601, -70.5)
    touch(tmp_path, "readme.txt", ".hidden.jpg")
    table = folder_dataset(tmp_path, OWN).table()
    assert table.path.tolist() == [str(tmp_path / name) for name in ("b/one.jpg", "two.JPG")]
    assert set(table.split + table.role) == {"testdatabase"}
    assert table.loc[0, ["heading", "time"]].tolist() == [12.5, "20190630_080509"]
    east, north, _ = to_utm([-33.86, -33.8601], [-70.5, -70.5])
    assert np.allclose(table[["east", "north"]], np.stack([east, north], 1), atol=1e-3)
    assert table.north[0] - table.north[1] == pytest.approx(11.09, abs=0.05)


def test_sub_folders_tell_split_and_role(tmp_path):
    touch(tmp_path, "train/database/@0@0@.jpg", "train/queries/@1@0@.jpg", "test/gallery/x/@5@0@.png")
    touch(tmp_path, "test/queries_night/@6@0@.jpg")
    config = {
        "datasets": ["mine"],
        "custom_datasets": {"mine": {"folder": str(tmp_path)}},
        "runs": {"a": {"train_set": "city"}},
    }
    table = get_dataset("mine", parse_config(config)).table().sort_values("east")
    assert table.split.tolist() == ["train", "train", "test", "test"]
    assert table.role.tolist() == ["database", "query", "database", "query"]


def test_sub_folders_are_places_where_nothing_else_is_known(tmp_path, shoot, photo):
    for name in ("database/bridge/1.jpg", "database/bridge/2.jpg", "database/tower/1.jpg", "query/tower/9.jpg"):
        photo(tmp_path / name, seed=1)
    dataset = folder_dataset(tmp_path, OWN)
    table = dataset.table()
    assert table.place.tolist() == ["bridge", "bridge", "tower", "tower"]
    assert [found.tolist() for found in dataset.positives(table, "test")] == [[2]]


def test_a_folder_that_says_too_little_is_refused_in_one_line(tmp_path, shoot, photo, refused):
    ways = "GPS in their EXIF", "@east@north@", "a sub-folder for each place", "csv: FILE"
    dataset = folder_dataset(tmp_path / "none", OWN)
    with refused(tmp_path / "none", "no such", *ways):
        dataset.table()
    dataset = replace(dataset, root=tmp_path)
    with refused(tmp_path, "holds no photo"):
        dataset.table()
    photo(tmp_path / "a.jpg", seed=1)
    photo(tmp_path / "bridge/b.jpg", seed=2)
    with refused(f"{tmp_path}: none of its 2 photos has GPS", "1 of them (the first is a.jpg)", *ways):
        dataset.table()
    (tmp_path / "bridge/b.jpg").unlink()
    shoot("b.jpg", 10, 10)
    with refused("1 of 2 photos have no GPS", "the first is a.jpg", *ways):
        dataset.table()
    touch(tmp_path, "@1@2@.jpg")
    with refused("2 of 3 photos have no @east@north@", "the first is a.jpg", *ways):
        dataset.table()
    (tmp_path / "@1@2@.jpg").unlink()
    shoot("a.jpg", 10, 30)
    with refused(tmp_path, "degrees from", "one UTM zone"):
        dataset.table()
    (tmp_path / "a.jpg").write_text("<html>")
    with refused(tmp_path / "a.jpg", "cannot be read"):
        dataset.table()


def test_real_photos_lie_where_their_list_says(real_data):
    root = real_data / "opensfm_lund"
    table = folder_dataset(root, OWN).table()
    listed = pd.read_csv(root / "gps.csv").set_index("file")
    listed = listed.loc[[path.rpartition("/")[2] for path in table.path]]
    east, north, zone = to_utm(listed.lat, listed.lon)
    assert (len(table), zone) == (29, "33N")
    assert np.hypot(table.east - east, table.north - north).max() < 1
    local = 111_320 * np.stack([listed.lat, listed.lon * np.cos(np.radians(55.7))])  # a sphere's metres, good to 0.3 %
    ours = table[["east", "north"]].to_numpy()
    assert np.hypot(*(ours - ours[0]).T) == pytest.approx(np.hypot(*(local - local[:, :1])), rel=0.005, abs=0.5)


@pytest.mark.parametrize(
    ("folders", "asked"),
    [(("map", "live"), "does 'live' or 'map' hold the queries?"), (("map", "query"), ""), (tuple("abcdefgh"), "")],
)
def test_folders_that_name_no_role_ask_for_the_queries(tmp_path, photo, folders, asked, caplog):
    for number, folder in enumerate(folders):
        photo(tmp_path / f"{folder}/@{500_000 + number}@5000000@.jpg", number)
    folder_dataset(tmp_path, OWN).table()
    assert (asked in caplog.text) if asked else "hold the queries" not in caplog.text


def test_the_folders_of_vpr_datasets_downloader_need_no_list(tmp_path, photo):
    """`images/test/database/@east@north@zone@band@...@.jpg`, as its scripts write them."""
    for split in ("train", "val", "test"):
        for role, east in (("database", 500_000), ("queries", 500_004)):
            photo(tmp_path / f"images/{split}/{role}/@{east}.12@4500000.50@17@T@@@@@@@@@@@.jpg", east)
    table = folder_dataset(tmp_path / "images", OWN).table()
    assert sorted(zip(table.split, table.role, strict=True)) == sorted(
        (split, role) for split in ("train", "val", "test") for role in ("database", "query")
    )
    alone = folder_dataset(tmp_path / "images/test", OWN).table()
    assert alone.east.tolist() == [500_000.12, 500_004.12]
    assert alone.role.tolist() == ["database", "query"]
