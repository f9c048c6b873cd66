"""Positions as others write them: degrees, several zones, both hemispheres, and GPS that holds no position."""

import logging
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from vprlib.data.geometry import from_utm, to_utm
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.layouts.photo_folder import GPS, STATUS, folder_dataset
from vprlib.data.positions import may_be_utm, parse_grid
from vprlib.data.protocol import Protocol, check_positives, warn_of_radii

OWN = Protocol("own", radius=25)
LISTED = "path,split,role"


def series(latitude, longitude, zone):
    """UTM by Krueger's series to the fourth power of n, written out: east, and north without a false northing."""
    n = 1 / (2 * 298.257223563 - 1)
    e = 2 * np.sqrt(n) / (1 + n)
    phi, lam = np.radians(latitude), np.radians(longitude - (6 * zone - 183))
    t = np.sinh(np.arctanh(np.sin(phi)) - e * np.arctanh(e * np.sin(phi)))
    xi, eta = np.arctan2(t, np.cos(lam)), np.arcsinh(np.sin(lam) / np.hypot(t, np.cos(lam)))
    alpha = (
        n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16 + 41 * n**4 / 180,
        13 * n**2 / 48 - 3 * n**3 / 5 + 557 * n**4 / 1440,
        61 * n**3 / 240 - 103 * n**4 / 140,
        49561 * n**4 / 161280,
    )
    radius = 0.9996 * 6378137 / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    terms = list(enumerate(alpha, 1))
    north = xi + sum(a * np.sin(2 * j * xi) * np.cosh(2 * j * eta) for j, a in terms)
    east = eta + sum(a * np.cos(2 * j * xi) * np.sinh(2 * j * eta) for j, a in terms)
    return 500_000 + radius * east, radius * north


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def own_csv(root, header, *rows):
    (root / "mine.csv").write_text("\n".join([header, *rows, ""]))
    return csv_dataset(root / "mine.csv", OWN)


def counts(dataset, split="test"):
    return [len(found) for found in dataset.positives(dataset.table(), split)]


@pytest.mark.parametrize(("latitude", "longitude", "zone"), [(55.7, 13.2, 33), (-33.9, 151.2, 56), (0.3, 32.6, 36)])
def test_a_position_and_its_metres_are_those_of_the_series(latitude, longitude, zone):
    east, north = series(latitude, longitude, zone)
    north += 1e7 * (latitude < 0)
    ours = to_utm([latitude], [longitude])
    assert (ours[0][0], ours[1][0]) == (pytest.approx(east, abs=1e-3), pytest.approx(north, abs=1e-3))
    back = from_utm([east], [north], [zone], [latitude < 0])
    assert np.allclose(np.ravel(back), [latitude, longitude], atol=1e-8)


# degrees


@pytest.mark.parametrize("swapped", [False, True])
def test_names_that_can_only_be_degrees_become_metres_and_the_log_says_the_zone(tmp_path, caplog, swapped):
    caplog.set_level(logging.INFO)
    spots = [(151.2001 + 0.0021 * i, -33.8702) for i in range(12)]  # 194 m apart
    for longitude, latitude in spots:
        first, second = (latitude, longitude) if swapped else (longitude, latitude)
        touch(tmp_path, f"database/@{first:.6f}@{second:.6f}@.jpg", f"queries/@{first:.6f}@{second:.6f}@a@.jpg")
    dataset = folder_dataset(tmp_path, OWN)
    assert counts(dataset) == [1] * 12
    table = dataset.table()
    database = table[table.role == "database"].sort_values("east")
    assert np.allclose(database.east, [series(-33.8702, longitude, 56)[0] for longitude, _ in spots], atol=1e-3)
    assert "zone 56S" in caplog.text


@pytest.mark.parametrize("first", [(48.137154, 11.576124), (11.576124, 48.137154), (-33.8702, 18.4241)])
def test_names_in_degrees_that_do_not_tell_their_order_are_refused(tmp_path, refused, first):
    for i in range(12):
        touch(tmp_path, f"database/@{first[0]:.6f}@{first[1] + i / 1000:.6f}@.jpg")
        touch(tmp_path, f"queries/@{first[0]:.6f}@{first[1] + i / 1000:.6f}@a@.jpg")
    with refused(tmp_path, f"@{first[0]:.6f}@", "within 90", "CSV", "latitude and longitude", "millimetres"):
        folder_dataset(tmp_path, OWN).table()


