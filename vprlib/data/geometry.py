"""Positions in metres; cheap to import, as every dataset's declaration does."""

from vprlib.exceptions import InputError

FARTHEST = 6.0  # degrees from the middle of a dataset; beyond, UTM's own zone bends metres by more than 0.3 %


def within(query_Q2, database_N2, radius_m: float) -> list:
    """Which database positions lie within a radius of each query, the border included.

    Args:
        query_Q2: (Q, 2) float, east and north in metres.
        database_N2: (N, 2) float, likewise.
        radius_m: metres, > 0.

    Returns:
        Q int64 arrays of database indices, increasing.

    Raises:
        ValueError: if the radius is not positive or a coordinate is not finite.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    query_Q2, database_N2 = (np.asarray(x, np.float64).reshape(-1, 2) for x in (query_Q2, database_N2))
    if not radius_m > 0:
        raise ValueError(f"the radius must be positive, not {radius_m}")
    if not (np.isfinite(query_Q2).all() and np.isfinite(database_N2).all()):
        raise ValueError("a coordinate is not finite")
    if not len(database_N2) or not len(query_Q2):
        return [np.empty(0, np.int64) for _ in query_Q2]
    found = cKDTree(database_N2).query_ball_point(query_Q2, radius_m, return_sorted=True)
    return [np.asarray(one, np.int64) for one in found]


def to_utm(latitude_N, longitude_N) -> tuple:
    """Positions on the ground, in metres of the one UTM zone that the median position lies in.

    One zone for all, so that distances hold across a zone's edge and the equator; the widened zones of Norway and
    Svalbard are not used.

    Args:
        latitude_N, longitude_N: (N,) float, degrees (WGS 84), north and east positive.

    Returns:
        east (N,), north (N,), float64 metres (the south's false northing of 10,000 km where the median is south),
        and the zone's name, as "33N".

    Raises:
        InputError: if one is no position, or farther than FARTHEST degrees from the median position.
    """
    import numpy as np
    from pyproj import Transformer

    latitude_N, longitude_N = (np.asarray(x, np.float64).reshape(-1) for x in (latitude_N, longitude_N))
    wrong = ~((np.abs(latitude_N) <= 84) & (np.abs(longitude_N) <= 180))  # NaN is wrong, too
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(f"latitude {latitude_N[first]:g}, longitude {longitude_N[first]:g}: no position that UTM has")
    if not len(latitude_N):
        return np.empty(0), np.empty(0), ""
    turned_N = (longitude_N - longitude_N[0] + 180) % 360 - 180  # the date line cuts no dataset
    middle = np.median(latitude_N), np.median(turned_N)
    far_N = np.maximum(np.abs(latitude_N - middle[0]), np.abs(turned_N - middle[1]))
    if far_N.max() > FARTHEST:
        first = int(far_N.argmax())
        raise InputError(
            f"latitude {latitude_N[first]:g}, longitude {longitude_N[first]:g}: is {far_N[first]:.0f} degrees from "
            f"the other positions; one dataset has one UTM zone, make it two datasets or mend the position"
        )
    zone = int((middle[1] + longitude_N[0] + 180) % 360 // 6) + 1
    south = middle[0] < 0
    to_utm = Transformer.from_crs(4326, (32700 if south else 32600) + zone, always_xy=True)
    east_N, north_N = to_utm.transform(longitude_N, latitude_N)
    return east_N, north_N, f"{zone}{'S' if south else 'N'}"
