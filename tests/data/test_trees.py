"""Trees of photos and tables in the published layouts, in miniature."""

from dataclasses import replace

import pandas as pd
import pytest

from vprlib.data.datasets.gardens_point import GARDENS_POINT
from vprlib.data.datasets.msls import MSLS, MSLS_VAL, TRAIN, VAL
from vprlib.data.datasets.nordland import LIST, NORDLAND, nordland_dataset
from vprlib.data.datasets.utm_named_sets import SF_XL_SMALL, ST_LUCIA, SVOX
from vprlib.data.layouts.utm_names import parse_utm_name


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_city(root, city, role, rows, subtask=True):
    """`rows` of (key, east, north, pano, night, view, all), in the columns and the order of the published tables."""
    where = root / "train_val" / city / role
    where.mkdir(parents=True)
    table = pd.DataFrame(rows, columns=["key", "easting", "northing", "pano", "night", "view_direction", "all"])
    table = table.assign(unique_cluster=1, control_panel=False, lon=0.5, lat=0.25, ca=90.5, captured_at="2018-06-01")
    table = table.assign(sequence_key="s1", frame_number=range(7, 7 + len(table)))
    columns = {
        "raw.csv": ["key", "lon", "lat", "ca", "captured_at", "pano"],
        "postprocessed.csv": [
            "key",
            "easting",
            "northing",
            "unique_cluster",
            "control_panel",
            "night",
            "view_direction",
        ],
        "seq_info.csv": ["key", "sequence_key", "frame_number"],
    } | ({"subtask_index.csv": ["key", "all"]} if subtask else {})
    for name, kept in columns.items():
        table[kept].to_csv(where / name)


def write_msls(root, cities, subtask=True):
    for at, city in enumerate(cities):
        database = [(f"{city}d{n}", 1e5 * at + 10.0 * n, 0.0, n == 3, False, "Forward", True) for n in range(4)]
        queries = [
            (f"{city}near", 1e5 * at + 1, 0.0, False, True, "Sideways", True),
            (f"{city}other", 1e5 * at + 2, 0.0, False, False, "Forward", False),
            (f"{city}lost", 1e5 * at + 900, 0.0, False, False, "Forward", True),
            (f"{city}pano", 1e5 * at + 1, 0.0, True, False, "Forward", True),
        ]
        write_city(root, city, "database", database, subtask)
        write_city(root, city, "query", queries, subtask)


def test_msls_is_read_from_its_tables_without_panoramas(tmp_path):
    write_msls(tmp_path, VAL)
    dataset = replace(MSLS_VAL, root=tmp_path)
    table = dataset.table()
    assert table.path[0] == str(tmp_path / "train_val/cph/database/images/cphd0.jpg")
    assert table.city.tolist() == 6 * ["cph"] + 6 * ["sf"]
    query = table[table.role == "query"]
    assert [path.rpartition("/")[2] for path in query.path[:3]] == ["cphnear.jpg", "cphother.jpg", "cphlost.jpg"]
    assert query.light.tolist()[:2] == ["night", "day"]
    assert query["view"].tolist()[:2] == ["Sideways", "Forward"]
    assert query.frame.tolist()[:3] == [7, 8, 9]
    assert query[["heading", "time", "sequence"]].iloc[0].tolist() == [90.5, "2018-06-01", "s1"]
    assert query.subset740.tolist() == [1, 0, 0, 1, 0, 0]  # of the sub-task, and near a database image
    assert [len(found) for found in dataset.positives(table, "test")] == [3, 3, 0, 3, 3, 0]
    assert (table.split == "test").all()


def test_msls_trains_on_22_cities_and_validates_on_two(tmp_path):
    write_msls(tmp_path, (*TRAIN, *VAL))
    table = replace(MSLS, root=tmp_path).table()
    assert table[table.split == "train"].city.nunique() == 22
    assert sorted(table[table.split == "val"].city.unique()) == sorted(VAL)


def test_the_740_queries_are_refused_where_their_table_is_missing(tmp_path, refused):
    write_msls(tmp_path, VAL, subtask=False)
    dataset = replace(MSLS_VAL, root=tmp_path)
    with refused(tmp_path, "'25 m, 740, mixed'", "'subset740'", "subtask_index.csv"):
        dataset.table()
    everything = replace(dataset, protocols=tuple(one for one in dataset.protocols if "11k" in one.name))
    assert "subset740" not in everything.table()


def test_tables_of_msls_that_do_not_fit_are_named(tmp_path, refused):
    write_msls(tmp_path, VAL)
    dataset, path = replace(MSLS_VAL, root=tmp_path), tmp_path / "train_val/sf/query/raw.csv"
    whole = path.read_text()
    path.write_text("\n".join(whole.splitlines()[:-1]))
    with refused(path.parent, "raw.csv", "different images"):
        dataset.table()
    path.write_text(whole.replace("captured_at", "when"))
    with refused(path, "captured_at"):
        dataset.table()
    path.write_text(whole + whole.splitlines()[1] + "\n")
    with refused(path, "twice"):
        dataset.table()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@0544000.32@4177609.18@10@S@037.74472@-122.50057@NY0@@0@@@@201708@@.jpg",
         {"east": 544000.32, "north": 4177609.18, "zone": "10", "pano": "NY0", "heading": 0.0, "timestamp": "201708"}),
        ("@0@00002.3@@@@@17@@@@@@@@.jpg", {"east": 0, "north": 2.3, "pano": "17"}),
        ("@-12.50@-3@.png", {"east": -12.5, "north": -3}),
        ("@1.5@2.25.jpg", {"east": 1.5, "north": 2.25}),
        ("@1@2@33@U@55.6@12.5@a-b_c@@@@@@20180601@day_forward_cph@.jpg", {"note": "day_forward_cph", "pano": "a-b_c"}),
    ],
)  # fmt: skip
def test_names_with_at_signs_hold_their_fields(name, expected):
    found = parse_utm_name(name)
    assert {key: found[key] for key in expected} == expected
    assert "" not in found.values()