def test_one_longitude_beyond_90_tells_the_order_of_all_names(tmp_path):
    for i in range(12):
        touch(
            tmp_path,
            f"database/@{89.9995 + i / 1000:.6f}@36.5000@.jpg",
            f"queries/@{89.9995 + i / 1000:.6f}@36.5000@a@.jpg",
        )
    dataset = folder_dataset(tmp_path, OWN)
    table = dataset.table()
    assert counts(dataset) == [1] * 12
    assert np.ptp(table.north) < 50
    assert table.north.mean() == pytest.approx(series(36.5, 90.005, 46)[1], abs=50)


def test_small_metres_stay_metres(tmp_path):
    touch(tmp_path, *(f"database/@{i * 12.25:.3f}@{-i * 3}@.jpg" for i in range(6)), "queries/@12.000@-3@.jpg")
    table = folder_dataset(tmp_path, Protocol("own", radius=2)).table()
    assert table.east.max() == 5 * 12.25


def test_columns_of_a_csv_that_can_only_be_degrees_are_refused(tmp_path, refused):
    rows = [f"{role}{i}.jpg,test,{role},{7.40123 + i},46.95456" for i in range(3) for role in ("database", "query")]
    with refused(tmp_path / "mine.csv", "database0.jpg", "degrees", "latitude and longitude columns", "millimetres"):
        own_csv(tmp_path, f"{LISTED},east,north", *rows).table()
    rows = [f"{role}{i}.jpg,test,{role},{7.401 + i},46.955" for i in range(3) for role in ("database", "query")]
    assert len(own_csv(tmp_path, f"{LISTED},east,north", *rows).table()) == 6, "millimetres are metres"


def poses(centre, spread, count=50):
    database = np.random.default_rng(0).normal(centre, spread, (count, 2))
    query = database + np.random.default_rng(1).normal(0, spread / 100, (count, 2))
    pairs = (("database", database), ("query", query))
    return [f"{role}{i}.jpg,test,{role},{x:.8f},{y:.8f}" for role, rows in pairs for i, (x, y) in enumerate(rows)]


@pytest.mark.parametrize(("spread", "radius"), [(20, 25), (20, 2), (0.5, 0.1)])
def test_metres_of_a_local_origin_may_have_many_digits(tmp_path, caplog, spread, radius):
    (tmp_path / "mine.csv").write_text("\n".join([f"{LISTED},east,north", *poses((0, 0), spread)]))
    table = csv_dataset(tmp_path / "mine.csv", Protocol("own", radius)).table()
    assert table.east.abs().max() < 4 * spread
    assert "mine.csv: east and north are taken for metres" in caplog.text


@pytest.mark.parametrize(("centre", "spread"), [((13.4, 52.5), 0.05), ((120.4, 36.5), 0.01), ((9, 50), 2)])
@pytest.mark.parametrize("more", [[], ["x.jpg,test,query,0,0"]])
def test_degrees_of_a_town_or_a_country_are_refused_as_metres(tmp_path, refused, centre, spread, more):
    with refused(tmp_path / "mine.csv", "database0.jpg", "only be degrees", "25", "latitude and longitude columns"):
        own_csv(tmp_path, f"{LISTED},east,north", *poses(centre, spread), *more).table()


@pytest.mark.parametrize("header", ["latitude,longitude", "lat,lon", "Lat,Lng", "LATITUDE,LONGITUDE"])
def test_latitude_and_longitude_columns_become_metres(tmp_path, caplog, header):
    caplog.set_level(logging.INFO)
    rows = [f"{r}{i}.jpg,test,{r},{64.14 + i / 1000},-21.94" for i in range(4) for r in ("database", "query")]
    dataset = own_csv(tmp_path, f"{LISTED},{header}", *rows)
    table = dataset.table()
    assert counts(dataset) == [1] * 4
    assert list(table.columns) == ["path", "split", "role", "place", "east", "north", "heading", "time"]
    expected = [series(64.14 + i / 1000, -21.94, 27)[1] for i in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert np.allclose(table.north, expected, atol=1e-3)
    assert "zone 27N" in caplog.text


def test_positions_in_degrees_that_are_none_are_named(tmp_path, refused):
    good = [f"{r}{i}.jpg,test,{r},{64.14 + i / 1000},-21.94" for i in range(4) for r in ("database", "query")]
    for row, *fragments in (
        ("x.jpg,test,query,0,0", "1 of 9", "0, 0"),
        ("x.jpg,test,query,,-21", "not a position"),
        ("x.jpg,test,query,264,-21", "not a position"),
        ("x.jpg,test,query,40,-21", "24 degrees"),
    ):
        with refused(tmp_path / "mine.csv", "x.jpg", *fragments):
            own_csv(tmp_path, f"{LISTED},lat,lon", *good, row).table()


def test_east_and_north_go_before_degrees(tmp_path):
    rows = [f"{r}{i}.jpg,test,{r},{100 * i},0,64.1,-21.9" for i in range(4) for r in ("database", "query")]
    assert own_csv(tmp_path, f"{LISTED},east,north,lat,lon", *rows).table().east.max() == 300


# nothing where a position should be


@pytest.fixture
def gps(tmp_path):
    def write(name, latitude=(47, 22, 0), longitude=(8, 32, 0), **tags):
        exif = Image.Exif()
        exif.get_ifd(GPS).update({1: "N", 2: latitude, 3: "E", 4: longitude} | {int(k[1:]): v for k, v in tags.items()})
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, exif=exif)

    return write


