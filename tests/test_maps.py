import numpy as np
import pandas as pd

from vprlib import maps
from vprlib.datasets.base import ROLES, SPLITS, Dataset, Protocol
from vprlib.verify import positives


def drawn(tmp_path, table, protocols):
    """Two files of what `positives` finds in a table, one figure, and what was found."""
    declared = Dataset(index=None, files=(), root=None, protocols=protocols, access="")
    counts = {f"{s} {r}": int(((table.split == s) & (table.role == r)).sum()) for s in SPLITS for r in ROLES}
    found = {
        "dataset": "own",
        "protocols": ["p"],
        "radius": 10,
        "unit": protocols[0].unit,
        "within": protocols[0].within,
    }
    found |= {"counts": counts, "declared": {"test query": 1}, "sizes": [["32x24", 9]], "leaks": {"val near test": 7}}
    found |= {"positives": positives(table, declared), "duplicates": [["a", "b"], ["c", "d", "e"]]}
    found |= {"near_duplicates": {"hamming": 4, "pairs": {"test": 1234}}}
    figures = [maps.verification(tmp_path / name, table, found) for name in ("a.png", "b.png")]
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
    fig, found = drawn(tmp_path, table, (Protocol("10 m", 10), Protocol("3 m", 3)))
    train, test, *bars = [ax for ax in fig.axes if ax.axison]
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
    monkeypatch.setattr(maps, "MOST", 4)
    fig, _ = drawn(tmp_path, grown("test", 30, 20).assign(north=0.0), (Protocol("±2", 2, "frames"),))
    ax = fig.axes[0]
    assert [set(line.get_ydata()) for line in ax.lines] == [{0}, {-1}]
    assert ax.get_xlabel() == "position (frames)"
    cities = [grown("val", 20 + 2 * number, 5, city=f"c{number:02}") for number in range(maps.MOST + 2)]
    fig, _ = drawn(tmp_path, pd.concat(cities, ignore_index=True), (Protocol("10 m", 10, within="city"),))
    titles = [ax.get_title("left") for ax in fig.axes[: maps.MOST]]
    assert titles == [f"val, c{number:02}" for number in range(2, maps.MOST + 2)]
    assert "The 2 smallest parts have no map." in [text.get_text() for ax in fig.axes for text in ax.texts][-1]


def test_a_database_alone_and_many_photos_are_drawn(tmp_path):
    table = grown("test", 100_000, 0)
    fig, found = drawn(tmp_path, table, (Protocol("10 m", 10),))
    assert found["positives"] == []
    assert lines_of(fig.axes[0])["database"] == 100_000
    assert (tmp_path / "a.png").stat().st_size < 1_000_000
