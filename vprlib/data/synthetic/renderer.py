"""Render the synthetic city with a pinhole camera, by day and by night.

An image column is a ray in the plan. The point where it enters a block determines the facade; the position along the
facade and the height determine a pixel's material.
Axes: R rows and C columns of the frame, B blocks, P pixels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vprlib.data.synthetic.camera import Shot, View
from vprlib.data.synthetic.city_layout import (
    AWNING,
    BLUR,
    CELL,
    DOOR,
    FACE_SPAN,
    FRAME,
    GRASS,
    LETTER,
    LIT,
    MATERIALS,
    PANE,
    SHOP,
    SIGN,
    STRIPE,
    TRIM,
    WALL,
    CityLayout,
)
from vprlib.data.synthetic.traffic import draw_sprites, traffic_around, visible_boxes

SUPERSAMPLING = 2  # rays per pixel and axis
HOUSE_DEPTH = 12.0  # metres of side wall behind a facade
NORMALS = ((0, -1), (1, 0), (0, 1), (-1, 0))  # of a block's south, east, north and west face
VISIBILITY = 250.0  # distance in metres at which haze has reduced the contrast to 1/e
# fmt: off
# Linear reflectances.
GROUND_PAINT = np.array([(.12, .12, .13), (.08, .08, .09), (.60, .60, .55),
                         (.27, .25, .23), (.40, .40, .40), (.10, .16, .06)])
# fmt: on


def render_photo(
    city: CityLayout, shot: Shot, rng: np.random.Generator, *, height: int = 96, width: int = 128
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Render one photo.

    Args:
        city: the city.
        shot: position, time and camera settings.
        rng: random generator of traffic, some lit windows, clouds and sensor noise, which differ from shot to shot.
        height: pixels of the image.
        width: pixels of the image.

    Returns:
        The image, (height, width, 3) uint8 RGB, and a dict for each visible car or pedestrian: `bbox`, [x, y, width,
        height] of its visible part in pixels, and `category`, car or person.

    Raises:
        ValueError: the camera is inside a block.
    """
    traffic_rng, window_rng, sky_rng, noise_rng = rng.spawn(4)
    view = View(city, shot, height * SUPERSAMPLING, width * SUPERSAMPLING)
    surfaces = _find_surfaces(view)
    skyline, base = _paint_facades(view, surfaces, window_rng)
    _paint_sky(view, skyline, sky_rng)
    _paint_ground(view, base)
    traffic = traffic_around(view, traffic_rng)
    draw_sprites(view, traffic, surfaces[0].depth)
    planes = view.planes.reshape(3, height, SUPERSAMPLING, width, SUPERSAMPLING)
    subpixels = (planes[:, :, i, :, j] for i, j in np.ndindex(SUPERSAMPLING, SUPERSAMPLING))
    radiance = sum(subpixels, np.zeros((), np.float32)).transpose(1, 2, 0)
    radiance = radiance * (np.array(shot.cast, np.float32) * np.float32(shot.exposure / SUPERSAMPLING**2))
    noise = noise_rng.standard_normal(radiance.shape, np.float32) * np.float32(2.0 + 6.0 * view.lamp[0])
    image = 255.0 * np.sqrt(radiance) + noise
    return np.ascontiguousarray(image.clip(0, 255), np.uint8), visible_boxes(view.owner, traffic, SUPERSAMPLING)


class Surface(NamedTuple):
    """The i-th nearest surface of each column; all arrays are (C,).

    Attributes:
        depth: metres along the optical axis.
        house: number of the facade.
        s: metres from the facade's left edge.
        face: 0 to 3, index into NORMALS.
        blank: whether the surface is a side wall without windows.
        height: metres; 0 without a surface.
    """

    depth: NDArray[np.float64]
    house: NDArray[np.int64]
    s: NDArray[np.float64]
    face: NDArray[np.int64]
    blank: NDArray[np.bool_]
    height: NDArray[np.floating]


