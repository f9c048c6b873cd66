"""Draw objects on the synthetic city's streets: cars and pedestrians, which differ from shot to shot, lamps and trees.

Axes: R rows and C columns of the camera's `View`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vprlib.data.synthetic.camera import View
from vprlib.data.synthetic.city_layout import PAVEMENT, SIGN_PAINT

CATEGORIES = ("car", "person")
LEAST_BOX = 2.0  # pixels: narrower or lower objects get no box


class Sprite(NamedTuple):
    """Object on the street.

    Attributes:
        kind: car, person, lamp or tree.
        at: (2,) east and north of its center, metres.
        height: metres.
        axis: a car's direction of travel, 0 east or 1 north.
        paint: linear reflectances (red, green, blue) of a car or a person's clothes.
    """

    kind: str
    at: NDArray[np.float64]
    height: float
    axis: int = 0
    paint: tuple[float, ...] = (0.0, 0.0, 0.0)


def traffic_around(view: View, rng: np.random.Generator) -> list[Sprite]:
    """Choose the shot's cars and pedestrians at random, on the streets nearest to the camera."""
    city, sprites = view.city, []
    road = city.half_width - PAVEMENT
    for kind in np.repeat(CATEGORIES, rng.integers(0, 9, 2)).tolist():
        axis, side = rng.integers(0, 2, 2)
        streets = (city.street_north, city.street_east)[axis]
        centre = streets[np.abs(streets - view.origin[1 - axis]).argmin()]
        lane = rng.choice([0.5 * road, road - 0.9]) if kind == "car" else rng.uniform(road + 0.4, road + 2.6)
        at = np.empty(2)
        at[axis], at[1 - axis] = view.origin[axis] + rng.uniform(-45.0, 45.0), centre + (2 * side - 1) * lane
        paint = SIGN_PAINT[rng.integers(0, len(SIGN_PAINT))] * rng.uniform(0.4, 1.0)
        height = 1.45 if kind == "car" else rng.uniform(1.5, 1.9)
        if np.linalg.norm(at - view.origin) > 6.0:
            sprites.append(Sprite(kind, at, height, int(axis), tuple(paint)))
    return sprites


def draw_sprites(view: View, traffic: list[Sprite], facade_depth: NDArray[np.float64]) -> None:
    """Draw traffic, lamps and trees into the view, from far to near.

    Args:
        view: the frame; its `radiance` and `owner` change.
        traffic: cars and pedestrians; `owner` refers to them by number.
        facade_depth: (C,) metres; objects behind the facades are hidden.
    """
    near = np.linalg.norm(view.city.furniture[:, :2] - view.origin, axis=1) < 60.0
    furniture = [Sprite(("lamp", "tree")[int(kind)], np.array(at), h) for *at, h, kind in view.city.furniture[near]]
    sprites = traffic + furniture
    offsets = np.array([sprite.at for sprite in sprites]).reshape(-1, 2) - view.origin
    depth, lateral = offsets @ view.forward, offsets @ view.right
    edge = view.rays.shape[1] / 2 / view.focal
    light = view.ambient + 0.6 * view.sun + 0.25 * view.lamp
    for index in np.argsort(-depth):
        if depth[index] > 1.0 and np.abs(lateral[index]) < depth[index] * edge + 4.0:
            draw = _draw_car if sprites[index].kind == "car" else _draw_upright
            draw(view, sprites[index], index, light, facade_depth)


def _stamp(view: View, rows: slice, columns: slice, mask: NDArray[np.bool_], colour: NDArray[Any], owner: int) -> None:
    """Set the colour and the owner of the masked pixels in a window of the view."""
    view.radiance[rows, columns][mask] = np.broadcast_to(colour, (*mask.shape, 3))[mask]
    view.owner[rows, columns][mask] = owner


def _window(view: View, depth: float, left: float, right: float, height: float) -> tuple[slice, slice]:
    """Return the rows and columns that can show an object.

    Args:
        view: the frame.
        depth: smallest depth of the object, metres along the optical axis.
        left: lateral position divided by depth, of the object's left end.
        right: lateral position divided by depth, of its right end.
        height: metres from the ground to its top.
    """
    columns = np.array([left, right + 1 / view.focal]) * view.focal + view.rays.shape[1] / 2
    rows = np.searchsorted(
        view.slopes[:, 0], [min(view.camera_height - height, 0.0) / depth, view.camera_height / depth]
    )
    return slice(*rows), slice(*np.clip(columns, 0, view.rays.shape[1]).astype(int))


