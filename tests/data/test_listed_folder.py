"""A folder of photos whose roles two lists give, as hloc writes them."""

import pytest

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.photo_lists import read_photo_names

INTRINSICS = "SIMPLE_RADIAL 1600 1200 1469.2 800.0 600.0 -0.0353019"


@pytest.fixture
def images(tmp_path, photo):
    """Photos of three places 100 m apart, of two cameras, and one that is in no list."""
    for number in range(3):
        photo(tmp_path / f"images/db/@{500_000 + 100 * number}@5000000@.jpg", number)
        photo(tmp_path / f"images/query/night/@{500_005 + 100 * number}@5000000@.jpg", number)
    photo(tmp_path / "images/db/@509000@5000000@.jpg", 9)
    return tmp_path / "images"


def names(images, folder, count=3):
    return [path.relative_to(images).as_posix() for path in sorted((images / folder).rglob("*.jpg"))][:count]


def dataset(images, **changes):
    custom = {"folder": str(images), "database": str(images.parent / "db.txt")}
    custom |= {"queries": str(images.parent / "queries_with_intrinsics.txt")} | changes
    raw = {"datasets": ["walk"], "runs": {"a": {}}, "custom_datasets": {"walk": custom}}
    return get_dataset("walk", parse_config(raw))


def write_lists(images, database=None, queries=None):
    queries = [f"{name} {INTRINSICS}" for name in names(images, "query")] if queries is None else queries
    database = names(images, "db") if database is None else database
    (images.parent / "db.txt").write_text("\n".join(database) + "\n")
    (images.parent / "queries_with_intrinsics.txt").write_text("\n".join(queries) + "\n")


def test_the_lists_give_the_roles_and_the_photos_their_positions(images, caplog):
    caplog.set_level("INFO")
    write_lists(images)
    table = dataset(images).table()
    assert table.path.tolist() == [f"{images}/{name}" for name in [*names(images, "db"), *names(images, "query")]]
    assert table.role.tolist() == ["database"] * 3 + ["query"] * 3
    assert set(table.split) == {"test"}
    assert table.east.tolist() == [500_000, 500_100, 500_200, 500_005, 500_105, 500_205]
    assert [list(rows) for rows in dataset(images).positives(table, "test")] == [[0], [1], [2]]
    assert "1 of 7 photos are in no list and left out" in caplog.text


@pytest.mark.parametrize(
    ("lists", "fragments"),
    [
        ({"database": ["db/none.jpg"]}, ["db.txt", "1 of its 1 photos", "db/none.jpg", "path below that folder"]),
        ({"queries": ["db/@500000@5000000@.jpg"]}, ["queries_with_intrinsics.txt", "both lists"]),
        ({"queries": [""]}, ["queries_with_intrinsics.txt", "lists no photo"]),
    ],
)
def test_a_list_that_does_not_fit_the_folder_is_one_line(images, lists, fragments, refused):
    write_lists(images, **lists)
    with refused(*fragments):
        dataset(images).table()


def test_one_list_without_the_other_and_a_folder_for_a_list_are_refused(images, refused):
    write_lists(images)
    with refused("custom_datasets.walk", "`queries` is missing"):
        dataset(images, queries=None)
    with refused("is a folder; beside `folder`"):
        dataset(images, database=str(images / "db")).table()


def test_cameras_behind_names_are_no_part_of_them(tmp_path):
    lines = {
        f"query/day a.jpg {INTRINSICS}": "query/day a.jpg",
        "query/b.jpg PINHOLE 640 480 5.1e2 510 320 240": "query/b.jpg",
        "query/c.jpg\tOPENCV 640 480 500 500 320 240 0.1 -0.2 0 0": "query/c.jpg",
        "query/PINHOLE 2.jpg": "query/PINHOLE 2.jpg",
        "query/RADIAL 1 2 3.jpg": "query/RADIAL 1 2 3.jpg",
    }
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert read_photo_names(tmp_path / "list.txt") == list(lines.values())