def _find_surfaces(view: View) -> list[Surface]:
    """Find the surfaces that each column can show, front to back.

    They are the facades of the three nearest blocks and, behind the first facade, the side wall of its neighbour, which
    shows if the neighbour is taller.

    Raises:
        ValueError: the camera is inside a block.
    """
    city, columns = view.city, np.arange(view.rays.shape[1])
    near, far, axis = view.enter(city.blocks)
    near = np.where((far > near) & (far > 0), near, np.inf)
    if near.min() < 0:
        raise ValueError(f"the camera at {view.origin} is inside a block")
    surfaces = []
    for block in np.argsort(near, axis=0)[:3]:
        hit = np.isfinite(near[block, columns])
        depth = np.where(hit, near[block, columns], 1e6)
        face = np.where(axis[block, columns] == 0, np.where(view.rays[0] > 0, 3, 1), np.where(view.rays[1] > 0, 0, 2))
        x, y = view.origin[:, None] + view.rays * depth
        west, south, east, north = city.blocks[block].T
        u = np.choose(face, [x - west, y - south, east - x, north - y]) + (4 * block + face) * FACE_SPAN
        house = np.where(hit, np.searchsorted(city.edges, u, side="right") - 1, 0)
        height = np.where(hit, city.looks["height"][house], 0.0)
        surfaces.append(Surface(depth, house, u - city.edges[house], face, np.zeros_like(hit), height))

    depth, house, s, face, _, height = surfaces[0]
    along = np.choose(face, [view.rays[0], view.rays[1], -view.rays[0], -view.rays[1]])  # du per metre of depth
    gap = np.where(along > 0, city.looks["width"][house] - s, s) / np.maximum(np.abs(along), 1e-9)
    inside = gap * np.abs(np.where(face % 2, view.rays[0], view.rays[1]))
    neighbour = np.clip(house + np.where(along > 0, 1, -1), 0, len(city.edges) - 1)
    exists = (
        (height > 0) & (inside < HOUSE_DEPTH) & (city.edges[neighbour] // FACE_SPAN == city.edges[house] // FACE_SPAN)
    )
    side = np.where(along > 0, face - 1, face + 1) % 4
    height = np.where(exists, city.looks["height"][neighbour], 0.0)
    surfaces.insert(1, Surface(depth + gap, neighbour, inside, side, exists, height))
    return surfaces


def _find_materials(
    look: dict[str, NDArray],
    s: NDArray[np.float32],
    v: NDArray[np.float32],
    window_lit: NDArray[np.bool_],
    pixel: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """Return the (R, C) materials of points on facades.

    Args:
        look: appearance of the columns' facades, each array with first axis C.
        s: (C,) metres along the facade.
        v: (R, C) metres above the ground.
        window_lit: (C, 10, 10) whether the window of a floor and column is lit.
        pixel: (C,) metres along the facade that a ray covers.
    """
    bay, storey = (s - 0.5) / look["bay"], (v - look["ground"]) / look["storey"]
    column, floor = np.floor(bay), np.floor(storey)
    aside, above = np.abs(bay - column - 0.5), np.abs(storey - floor - 0.5)
    crest, upper = v > look["height"] - 0.7, storey >= 0
    windows = upper & ~crest & ((bay >= 0) & (bay < look["columns"]))
    frame = windows & (aside < look["pane_width"] / 2) & (above < look["pane_height"] / 2)
    glazed = (aside < look["pane_width"] / 2 - 0.12 / look["bay"]) & (aside > look["mullion"] / 2)
    pane = frame & glazed & (above < look["pane_height"] / 2 - 0.04)
    lit = window_lit[np.arange(len(s)), floor.astype(np.intp).clip(0, 9), column.astype(np.intp).clip(0, 9)]
    material = np.where(crest | (upper & (storey - floor < 0.1) & (look["course"] > 0)), np.uint8(TRIM), np.uint8(WALL))
    material[frame] = FRAME
    np.copyto(material, np.where(lit, np.uint8(LIT), np.uint8(PANE)), where=pane)
    material[windows & (pixel > 0.45 * look["bay"])] = BLUR  # single windows are too narrow to be resolved

    def lettered(letter: NDArray, background: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the material of a sign: LETTER for the set bits of its letters on the background, else SIGN."""
        bit = look["letters"][np.arange(len(s)), letter.astype(np.intp).clip(0, 23)]
        return np.where(bit & background, np.uint8(LETTER), np.uint8(SIGN))

    street = ~upper & (look["height"] > 3.0)
    shop = street & ((look["shop"] > 0) & (np.abs(s - look["width"] / 2) < look["width"] / 2 - 0.3))
    material[shop & (v > 0.5) & (v < 2.7) & (np.abs(s % 2.2 - 1.1) < 1.0)] = SHOP
    cloth = np.where(s % look["stripe"] < look["stripe"] / 2, np.uint8(AWNING), np.uint8(STRIPE))
    np.copyto(material, cloth, where=shop & (v > 2.9 - look["awning"]) & (v < 2.9))
    band = np.abs(v - (look["ground"] + 2.75) / 2) < 0.3
    sign = lettered(s / look["width"] * 24, band)
    np.copyto(material, sign, where=shop & (v > 2.9) & (v < look["ground"] - 0.15))
    material[street & (np.abs(s - look["door"]) < 0.6) & (v < 2.4)] = DOOR
    off = np.abs(s - look["blade"])
    np.copyto(material, lettered(v * 2, off < 0.4), where=(off < 0.6) & (np.abs(v - 7.0) < 2.6) & ~crest)
    return material


def _paint_facades(
    view: View, surfaces: Sequence[Surface], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint the surfaces, front to back.

    Args:
        view: the frame.
        surfaces: see `_find_surfaces`.
        rng: random generator of the windows that are lit or dark in this shot only.

    Returns:
        (C,) slopes of the skyline and of the nearest facade's base.
    """
    looks = view.city.looks
    shine = np.maximum(np.array(NORMALS) @ view.sunward, 0.0)[:, None]
    sunlit = (view.ambient + view.sun * shine).astype(np.float32).T
    paint, glow = looks["paint"].reshape(-1, 3).T, looks["glow"].reshape(-1, 3).T
    tonight = np.frombuffer(rng.bytes(looks["lit"].size), np.uint8).reshape(looks["lit"].shape) < 18
    skyline = base = (view.camera_height / surfaces[0].depth).astype(np.float32)
    for surface in surfaces:
        top = ((view.camera_height - surface.height) / surface.depth).astype(np.float32)
        top[surface.height == 0] = np.inf
        seen = np.flatnonzero(top < skyline)  # columns in which the surface shows
        if not len(seen):
            continue
        rows = slice(*np.searchsorted(view.slopes[:, 0], [top[seen].min(), skyline[seen].max()]))
        slopes = view.slopes[rows]
        visible = (slopes >= top[seen]) & (slopes < skyline[seen])
        row, column = np.nonzero(visible)
        skyline = np.minimum(skyline, top)
        depth, s, house, face = (getattr(surface, name)[seen] for name in ("depth", "s", "house", "face"))
        depth, s = depth.astype(np.float32), s.astype(np.float32)
        v = view.camera_height - depth * slopes
        look = {name: values[house] for name, values in looks.items() if name not in ("paint", "glow", "lit")}
        pixel = depth / (view.focal * np.abs(np.where(face % 2, view.rays[0, seen], view.rays[1, seen])))
        material = _find_materials(look, s, v, looks["lit"][house] ^ tonight[house], pixel)
        material[:, surface.blank[seen]] = WALL

        code = house.take(column) * MATERIALS + material[visible]
        light = sunlit.take(face[column], axis=1)  # (3, P), like all light and colour below
        if view.lamp[0]:
            reach = 0.22 * np.exp(-np.square((v - 3.0) / 4.5)) * (0.65 + 0.35 * np.cos(0.5 * s))
            light += reach[visible] * view.lamp[:, None]
        scale = look["roughness"]
        grain = view.city.grain[(v * 2 * scale).astype(np.intp) & 63, (s * scale + house * 7).astype(np.intp) & 63]
        light *= np.where(material <= BLUR, grain, np.float32(1.0))[visible]
        light *= paint.take(code, axis=1)
        if view.lamp[0]:
            light += view.lamp[0] * glow.take(code, axis=1)
        pixels = (row + rows.start) * view.rays.shape[1] + seen[column]
        view.planes.reshape(3, -1)[:, pixels] = _fade_into_haze(view, light, depth[column])
    return skyline, base


def _fade_into_haze(view: View, colour: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fade (3, P) colours at (P,) depths into the haze, in place; return them."""
    veil = np.float32(0.8) * view.haze[:, None]
    colour -= veil
    colour *= np.exp(depth * np.float32(-1 / VISIBILITY))
    colour += veil
    return colour


def _paint_sky(view: View, skyline: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Paint a sky with random clouds above the (C,) slopes of the skyline."""
    rows = np.count_nonzero(view.slopes < 0)
    rise = np.sqrt(np.clip(-view.slopes[:rows], 0.0, 1.0))
    bearing = np.arctan2(*view.rays).astype(np.float32)
    a, b, c = rng.uniform(0.0, 2 * np.pi, 3).astype(np.float32)
    cloud = np.sin(3 * bearing + a) * np.sin(9 * rise + b) + np.sin(7 * bearing + 5 * rise + c)
    row, column = np.nonzero(view.slopes[:rows] < skyline)
    gradient = view.haze[:, None] + (view.zenith - view.haze)[:, None] * rise[:, 0]
    view.planes[:, row, column] = gradient[:, row] * (1.0 + 0.12 * cloud[row, column])


def _paint_ground(view: View, base: NDArray[np.float32]) -> None:
    """Paint the ground below the (C,) slopes of the nearest facades' bases."""
    row, column = np.nonzero(view.slopes >= np.maximum(base, 1e-4))
    depth = (view.camera_height / view.slopes[:, 0])[row]
    x, y = (view.origin.astype(np.float32)[:, None] + depth * view.rays.astype(np.float32)[:, column]) / CELL
    i, j = x.astype(np.int32), y.astype(np.int32)
    ground, grain = view.city.ground, view.city.grain
    inside = (x > 0) & (y > 0) & (i < ground.shape[1]) & (j < ground.shape[0])
    material = np.where(inside, ground[np.where(inside, j, 0), np.where(inside, i, 0)], GRASS)
    light = np.repeat((view.ambient + 0.6 * view.sun)[:, None], len(row), axis=1)
    if view.lamp[0]:
        pools = np.cos(x * np.float32(2 * np.pi * CELL / 25)) * np.cos(y * np.float32(2 * np.pi * CELL / 25))
        light += (0.18 + 0.12 * pools) * view.lamp[:, None]
    light *= 0.5 + 0.5 * grain[(j // 3) & 63, (i // 3) & 63]
    light *= GROUND_PAINT.astype(np.float32).T.take(material, axis=1)
    view.planes[:, row, column] = _fade_into_haze(view, light, depth)
