"""Folders of frames whose positions are tracks: GPX, GeoJSON and KITTI's files."""

import json

import numpy as np
import pytest

from tests.helpers.ground_truth import own_dataset, slow_positives, write_list
from vprlib.data.geometry import to_utm
from vprlib.data.layouts.photo_folder import read_photo_folder
from vprlib.data.track_files import read_track


def gpx(points, kind="trkpt", head='<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1">'):
    inside = "".join(f'<{kind} lat="{lat:.9f}" lon="{lon:.9f}"><ele>3</ele></{kind}>' for lon, lat in points)
    return f"<?xml version='1.0' encoding='UTF-8'?>{head}<trk><trkseg>{inside}</trkseg></trk></gpx>"


def geojson(points, kind="LineString"):
    points = [[lon, lat, 7.0] for lon, lat in points]
    one = {"LineString": points, "MultiPoint": points, "MultiLineString": [points[:2], points[2:]]}
    if kind in one:
        return json.dumps({"type": kind, "coordinates": one[kind]})
    geometries = [{"type": "Point", "coordinates": point} for point in points]
    if kind == "line in a feature":
        geometries = [{"type": "LineString", "coordinates": points}]
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def oxts(points):
    return "".join(f"{lat:.9f} {lon:.9f} " + " ".join(["0.5"] * 28) + "\n" for lon, lat in points)


def poses(points):
    return "".join(f"1 0 0 {x:e} 0 1 0 -1.65 0 0 1 {z:e}\n" for x, z in points)


FORMS = {
    "gpx": ("track.gpx", gpx),
    "a route": ("track.GPX", lambda points: gpx(points, "rtept")),
    "waypoints without a namespace": ("track.gpx", lambda points: gpx(points, "wpt", "<gpx>")),
    "a line": ("track.geojson", geojson),
    "a line in a feature": ("track.json", lambda points: geojson(points, "line in a feature")),
    "lines": ("track.geojson", lambda points: geojson(points, "MultiLineString")),
    "points": ("track.json", lambda points: geojson(points, "points")),
    "one geometry of points": ("track.json", lambda points: geojson(points, "MultiPoint")),
    "oxts": ("track.txt", oxts),
}


@pytest.fixture
def walked(tmp_path):
    """Write two tracks and their frames, and declare the dataset: walked(name, database, queries, keys)."""

    def write(name, database, queries, **keys):
        for role, content, count in zip(("db", "q"), (database, queries), (5, 4), strict=True):
            (tmp_path / role).mkdir(exist_ok=True)
            (tmp_path / f"{role}_{name}").write_text(content)
            write_list(tmp_path / f"{role}.txt", [f"{role}/{n}.jpg" for n in range(count)])
        tracks = {"database_track": f"db_{name}", "queries_track": f"q_{name}"}
        return own_dataset(tmp_path, tracks | {"database": "db.txt", "queries": "q.txt"} | keys)

    return write


def random_way(rng, count, middle=(11.99, 48.1)):
    """Longitudes and latitudes near the edge of a UTM zone."""
    return np.array(middle) + rng.uniform(-6e-3, 6e-3, 2) + np.cumsum(rng.uniform(-2e-4, 2e-4, (count, 2)), 0)


