"""Radius search and UTM conversion of positions; numpy and scipy are imported only when a function is called.

Axes: Q queries, N database images (or positions), 2 = (east, north).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

FARTHEST = 6.0  # degrees from the median position of a dataset; beyond, the zone's metres are off by more than 0.3 %


def within(query_Q2: ArrayLike, database_N2: ArrayLike, radius: float) -> list[NDArray[np.int64]]:
    """Find the database positions within a radius of each query, the border included.

    Args:
        query_Q2: (Q, 2) float, east and north, in metres or in frames.
        database_N2: (N, 2) float, likewise.
        radius: in the unit of the positions, > 0.

    Returns:
        Q int64 arrays of database indices, increasing.

    Raises:
        ValueError: the radius is not positive or a coordinate is not finite.

    >>> within([[0, 0], [90, 0]], [[15, 20], [30, 0]], 25)
    [array([0]), array([], dtype=int64)]
    """
    import numpy as np
    from scipy.spatial import cKDTree

    queries_Q2, positions_N2 = (np.asarray(x, np.float64).reshape(-1, 2) for x in (query_Q2, database_N2))
    if not radius > 0:
        raise ValueError(f"the radius must be positive, not {radius}")
    if not (np.isfinite(queries_Q2).all() and np.isfinite(positions_N2).all()):
        raise ValueError("a coordinate is not finite")
    if not len(positions_N2) or not len(queries_Q2):
        return [np.empty(0, np.int64) for _ in queries_Q2]
    neighbours = cKDTree(positions_N2).query_ball_point(queries_Q2, radius, return_sorted=True)
    return [np.asarray(indices, np.int64) for indices in neighbours]


def to_utm(
    latitude_N: ArrayLike, longitude_N: ArrayLike, names: Sequence[str] = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Convert latitudes and longitudes to metres of the one UTM zone in which the median position lies.

    All positions use one zone, so that distances hold across a zone's edge and across the equator. The widened zones
    of Norway and Svalbard are not used.

    Args:
        latitude_N: (N,) float, degrees (WGS 84), north positive.
        longitude_N: (N,) float, degrees (WGS 84), east positive.
        names: the N photos, for messages.

    Returns:
        east (N,) and north (N,), float64 metres (with the false northing of 10,000 km if the median position is in
        the southern hemisphere), and the zone's name, as "33N". The name is empty if there is no position.

    Raises:
        InputError: a position is invalid, or farther than FARTHEST degrees from the median position.
    """
    import numpy as np
    from pyproj import Transformer

    latitudes_N, longitudes_N = (np.asarray(x, np.float64).reshape(-1) for x in (latitude_N, longitude_N))
    if not len(latitudes_N):
        return np.empty(0), np.empty(0), ""
    wrong = ~((np.abs(latitudes_N) <= 84) & (np.abs(longitudes_N) <= 180))  # NaN is wrong, too
    first = int(wrong.argmax())
    if wrong.any():
        raise InputError(f"{_describe(names, latitudes_N, longitudes_N, first)}: is not a position that UTM covers")
    turned_N = (longitudes_N - longitudes_N[0] + 180) % 360 - 180  # so that the date line does not split a dataset
    middle = np.median(latitudes_N), np.median(turned_N)
    distance_N = np.maximum(np.abs(latitudes_N - middle[0]), np.abs(turned_N - middle[1]))
    first = int(distance_N.argmax())
    if distance_N[first] > FARTHEST:
        raise InputError(
            f"{_describe(names, latitudes_N, longitudes_N, first)}: is {distance_N[first]:.0f} degrees from the other "
            "positions; one dataset has one UTM zone, make it two datasets or correct the position"
        )
    zone = int((middle[1] + longitudes_N[0] + 180) % 360 // 6) + 1
    south = middle[0] < 0
    transformer = Transformer.from_crs(4326, (32700 if south else 32600) + zone, always_xy=True)
    east_N, north_N = transformer.transform(longitudes_N, latitudes_N)
    return east_N, north_N, f"{zone}{'S' if south else 'N'}"


def _describe(names: Sequence[str], latitude_N: NDArray, longitude_N: NDArray, index: int) -> str:
    """Return a position in degrees for a message, with the photo's name if there are names."""
    photo = f"{names[index]}: " if len(names) else ""
    return f"{photo}latitude {latitude_N[index]:g}, longitude {longitude_N[index]:g}"


def from_utm(
    east_N: ArrayLike, north_N: ArrayLike, zone_N: Sequence[int], south_N: Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert metres of UTM zones to latitudes and longitudes.

    Args:
        east_N: (N,) float, metres.
        north_N: (N,) float, metres, with the false northing of 10,000 km where `south_N`.
        zone_N: zone of each position, 1 to 60.
        south_N: whether each position's northing has the false northing.

    Returns:
        latitude (N,) and longitude (N,), float64 degrees (WGS 84).
    """
    import numpy as np
    from pyproj import Transformer

    easts_N, norths_N = (np.asarray(x, np.float64).reshape(-1) for x in (east_N, north_N))
    code_N = np.where(south_N, 32700, 32600) + np.asarray(zone_N)
    latitude_N, longitude_N = np.empty_like(easts_N), np.empty_like(easts_N)
    for code in np.unique(code_N):
        rows = code_N == code
        transformer = Transformer.from_crs(int(code), 4326, always_xy=True)
        longitude_N[rows], latitude_N[rows] = transformer.transform(easts_N[rows], norths_N[rows])
    return latitude_N, longitude_N
