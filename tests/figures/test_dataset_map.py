import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vprlib.data.checks.verify import count_positives, verify_dataset
from vprlib.data.dataset import Dataset
from vprlib.data.image_table import APART, ROLES, SPLITS, has_no_coordinates, read_image_table, select_rows
from vprlib.data.layouts.photo_folder import folder_dataset
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.figures import dataset_map
from vprlib.figures.contact_sheet import plot_contact_sheet
from vprlib.figures.dataset_map import plot_verification
from vprlib.figures.error_map import plot_errors
from vprlib.figures.photo_sheets import plot_gallery
from vprlib.io.files import write_csv


def drawn(tmp_path, table, protocols, alike=()):
    """Two files of what `positives` finds in a table, one figure, and what was found; some photos may look alike."""
    declared = Dataset(read_images=None, files=(), root=None, protocols=protocols, access="")
    counts = {f"{s} {r}": int(((table.split == s) & (table.role == r)).sum()) for s in SPLITS for r in ROLES}
    found = {
        "dataset": "own",
        "protocols": ["p"],
        "radius": 10,
        "unit": protocols[0].unit,
        "within": protocols[0].same_column,
    }
    found |= {"counts": counts, "declared": {"test query": 1}, "sizes": [["32x24", 9]], "leaks": {"val near test": 7}}
    found |= {"positives": count_positives(table, declared), "placeless": False}
    found |= {"duplicates": [alike[:2], alike[2:]] if alike else []}
    listed = [(0, 4, 3, 1234.5), (1, 3, 4, 20.0), (1, 4, 4, 30.0)] if alike else []
    listed = [[alike[one], alike[other], bits, far] for one, other, bits, far in listed]
    found |= {"near_duplicates": {"max_hash_distance": 4, "pairs": {"test": 1234}, "listed": listed}}
    figures = [plot_verification(tmp_path / name, table, found) for name in ("a.png", "b.png")]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    return figures[0], found


def grown(split, database, queries, **columns):
    """Rows of a split: positions 4 m apart, at the north; queries 1 m to the east of the first ones."""
    rows = [(split, "database", 4.0 * i) for i in range(database)] + [
        (split, "query", 4.0 * i + 1) for i in range(queries)
    ]
    table = pd.DataFrame(rows, columns=["split", "role", "east"])
    paths = [f"{split}{columns}{number}" for number in range(len(table))]
    return table.assign(north=table.east * 2 + 7, path=paths, **columns)


def lines_of(ax):
    return {line.get_label(): len(line.get_xdata()) for line in ax.lines}


def test_the_page_shows_every_photo_and_every_query(tmp_path):
    table = pd.concat([grown("train", 50, 20), grown("test", 30, 40)], ignore_index=True)
    alike = [str(tmp_path / f"{name}.jpg") for name in "abcde"]
    for number, path in enumerate(alike):
        Image.new("RGB", (8, 6), (40 * number, 0, 0)).save(path)
    fig, found = drawn(tmp_path, table, (Protocol("10 m", 10), Protocol("3 m", 3)), alike)
    train, test, *bars = [ax for ax in fig.axes if ax.axison]
    shown = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title("left") for ax in shown] == [
        "the same file", "", "3 bits, 1,234 m apart", "", "4 bits, 20 m apart", "",
    ]  # fmt: skip
    assert [ax.texts[0].get_text().replace("\n", "")[-5] for ax in shown] == list("abaebd")
    assert [train.get_title("left"), test.get_title("left")] == ["train", "test"]
    assert lines_of(train) == {"database": 50, "query": 20}
    lost = len(set(found["positives"][1]["without"]) | set(found["positives"][2]["without"]))
    assert lines_of(test) == {"database": 30, "query": 40, "query without positives": lost}
    assert lost > 5
    assert test.get_aspect() == 1
    for ax, row in zip(bars, found["positives"], strict=True):
        assert [bar.get_height() for bar in ax.patches] == [count for *_, count in row["histogram"]]
        assert sum(bar.get_height() for bar in ax.patches) == row["queries"]
        centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
        np.testing.assert_allclose(centres, [(a + b) / 2 for a, b, _ in row["histogram"]])
        assert row["protocol"] in ax.get_title("left")
    said = " ".join(text.get_text() for ax in fig.axes for text in ax.texts).replace("\n", " ")
    for words in ("5 photos in 2 groups", "1,234 in test", "7 val near test", "40  ✓", f"{lost} of test"):
        assert words in said, words


