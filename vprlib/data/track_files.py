"""Read tracks: the positions of a camera along its way, in GPX, GeoJSON or KITTI's files.

Axes: N points, 2 = (longitude, latitude) in degrees or (east, north) in metres.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POSE, OXTS = 12, 30  # numbers in a line of KITTI's poses, and of its GPS and inertial measurements
KINDS = "a .gpx, a .geojson or .json, KITTI's poses (.txt, 12 numbers a line) or its folder of oxts files"
WGS84 = ("CRS84", "4326", "WGS84")


class Track(NamedTuple):
    """The points of a track in order."""

    position_N2: NDArray[np.float64]
    degrees: bool  # longitude and latitude (WGS 84), or else east and north in metres
    numbered: bool  # whether a frame's name is the number of its point, as in KITTI


def read_track(path: Path) -> Track:
    """Read a track by its suffix; a folder is KITTI's of one file a frame.

    - GPX: track points, or else route points, or else waypoints.
    - GeoJSON: a line, several lines, or points, in order.
    - KITTI: poses of the left camera (x to the right, y down, z ahead; x becomes east and z north, rounded to
      millimetres), or oxts lines that begin with latitude and longitude.

    Raises:
        InputError: the file is none of these, or holds no points.
    """
    suffix = path.suffix.lower()
    try:
        if path.is_dir() or suffix == ".txt":
            track = _read_kitti(path)
        elif suffix == ".gpx":
            track = Track(_read_gpx(path), degrees=True, numbered=False)
        elif suffix in (".geojson", ".json"):
            track = Track(_read_geojson(path), degrees=True, numbered=False)
        else:
            raise InputError(f"{path}: is no track; name {KINDS}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a track ({error})") from error
    if not len(track.position_N2):
        raise InputError(f"{path}: holds no points; name {KINDS}")
    return track


def _read_gpx(path: Path) -> NDArray[np.float64]:
    """Return the longitudes and latitudes of a GPX file.

    Raises:
        InputError: it is no XML, declares entities, or a point has no position.
    """
    from xml.etree import ElementTree

    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InputError(f"{path}: has a DOCTYPE, which GPX has not and which can expand without end; remove it")
    try:
        elements = list(ElementTree.fromstring(content).iter())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: cannot be read as GPX ({error})") from error
    points: list[ElementTree.Element] = []
    for kind in ("trkpt", "rtept", "wpt"):
        points = points or [element for element in elements if str(element.tag).rpartition("}")[2] == kind]
    return _to_points([(point.get("lon"), point.get("lat")) for point in points], path)


def _read_geojson(path: Path) -> NDArray[np.float64]:
    """Return the longitudes and latitudes of a GeoJSON file.

    Raises:
        InputError: it is no GeoJSON of lines or of points in WGS 84.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as GeoJSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no GeoJSON")
    crs = json.dumps(content.get("crs"))
    if content.get("crs") is not None and not any(name in crs for name in WGS84):
        raise InputError(f"{path}: has the crs {crs}; convert it to longitude and latitude (WGS 84)")
    features = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    parts = [_geometry_points(feature, path) for feature in features] if isinstance(features, list) else []
    if len({kind for kind, _ in parts}) > 1:
        raise InputError(f"{path}: holds lines and points; leave one kind of the track, in order")
    return _to_points(
        [point[:2] if isinstance(point, list) else point for _, points in parts for point in points], path
    )


def _geometry_points(feature: Any, path: Path) -> tuple[str, list[Any]]:
    """Return what a feature or geometry of GeoJSON is, Point or LineString, and its points.

    Raises:
        InputError: it is neither one nor several of these.
    """
    geometry = feature.get("geometry", feature) if isinstance(feature, dict) else None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if kind not in ("Point", "MultiPoint", "LineString", "MultiLineString") or not isinstance(coordinates, list):
        raise InputError(f"{path}: holds a {kind}; a track is a LineString, or Points in order")
    if kind == "Point":
        return kind, [coordinates]
    if kind == "MultiLineString":
        coordinates = [point for line in coordinates if isinstance(line, list) for point in line]
    return kind.removeprefix("Multi"), coordinates


def _read_kitti(path: Path) -> Track:
    """Return KITTI's poses or its oxts measurements.

    Raises:
        InputError: lines have neither 12 nor 30 numbers.
    """
    import numpy as np

    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    rows = [line.split() for file in files for line in file.read_text("utf-8").splitlines() if line.strip()]
    widths = {len(row) for row in rows}
    if len(widths) > 1 or widths - {POSE, OXTS}:
        raise InputError(
            f"{path}: has lines of {', '.join(map(str, sorted(widths)))} numbers; KITTI has 12 or 30 a line"
        )
    if path.is_dir() and len(rows) != len(files):
        raise InputError(f"{path}: has {len(rows)} lines in {len(files)} files; one line a file is needed")
    degrees = widths == {OXTS}
    position_N2 = _to_points([(row[1], row[0]) if degrees else (row[3], row[11]) for row in rows], path)
    return Track(position_N2 if degrees else np.round(position_N2, 3), degrees=degrees, numbered=True)


def _to_points(points: list[Any], path: Path) -> NDArray[np.float64]:
    """Return pairs of numbers, or of their text, as an array (N, 2).

    Raises:
        InputError: naming the first point that is no pair of finite numbers.
    """
    import numpy as np

    result = np.empty((len(points), 2))
    for number, point in enumerate(points):
        try:
            first, second = point
            result[number] = float(first), float(second)
        except (TypeError, ValueError):
            result[number] = np.nan
        if not np.isfinite(result[number]).all():
            raise InputError(f"{path}: point {number + 1} has no position ({point}); correct it or leave it out")
    return result