@pytest.mark.parametrize("name", ["x@1@2@.jpg", "@x@2@.jpg", "@1@.jpg", "@@@.jpg", "1.jpg"])
def test_names_without_a_position_have_no_fields(name):
    assert parse_utm_name(name) is None


def test_a_test_set_of_names_is_read_from_either_folder(tmp_path, refused):
    touch(tmp_path, "images/test/gallery/@0@0@56@J@-27.5@153@a_1@@@@@@@@.jpg", "images/test/gallery/@50@0@.jpg")
    touch(tmp_path, "images/test/queries/@3@4@56@J@@@b@@270@@@@200909@@.jpg", "images/test/queries/note.txt")
    dataset = replace(ST_LUCIA, root=tmp_path)
    table = dataset.table()
    assert table.role.tolist() == ["database", "database", "query"]
    assert table.place.tolist()[0::2] == ["a_1", "b"]
    assert table.loc[2, ["heading", "time"]].tolist() == [270, "200909"]
    assert [found.tolist() for found in dataset.positives(table, "test")] == [[0]]
    touch(tmp_path, "images/test/queries/@3@5@55@J@.jpg")
    with refused("zones 56S", "@0@0@56@J", "and 55S", "@3@5@55@J", "@50@0@.jpg does not give its zone"):
        dataset.table()
    touch(tmp_path, "images/test/queries/0001.jpg")
    with refused(tmp_path / "images/test/queries/0001.jpg", "@east@north@"):
        dataset.table()


def test_the_weathers_of_svox_are_protocols(tmp_path):
    touch(tmp_path, "images/test/gallery/@0@0@.jpg", "images/test/queries/@1@0@.jpg")
    touch(tmp_path, "images/test/queries_night/@2@0@.jpg", "images/test/queries_snow/@3@0@.jpg")
    table = replace(SVOX, root=tmp_path).table()
    assert table.weather.fillna("").tolist() == ["", "day", "night", "snow"]
    asked = {one.queries: table.path[table[one.queries] == 1] for one in SVOX.protocols}
    asked = {name: [path.rpartition("/")[2] for path in paths] for name, paths in asked.items()}
    assert asked["day"] == ["@1@0@.jpg"]
    assert asked["night"] == ["@2@0@.jpg"]
    assert asked["rain"] == []


def test_sf_xl_has_a_val_and_a_test_split(tmp_path):
    for split, queries in (("val", "queries"), ("test", "queries_v1")):
        touch(tmp_path, f"{split}/database/@0@0@.jpg", f"{split}/{queries}/@1@0@.jpg")
    table = replace(SF_XL_SMALL, root=tmp_path).table()
    assert table.split.tolist() == ["val", "val", "test", "test"]


def write_nordland(root, *seasons):
    for season in seasons:
        touch(root, *(f"{season}/images-{number:05d}.png" for number in range(1, 41)))
    listed = [number for number in range(1, 41) if number % 5]
    (root / LIST).write_text("".join(f"images-{number:05d}.png\n" for number in listed))
    return listed


def test_nordland_is_judged_by_the_ranks_of_its_listed_frames(tmp_path, refused):
    listed = write_nordland(tmp_path, "summer", "winter")
    dataset = replace(NORDLAND, root=tmp_path)
    table = dataset.table()
    assert len(table) == 2 * len(listed)
    assert table.season.unique().tolist() == ["summer", "winter"]
    assert table.path[4] == str(tmp_path / "summer/images-00006.png")
    assert table.east[4] == 4
    for protocol in dataset.protocols:
        found = replace(dataset, protocols=(protocol,)).positives(table, "test")[16]
        assert found.tolist() == [n for n in range(32) if abs(n - 16) <= protocol.radius]
    assert [one.radius for one in dataset.protocols] == [10, 2, 1]
    assert {one.unit for one in dataset.protocols} == {"frames"}
    (tmp_path / "winter/images-00006.png").unlink()
    with refused(tmp_path / "winter/images-00006.png", LIST):
        dataset.table()


def test_nordland_is_read_as_formatted_too(tmp_path):
    for role in ("database", "queries"):
        touch(tmp_path, *(f"images/test/{role}/@0@{n * 2.38:07.1f}@@@@@{n}@@@@@@@day2@.jpg" for n in range(12)))
    table = replace(NORDLAND, root=tmp_path).table()
    assert sorted(table.east[table.role == "query"]) == list(range(12))
    assert table.path[0].endswith(f"@{int(table.east[0])}@@@@@@@day2@.jpg")


def test_the_other_seasons_of_nordland_go_by_both_names(tmp_path):
    write_nordland(tmp_path, "spring", "autumn")
    table = replace(nordland_dataset("spring", "fall", access=""), root=tmp_path).table()
    assert table[table.role == "query"].season.unique().tolist() == ["fall"]


def test_gardens_point_is_judged_by_frames(real_data, tmp_path, refused):
    dataset = replace(GARDENS_POINT, root=real_data / "gardens_point")
    table = dataset.table()
    counts = {key: (table.split + " " + table.role == " ".join(key)).sum() for key in dataset.counts}
    assert counts == dataset.counts
    truth = [found.tolist() for found in dataset.positives(table, "test")]
    assert truth == [[n for n in range(200) if abs(n - frame) <= 2] for frame in range(200)]
    touch(tmp_path, "day_right/Image000.jpg", "night_right/Image.jpg")
    with refused("night_right/Image.jpg", "no frame number"):
        replace(GARDENS_POINT, root=tmp_path).table()
