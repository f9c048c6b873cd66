"""Positions in metres."""

import numpy as np


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