def _draw_upright(
    view: View, sprite: Sprite, owner: int, light: NDArray[np.float32], facade_depth: NDArray[np.float64]
) -> None:
    """Draw a pedestrian, lamp or tree as a flat picture that faces the camera."""
    depth, lateral = (sprite.at - view.origin) @ view.forward, (sprite.at - view.origin) @ view.right
    half = {"person": 0.3, "lamp": 1.0, "tree": 0.3 * sprite.height}[sprite.kind]
    rows, columns = _window(view, depth, (lateral - half) / depth, (lateral + half) / depth, sprite.height)
    visible = depth < facade_depth[columns]
    if not visible.any():
        return
    v = view.camera_height - depth * view.slopes[rows]
    s = view.right @ view.rays[:, columns] * depth - lateral
    if sprite.kind == "person":
        part = np.digitize(v[:, 0] / sprite.height, [0.48, 0.86])[:, None]  # legs, trunk, head
        mask = (np.abs(s) < np.array([0.17, 0.25, 0.12])[part]) & visible
        colour = np.array([[0.06] * 3, sprite.paint, [0.4, 0.26, 0.18]])[part] * light
    elif sprite.kind == "tree":
        leaf = view.city.grain[(v * 6).astype(int) & 63, (s * 6 + 8 * sprite.height).astype(int) & 63]
        crown = np.square(s / half) + np.square(v / (0.35 * sprite.height) - 1.86) < leaf
        mask = (crown | ((np.abs(s) < 0.16) & (v < 0.5 * sprite.height))) & visible
        colour = np.where(crown[..., None], [0.07, 0.13, 0.04], [0.1, 0.07, 0.05]) * leaf[..., None] * light
    else:
        distance = np.square(s) + np.square(v - sprite.height + 0.7)  # from the bulb, squared
        halo = 1.2 * np.exp(-6.0 * distance) * visible
        view.radiance[rows, columns] += halo[..., None].astype(np.float32) * view.lamp
        mask = ((np.abs(s) < 0.08) & (v < sprite.height - 0.7) | (distance < 0.06)) & visible
        colour = 0.08 * light + np.where(distance < 0.06, 2.0, 0.0)[..., None] * view.lamp
    _stamp(view, rows, columns, mask, colour, owner)


def _draw_car(
    view: View, sprite: Sprite, owner: int, light: NDArray[np.float32], facade_depth: NDArray[np.float64]
) -> None:
    """Draw a car as two cuboids, body and cabin: their sides, and their tops, because the camera is higher."""
    forwards = np.arange(2) == sprite.axis
    oncoming = (sprite.at - view.origin) @ view.right < 0
    tint = np.array([1.0, 1.0, 0.9] if oncoming else [0.6, 0.02, 0.01])
    for low, high, length, width in ((0.2, 0.85, 4.3, 1.8), (0.85, sprite.height, 2.4, 1.55)):
        half = np.where(forwards, length, width) / 2
        corners = sprite.at - view.origin + half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        depths = corners @ view.forward
        if depths.min() < 1.0:
            return
        slopes = corners @ view.right / depths
        rows, columns = _window(view, depths.min(), slopes.min(), slopes.max(), high)
        near, far, axis = (a[0] for a in view.enter(np.array([[*sprite.at - half, *sprite.at + half]]), columns))
        v = view.camera_height - near * view.slopes[rows]
        mask = (v >= low) & (view.camera_height - far * view.slopes[rows] <= high) & (far > near)
        mask &= near < facade_depth[columns]
        hit = view.origin - sprite.at + (view.rays[:, columns] * near).T
        ahead, aside = np.abs(hit[:, sprite.axis]), np.abs(hit[:, 1 - sprite.axis])
        end = axis == sprite.axis
        paint = np.where(v > high, 1.2, np.where(end, 0.75, 1.0))[..., None] * sprite.paint
        if low > 0.2:
            paint[v < high - 0.1] = 0.05  # windows
        else:
            paint[(v < 0.3) | ((v < 0.55) & ~end & (np.abs(ahead - 1.35) < 0.32))] = 0.02  # wheels
        colour = paint * light
        lamps = end & (np.abs(aside - 0.65) < 0.2) & (np.abs(v - 0.65) < 0.12)
        colour[lamps] = tint * (0.25 + view.lamp[0])
        _stamp(view, rows, columns, mask, colour, owner)


def visible_boxes(owner: NDArray[np.int16], traffic: list[Sprite], scale: int) -> list[dict[str, Any]]:
    """Return the boxes of the visible parts of cars and pedestrians, without slivers.

    Args:
        owner: (R, C) number of the sprite that a pixel shows, or -1.
        traffic: the sprites that get boxes, the first ones by number.
        scale: pixels of `owner` per image pixel, along each axis.

    Returns:
        Dicts of `bbox`, [x, y, width, height] in image pixels, and `category`.
    """
    boxes = []
    for index in np.flatnonzero(np.bincount(owner.ravel() + 1)[1 : len(traffic) + 1]):
        shown = owner == index
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        x, y = columns[0] / scale, rows[0] / scale
        width, height = (columns[-1] + 1) / scale - x, (rows[-1] + 1) / scale - y
        if min(width, height) >= LEAST_BOX:
            boxes.append({"bbox": [float(x), float(y), float(width), float(height)], "category": traffic[index].kind})
    return boxes
