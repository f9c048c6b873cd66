import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.data.geometry import to_utm, within

# quarters of a metre around a UTM origin: every square of a distance is exact in float64
points = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), max_size=30)


def placed(pairs):
    return np.array([(585_000 + east / 4, 4_477_000 + north / 4) for east, north in pairs]).reshape(-1, 2)


@settings(deadline=None, derandomize=True)
@given(points, points, st.integers(1, 40))
def test_within_agrees_with_the_definition(queries, database, quarters):
    expected = [
        [i for i, (e, n) in enumerate(database) if (e - east) ** 2 + (n - north) ** 2 <= quarters**2]
        for east, north in queries
    ]
    found = within(placed(queries), placed(database), quarters / 4)
    assert [one.tolist() for one in found] == expected
    assert all(one.dtype == np.int64 for one in found)


def test_the_border_belongs_to_the_circle():
    (found,) = within([[0, 0]], [[15, 20], [25, 0], [25.000001, 0], [-7, -24], [18, 18]], 25)
    assert found.tolist() == [0, 1, 3]


@pytest.mark.parametrize("radius", [0, -1, float("nan")])
def test_a_radius_must_be_positive(radius):
    with pytest.raises(ValueError, match="radius"):
        within([[0, 0]], [[0, 0]], radius)


def test_coordinates_must_be_finite():
    for query, database in (([[np.nan, 0]], [[0, 0]]), ([[0, 0]], [[0, np.inf]])):
        with pytest.raises(ValueError, match="not finite"):
            within(query, database, 1)


def meridian_arc(latitude):
    """Metres from the equator along a meridian of WGS 84, by numerical integration."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    phi = np.linspace(0, np.radians(latitude), 20_001)
    return np.trapezoid(a * (1 - e2) / (1 - e2 * np.sin(phi) ** 2) ** 1.5, phi)


@pytest.mark.parametrize("latitude", [-55.0, -0.5, 0.5, 40.0, 70.0])
def test_a_central_meridian_is_the_closed_form(latitude):
    east, north, zone = to_utm([latitude], [15.0])
    assert zone == ("33S" if latitude < 0 else "33N")
    assert east[0] == pytest.approx(500_000, abs=1e-3)
    assert north[0] == pytest.approx(0.9996 * meridian_arc(latitude) + (1e7 if latitude < 0 else 0), abs=1e-2)


def test_positions_published_with_both_coordinates_agree():
    east, north, zone = to_utm([37.74472, 37.80027], [-122.50057, -122.43260])
    assert zone == "10N"
    assert np.allclose(east, [544000.32, 549951.21], atol=1)
    assert np.allclose(north, [4177609.18, 4183806.53], atol=1)


def test_one_zone_holds_distances_across_its_edge_the_equator_and_the_date_line():
    for latitude, longitude in (([1e-3, -1e-3], [9, 9]), ([0, 0], [11.999, 12.001]), ([0, 0], [179.999, -179.999])):
        east, north, _ = to_utm(latitude, longitude)
        assert np.hypot(*np.diff([east, north])) == pytest.approx(222, abs=2)


def test_positions_that_utm_cannot_hold_together_are_refused(refused):
    with refused("longitude 30", "20 degrees", "one UTM zone"):
        to_utm([50, 50, 50], [10, 10, 30])
    for latitude, longitude in ((np.nan, 0), (89, 0), (0, 181)):
        with refused("not a position that UTM covers"):
            to_utm([0, latitude], [0, longitude])
    assert [len(part) for part in to_utm([], [])] == [0, 0, 0]