NO_ANGLE = (IFDRational(0, 0), IFDRational(0, 1), IFDRational(0, 1))
FAULTS = {
    "null island": ({"latitude": (0, 0, 0), "longitude": (0, 0, 0)}, "GPS 0, 0"),
    "a void fix": ({f"t{STATUS}": "V"}, "GPS without fix"),
    "0/0": ({"latitude": NO_ANGLE}, "GPS that holds no numbers"),
    "no hemisphere": ({"t1": ""}, "GPS without N or S"),
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.values(), ids=FAULTS)
def test_gps_without_a_position_is_named_with_its_photo(tmp_path, gps, refused, caplog, fault, said):
    for i in range(3):
        gps(f"walk/DSC{i}.jpg", **(fault if i == 1 else {}))
        gps(f"void/DSC{i}.jpg", **fault)
        gps(f"places/p{i}/DSC{i}.jpg", **fault)
    with refused("1 of 3 photos have no GPS", f"DSC1.jpg: {said}"):
        folder_dataset(tmp_path / "walk", OWN).table()
    with refused("none of its 3 photos has GPS", f"DSC0.jpg: {said}"):
        folder_dataset(tmp_path / "void", OWN).table()
    assert len(folder_dataset(tmp_path / "places", OWN).table()) == 3
    assert f"DSC0.jpg: {said}" in caplog.text


def test_a_fix_on_the_equator_or_the_meridian_is_a_position(tmp_path, gps):
    gps("a.jpg", latitude=(0, 0, 0), longitude=(6, 44, 0), t9="A")
    gps("b.jpg", latitude=(0, 0, 1), longitude=(6, 44, 0))
    table = folder_dataset(tmp_path, OWN).table()
    assert abs(np.diff(table.north)[0]) == pytest.approx(30.7, abs=0.1)


def test_a_photo_at_zero_among_utm_metres_is_named(tmp_path, refused):
    touch(tmp_path, "@512000.00@5400000.00@.jpg", "@512010.00@5400000.00@.jpg", "@0.00@0.00@.jpg")
    with refused("@0.00@0.00@.jpg", "0, 0"):
        folder_dataset(tmp_path, OWN).table()


# zones


def name_of(latitude, longitude, zone, band, folder):
    east, north = series(latitude, longitude, zone)
    return f"{folder}/@{east:.3f}@{north + 1e7 * (latitude < 0):.3f}@{zone}@{band}@.jpg"