def test_frames_have_a_lane_a_role_and_cities_a_map_each(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_map, "MOST", 4)
    fig, _ = drawn(tmp_path, grown("test", 30, 20).assign(north=0.0), (Protocol("±2", 2, "frames"),))
    ax = fig.axes[0]
    assert [set(line.get_ydata()) for line in ax.lines] == [{0}, {-1}]
    assert ax.get_xlabel() == "position (frames)"
    cities = [grown("val", 20 + 2 * number, 5, city=f"c{number:02}") for number in range(dataset_map.MOST + 2)]
    fig, _ = drawn(tmp_path, pd.concat(cities, ignore_index=True), (Protocol("10 m", 10, same_column="city"),))
    titles = [ax.get_title("left") for ax in fig.axes[: dataset_map.MOST]]
    assert titles == [f"val, c{number:02}" for number in range(2, dataset_map.MOST + 2)]
    assert "The 2 smallest parts have no map." in [text.get_text() for ax in fig.axes for text in ax.texts][-1]


def test_a_database_alone_and_many_photos_are_drawn(tmp_path):
    table = grown("test", 100_000, 0)
    fig, found = drawn(tmp_path, table, (Protocol("10 m", 10),))
    assert found["positives"] == []
    assert lines_of(fig.axes[0])["database"] == 100_000
    assert (tmp_path / "a.png").stat().st_size < 1_000_000


@pytest.fixture
def rooms(tmp_path, photo):
    """The image table of a folder with a sub-folder for each of 4 places, and what `verify` finds in it."""
    for number, name in enumerate(["bridge", "hall", "park", "tower"]):
        for view in range(3):
            photo(tmp_path / f"own/database/{name}/{view}.jpg", seed=10 * number + view, size=(64, 48))
        photo(tmp_path / f"own/query/{name}/0.jpg", seed=10 * number + 5, size=(64, 48))
    same = tmp_path / "own/database/hall/0.jpg"
    with Image.open(tmp_path / "own/database/tower/1.jpg") as one:
        one.save(same, quality=60)
    dataset = folder_dataset(tmp_path / "own", Protocol("by place", 25))
    write_csv(tmp_path / "images.csv", dataset.table())
    asked = {"images": tmp_path / "images.csv", "dataset": dataset, "name": "own", "max_hash_distance": 6, "threads": 2}
    return read_image_table(tmp_path / "images.csv"), verify_dataset(tmp_path / "verification.json", **asked)


def words(fig) -> str:
    everything = [text.get_text() for ax in fig.axes for text in ax.texts]
    labels = [part for ax in fig.axes for part in (ax.get_xlabel(), ax.get_ylabel(), ax.get_title("left"))]
    return " ".join([*everything, *labels, *(text.get_text() for text in fig.texts), fig.get_suptitle()])


def test_places_without_coordinates_have_no_metres_in_any_picture(tmp_path, rooms):
    table, found = rooms
    assert json.loads((tmp_path / "verification.json").read_text())["placeless"]
    protocol = Protocol("by place", 25)
    query, database = (select_rows(table, "test", role) for role in ("query", "database"))
    ranking = np.array([[0, 3], [6, 4], [6, 7], [0, 1]])  # right at rank 1, 2, 1 and never
    score = {"raw": np.ones((4, 2), np.float32)}
    right = protocol.positives(query, database)
    searched = Predictions(query, database, right, {"raw": ranking}, score, {"raw": 2}, {})
    figures = {
        "verification": plot_verification(tmp_path / "a.png", table, found),
        "errors": plot_errors(tmp_path / "b.svg", searched, title="t", protocol=protocol),
        "gallery": plot_gallery(tmp_path / "c.png", searched, title="t", protocol=protocol, rows=4),
        "contact": plot_contact_sheet(tmp_path / "d.png", table, title="t"),
    }
    said = {name: words(fig).replace("\n", " ") for name, fig in figures.items()}
    for name, text in said.items():
        for wrong in ("000,", " m ", "east", "e+06", "1e6"):
            assert wrong not in text, f"{name} says {wrong!r}"
    assert "no coordinates" in said["verification"]
    assert "positives, of the same place" in said["verification"]
    assert "bits, two places" in said["verification"]
    assert "no coordinates" in said["errors"]
    assert "recall@1 50.0 %" in said["errors"]
    same, other = "same place", "other place"
    expected = ["query 0", f"✓ {same}", f"✗ {other}", "query 1", f"✗ {other}", f"✓ {same}"]
    expected += ["query 2", f"✓ {same}", f"✓ {same}", "query 3", f"✗ {other}", f"✗ {other}"]
    captions = [ax.get_xlabel() for ax in figures["gallery"].axes]
    assert captions[-12:] == expected, "the random ones, of which all four queries are"
    assert "nearest" not in said["contact"]


def test_positions_of_a_map_are_not_taken_for_places():
    frames = pd.DataFrame({"east": [0.0, 4.0], "north": 0.0})
    assert not has_no_coordinates(frames, "m")
    assert not has_no_coordinates(pd.DataFrame({"east": [1e6, 2e6], "north": [5.0, 0.0]}), "m")
    assert has_no_coordinates(pd.DataFrame({"east": [0.0, APART, 7 * APART], "north": 0.0}), "m")
