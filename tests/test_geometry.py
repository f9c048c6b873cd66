import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.geometry import within

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