def test_neighbouring_zones_become_one_grid_in_which_distances_hold(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    longitudes = 12 + np.array([-9, -5, -1, 1, 5, 9, 13]) * 1e-4  # 4 of 6 gaps are 25.3 m at 49.5 degrees north
    for number, longitude in enumerate(longitudes):
        zone = 32 if longitude < 12 else 33
        touch(tmp_path, name_of(49.5, longitude, zone, "U", "queries" if number == 2 else "database"))
    dataset = folder_dataset(tmp_path, Protocol("own", radius=30))
    table = dataset.table().sort_values("east")
    assert np.allclose(table.east, [series(49.5, longitude, 33)[0] for longitude in longitudes], atol=2e-3)
    across = 6378137 / np.sqrt(1 - 0.00669438 * np.sin(np.radians(49.5)) ** 2) * np.cos(np.radians(49.5))
    gaps = [np.hypot(*np.subtract(b, a)) for a, b in pairwise(table[["east", "north"]].to_numpy())]
    assert gaps == pytest.approx(np.radians(np.diff(longitudes)) * across, rel=1e-3)
    assert [len(found) for found in dataset.positives(table, "test")] == [2], "one in each zone"
    assert "32N" in caplog.text
    assert "33N" in caplog.text


@pytest.mark.parametrize("sides", ["MN", "Mn", "KP"])
def test_both_sides_of_the_equator_are_one_plane(tmp_path, sides):
    south, north = sides
    for latitude in (-0.0001, -0.01):
        touch(tmp_path, name_of(latitude, 100.5, 47, south, "database"))
    touch(tmp_path, name_of(0.0001, 100.5, 47, north, "queries"), name_of(0.01, 100.5, 47, north, "database"))
    dataset = folder_dataset(tmp_path, OWN)
    assert counts(dataset) == [1]
    table = dataset.table()
    assert table.north.min() == pytest.approx(-table.north.max(), abs=1e-6)
    assert table.north.max() == pytest.approx(1105.7, abs=0.5)  # 0.01 degrees


def test_the_south_alone_keeps_its_published_northings(tmp_path):
    names = [name_of(-33.9 - i / 100, 151.2, 56, "H", "database") for i in range(3)]
    touch(tmp_path, *names)
    assert folder_dataset(tmp_path, OWN).table().north.min() > 6e6


def test_zones_too_far_apart_are_refused_with_a_photo_of_each(tmp_path, refused):
    near, far = name_of(49, 2.35, 31, "U", "database"), name_of(40.7, -74, 18, "T", "queries")
    touch(tmp_path, near, far)
    with refused("31N", near, "18N", far, "two datasets"):
        folder_dataset(tmp_path, OWN).table()


def test_of_several_zones_each_photo_says_its_own_and_band(tmp_path, refused):
    touch(tmp_path, name_of(49, 11.99, 32, "U", "database"), name_of(49, 12.01, 33, "", "queries"))
    with refused("32N", "33 (", "zone and band"):
        folder_dataset(tmp_path, OWN).table()


@pytest.mark.parametrize(("header", "zones"), [("zone", ("32U", "33U")), ("utm_zone,utm_band", ("32,U", "33,U"))])
def test_a_csv_with_zones_becomes_one_grid(tmp_path, header, zones):
    rows = []
    for i, (longitude, zone, number) in enumerate([(11.9999, zones[0], 32), (12.0001, zones[1], 33)]):
        east, north = series(49.5, longitude, number)
        rows.append(f"{i}.jpg,test,{('database', 'query')[i]},{east:.3f},{north:.3f},{zone}")
    dataset = own_csv(tmp_path, f"{LISTED},east,north,{header}", *rows)
    assert counts(dataset) == [1], "14 m apart"
    rows = [f"{r}{i}.jpg,test,{r},{400_000 + 100 * i},0,{i}" for i in (1, 2) for r in ("database", "query")]
    table = own_csv(tmp_path, f"{LISTED},east,north,zone", *rows).table()
    assert table.zone.tolist() == ["1", "1", "2", "2"], "a number alone is a condition"


@pytest.mark.parametrize(
    ("header", "labels", "origin", "told"),
    [
        ("zone", ("1D", "3C"), (0, 0), True),  # parking zones, and metres of a local origin
        ("zone", ("1D", "3C"), (400_000, 5_000_000), True),
        ("Zone", ("1A", "60Z"), (400_000, 5_000_000), False),
        ("zone,band", ("1,D", "3,C"), (400_000, 5_000_000), True),
        ("zone", ("1D", "inner"), (400_000, 5_000_000), False),
        ("zone", ("2D", "2D"), (0, 0), False),
    ],
)
def test_labels_in_a_column_zone_are_no_utm_zones(tmp_path, caplog, header, labels, origin, told):
    rows = [
        f"{r}{i}.jpg,test,{r},{origin[0] + 100 * i},{origin[1]},{labels[i % 2]}"
        for i in range(4) for r in ("database", "query")
    ]  # fmt: skip
    table = own_csv(tmp_path, f"{LISTED},east,north,{header}", *rows).table()
    assert table.east.tolist() == [origin[0] + 100 * i for i in range(4) for _ in range(2)]
    assert table[header.split(",")[0]].tolist() == [labels[i % 2].split(",")[0] for i in range(4) for _ in range(2)]
    assert ("column 'zone' is a condition" in caplog.text) == told
    assert ("rename the column utm_zone if it is meant" in caplog.text) == told


@pytest.mark.parametrize("header", ["zone", "utm_zone"])
def test_zones_of_a_csv_that_are_too_far_apart_name_their_column(tmp_path, refused, header):
    rows = [f"{i}.jpg,test,{r},500000,5400000,{z}" for i, (r, z) in enumerate([("database", "18U"), ("query", "31U")])]
    with refused(tmp_path / "mine.csv", f"column {header!r}", "18N (0.jpg)", "31N (1.jpg)", "rename the column"):
        own_csv(tmp_path, f"{LISTED},east,north,{header}", *rows).table()


def test_a_column_utm_zone_goes_before_zone(tmp_path):
    rows = []
    for i, (longitude, number) in enumerate([(11.9999, 32), (12.0001, 33)]):
        east, north = series(49.5, longitude, number)
        rows.append(f"{i}.jpg,test,{('database', 'query')[i]},{east:.3f},{north:.3f},{i + 1}C,{number}U")
    assert counts(own_csv(tmp_path, f"{LISTED},east,north,zone,utm_zone", *rows)) == [1]


@pytest.mark.parametrize("latitude", [-79.9, -60, -33.9, -8.01, -0.1, 0.1, 7.99, 8.01, 36, 49.5, 63.9, 71.9, 83.9])
@pytest.mark.parametrize("longitude", [12.01, 15, 17.99])
def test_a_position_lies_in_its_band_and_not_in_one_far_from_it(latitude, longitude):
    bands = "CDEFGHJKLMNPQRSTUVWX"
    at = min(int((latitude + 80) // 8), 19)
    east, north = series(latitude, longitude, 33)
    north += 1e7 * (latitude < 0)
    assert may_be_utm("33", bands[at], east, north)
    assert may_be_utm(f"33{'S' if latitude < 0 else 'N'}", "", east, north), "a hemisphere"
    far = [band for i, band in enumerate(bands) if abs(i - at) > 2 and (i < 10) == (at < 10) and band not in "NS"]
    assert not any(may_be_utm("33", band, east, north) for band in far)
    assert not may_be_utm("33", bands[at], 12.5, north)
    assert not may_be_utm("33", "", east, north)


@pytest.mark.parametrize("third", [["DSC_01", "DSC_02"], ["1", "2", "3"], ["61", "99"], ["0001", "0002"], ["5I", "7O"]])
def test_a_third_field_that_is_no_zone_says_nothing(tmp_path, third):
    for i, text in enumerate(third):
        touch(tmp_path, f"database/@{400000 + 90 * i}@5000000@{text}@.jpg")
        touch(tmp_path, f"queries/@{400010 + 90 * i}@5000000@{text}@.jpg")
    assert counts(folder_dataset(tmp_path, OWN)) == [1] * len(third)


@pytest.mark.parametrize(
    ("zone", "band", "north", "expected"),
    [
        ("10", "S", 4.2e6, "10N"),
        ("10", "S", 6.2e6, "10S"),
        ("33t", None, 5e6, "33N"),
        ("7", "", 1.0, "7"),
        ("07", "C", 1, "7S"),
    ],
)
def test_the_letter_s_is_a_band_or_the_south(zone, band, north, expected):
    assert str(parse_grid(zone, band, north)) == expected


# positives


def square(count, spacing):
    database = [f"d{i}.jpg,test,database,{400_000 + spacing * i},5000000" for i in range(count)]
    return [*database, *(f"q{i}.jpg,test,query,{400_000 + spacing * i},5000000" for i in range(count))]


def test_every_photo_a_positive_of_every_query_is_refused(tmp_path, refused, caplog):
    header = f"{LISTED},east,north"
    with refused("every query", "all 12 database images", "25 m", "degrees"):
        own_csv(tmp_path, header, *square(12, 1)).table()
    assert len(own_csv(tmp_path, header, *square(4, 1)).table()) == 8
    assert "any ranking is right" in caplog.text, "a few photos may be one place"


def test_a_photo_that_is_a_positive_of_most_queries_is_named(tmp_path, caplog):
    positives = [np.array([0, i]) for i in range(1, 11)]
    database = own_csv(tmp_path, f"{LISTED},east,north", *square(12, 100)).table().query("role == 'database'")
    check_positives(positives, database, source="x.csv", split="test", protocol=OWN)
    assert "d0.jpg is a positive of 10 of the 10 queries" in caplog.text
    caplog.clear()
    check_positives([np.array([i]) for i in range(10)], database, source="x.csv", split="test", protocol=OWN)
    assert not caplog.text


@pytest.mark.parametrize(
    ("radius", "said"), [(5, "positive_radius_m 10"), (10, ""), (25, ""), (40, "negative_radius_m 25")]
)
def test_radii_that_contradict_each_other_are_told(caplog, radius, said):
    warn_of_radii(Protocol("own", radius=radius), positive=10, negative=25)
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)