@pytest.mark.parametrize(("name", "form"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_tracks_in_degrees_become_metres_of_one_zone_in_order(walked, name, form, seed):
    rng = np.random.default_rng(seed)
    database, queries = random_way(rng, 5), random_way(rng, 4)
    dataset = walked(name, form(database), form(queries), radius=600)
    table = dataset.table()
    longitude, latitude = np.concatenate([database, queries]).T
    east, north, _ = to_utm(latitude, longitude)
    assert np.abs(table[["east", "north"]].to_numpy() - np.stack([east, north], 1)).max() < 1e-3
    assert [path.rpartition("/")[2] for path in table.path] == [f"{n}.jpg" for n in (*range(5), *range(4))]
    place_N2 = table[["east", "north"]].to_numpy()
    positives = [rows.tolist() for rows in dataset.positives(table, "test")]
    assert positives == slow_positives(place_N2[5:], place_N2[:5], 600)


def test_poses_of_kitti_are_seen_from_above(walked, caplog):
    database = np.array([[0, 0], [0.1234, 10], [0.2, 20], [1, 30], [15, 31]])
    dataset = walked("poses.txt", poses(database), poses(database[1:] + 0.5), radius=11)
    table = dataset.table()
    assert np.abs(table[["east", "north"]].to_numpy() - np.concatenate([database, database[1:] + 0.5])).max() <= 5e-4
    positives = [rows.tolist() for rows in dataset.positives(table, "test")]
    assert positives == slow_positives(database[1:] + 0.5, database, 11)
    assert "from an origin each" in caplog.text


def test_a_frame_of_kitti_is_numbered_by_its_name(tmp_path, caplog):
    way = np.stack([np.arange(40.0), np.zeros(40)], 1) * 3
    (tmp_path / "00.txt").write_text(poses(way))
    frames = {"db": [3, 7, 11], "q": [39, 8]}
    for role, numbers in frames.items():
        write_list(tmp_path / f"{role}.txt", [f"{role}/{number:06}.png" for number in numbers])
    tracks = dict.fromkeys(("database_track", "queries_track"), "00.txt")
    dataset = own_dataset(tmp_path, tracks | {"database": "db.txt", "queries": "q.txt", "radius": 10})
    table = dataset.table()
    assert table.east.tolist() == [9, 21, 33, 117, 24]
    assert [rows.tolist() for rows in dataset.positives(table, "test")] == [[], [1, 2]]
    assert "from an origin each" not in caplog.text


def test_oxts_may_be_a_file_a_frame(tmp_path):
    way = random_way(np.random.default_rng(0), 12)
    (tmp_path / "data").mkdir()
    for number, line in enumerate(oxts(way).splitlines()):
        (tmp_path / f"data/{number:010}.txt").write_text(line + "\n")
    track = read_track(tmp_path / "data")
    assert np.allclose(track.position_N2, way, atol=1e-9)
    assert (track.degrees, track.numbered) == (True, True)


WAY = [[8.6 + n * 1e-4, 50.1] for n in range(5)]
BAD = {
    "fewer points": ("a.gpx", gpx(WAY[:3]), "db_a.gpx: has 3 points", "5 frames", "one point a frame", "EXIF"),
    "more points": ("a.geojson", geojson([*WAY, WAY[0]]), "has 6 points", "5 frames"),
    "fewer measurements": ("a.txt", oxts(WAY[:4]), "has 4 points", "5 frames", "numbers of their points"),
    "no points": ("a.gpx", gpx([]), "holds no points", "name a .gpx"),
    "no XML": ("a.gpx", "<gpx><trkpt", "cannot be read as GPX"),
    "entities": ("a.gpx", "<!DOCTYPE gpx [<!ENTITY a 'b'>]>" + gpx(WAY)[38:], "DOCTYPE", "remove it"),
    "a point without a longitude": ("a.gpx", gpx(WAY).replace(' lon="8.600200000"', ""), "point 3 has no position"),
    "a point that is none": ("a.gpx", gpx(WAY).replace("50.1", "nan", 1), "point 1 has no position"),
    "no JSON": ("a.json", "[[8.6", "cannot be read as GeoJSON"),
    "a list": ("a.json", json.dumps(WAY), "is no GeoJSON"),
    "an area": ("a.json", json.dumps({"type": "Polygon", "coordinates": [WAY]}), "holds a Polygon", "LineString"),
    "a feature without a geometry": ("a.json", json.dumps({"type": "Feature", "geometry": None}), "holds a None"),
    "other coordinates": (
        "a.json",
        json.dumps({"type": "LineString", "coordinates": WAY, "crs": {"properties": {"name": "EPSG:3857"}}}),
        "EPSG:3857",
        "WGS 84",
    ),
    "lines of other lengths": ("a.txt", "1 2 3\n", "lines of 3 numbers", "12 or 30"),
    "lines of two lengths": ("a.txt", poses(WAY) + oxts(WAY), "lines of 12, 30 numbers"),
    "words": ("a.txt", poses(WAY).replace("-1.65", "low").replace("1 0 0 8", "1 0 0 x8"), "point 1 has no position"),
    "another suffix": ("a.kml", "<kml/>", "is no track", ".gpx"),
    "not UTF-8": ("a.txt", "\ufeff\ud800", "cannot be read as a track"),
    "lines and points": (
        "a.json",
        geojson(WAY[:4], "points")[:-2] + ", " + geojson(WAY, "line in a feature").partition('"features": [')[2],
        "lines and points",
    ),
    "GPS without a fix": ("a.gpx", gpx([[0, 0], *WAY[1:]]), "0, 0", "0.jpg"),
    "latitude and longitude exchanged": ("a.json", geojson([[lat, lon + 90] for lon, lat in WAY]), "not a position"),
}


@pytest.mark.parametrize(("name", "content", "fragments"), [(n, c, f) for n, c, *f in BAD.values()], ids=BAD)
def test_a_track_that_does_not_fit_is_refused(tmp_path, walked, refused, name, content, fragments):
    form = {"gpx": gpx, "geojson": geojson, "json": geojson, "txt": oxts, "kml": gpx}[name.rpartition(".")[2]]
    dataset = walked(name, "", form(WAY[:4]))
    (tmp_path / f"db_{name}").write_bytes(content.encode("utf-8", "surrogatepass"))
    with refused(f"db_{name}", *fragments):
        dataset.table()


def test_degrees_and_metres_do_not_compare(tmp_path, walked, refused):
    dataset = walked("a.txt", poses(WAY), oxts(WAY[:4]))
    with refused(f"{tmp_path}/db_a.txt: is in metres", f"{tmp_path}/q_a.txt in degrees"):
        dataset.table()


def test_a_folder_of_oxts_has_one_line_a_file(tmp_path, refused):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0.txt").write_text(oxts(WAY))
    with refused(tmp_path / "data", "5 lines in 1 files"):
        read_track(tmp_path / "data")


def test_a_track_places_real_photos_where_their_exif_does(tmp_path, real_data):
    root = real_data / "opensfm_lund"
    rows = [line.split(",") for line in (root / "gps.csv").read_text().splitlines()[1:]]
    halves = {"db": rows[::2], "q": rows[1::2]}
    for role, half in halves.items():
        (tmp_path / f"{role}.gpx").write_text(gpx([(float(lon), float(lat)) for _, lat, lon, _ in half]))
        write_list(tmp_path / f"{role}.txt", [str(root / "images" / name) for name, *_ in half])
    tracks = {"database_track": "db.gpx", "queries_track": "q.gpx"}
    table = own_dataset(tmp_path, tracks | {"database": "db.txt", "queries": "q.txt"}).table()
    by_exif = read_photo_folder(root / "images").set_index("path")
    names = [path.rpartition("/")[2] for path in table.path]
    assert len(names) == len(by_exif) == 29
    assert np.abs(table[["east", "north"]].to_numpy() - by_exif.loc[names, ["east", "north"]].to_numpy()).max() < 0.05
