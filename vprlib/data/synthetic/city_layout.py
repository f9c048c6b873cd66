"""Layout of the synthetic city: a grid of blocks, the appearance of its facades, its streets, lamps and trees.

Coordinates are local metres (east, north) from the south-west corner.
Axes: S streets per direction, B blocks, N facades (or points), F pieces of furniture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PAVEMENT = 3.5  # metres between kerb and facade
CELL = 0.2  # metres per cell of the ground map
FACE_SPAN = 1024.0  # metres, longer than any face: separates the faces in `CityLayout.edges`
OUTSKIRTS = 20.0  # metres from the outer streets, beyond which the world is empty, to the first street point

WALL, TRIM, BLUR, FRAME, PANE, LIT, SHOP, AWNING, STRIPE, SIGN, LETTER, DOOR, MATERIALS = range(13)
ASPHALT, PATCH, MARK, PAVING, KERB, GRASS = range(6)
# fmt: off
# Linear reflectances.
WALL_PAINT = np.array([(.34, .12, .08), (.24, .10, .07), (.52, .45, .33), (.62, .60, .55), (.30, .30, .31),
                       (.55, .36, .14), (.22, .32, .38), (.28, .38, .24), (.50, .27, .24), (.10, .13, .17)])
SIGN_PAINT = np.array([(.75, .05, .05), (.04, .15, .65), (.03, .42, .12), (.85, .60, .04), (.80, .80, .76),
                       (.05, .05, .06), (.80, .28, .03), (.42, .05, .48), (.04, .50, .55), (.78, .20, .42)])
# fmt: on


@dataclass(frozen=True)
class CityLayout:
    """Layout of one city; lengths in metres.

    A block has four faces, each a row of facades. The coordinate `u` runs along a face from left to right as seen from
    the street. Facade n of face f (four times the block's number plus 0 to 3) starts at
    u = `edges[n] - f * FACE_SPAN`.

    Attributes:
        street_east: (S,) float64, center lines of the north-south streets, including the two outer ones.
        street_north: (S,) float64, center lines of the east-west streets, likewise.
        half_width: distance from a center line to the facades.
        blocks: (B, 4) float64, west, south, east and north side.
        edges: (N,) float64, increasing.
        looks: appearance of the facades: name of a property -> array with first axis N.
        ground: (north, east) uint8, material of each CELL.
        grain: (64, 64) float32 around 1, the tile of texture of walls, ground and leaves.
        furniture: (F, 4) float64, east, north, height, and 0 for a lamp or 1 for a tree.
    """

    street_east: NDArray[np.float64]
    street_north: NDArray[np.float64]
    half_width: float
    blocks: NDArray[np.float64]
    edges: NDArray[np.float64]
    looks: dict[str, NDArray]
    ground: NDArray[np.uint8]
    grain: NDArray[np.float32]
    furniture: NDArray[np.float64]


def build_city(seed: int, blocks: int = 4) -> CityLayout:
    """Build a random city of `blocks` x `blocks` blocks; `seed` determines everything that all its photos share.

    Raises:
        ValueError: there are fewer than 2 x 2 blocks.
    """
    if blocks < 2:
        raise ValueError(f"blocks must be at least 2, got {blocks}")
    rng = np.random.default_rng(seed)
    half = float(rng.uniform(7.2, 8.0))
    east, north = (half + np.append(0.0, np.cumsum(rng.uniform(50.0, 60.0, blocks) + 2 * half)) for _ in range(2))
    west_south = np.stack(np.meshgrid(east[:-1], north[:-1]), axis=-1).reshape(-1, 2) + half
    east_north = np.stack(np.meshgrid(east[1:], north[1:]), axis=-1).reshape(-1, 2) - half
    widths = []
    for length in np.tile(east_north - west_south, 2):
        corners = rng.uniform(9.0, 14.0, 4)
        for face in range(4):
            inner = length[face] - corners[face] - corners[face - 3]
            width = rng.uniform(8.0, 15.0, round(inner / 11.5))
            widths.append(np.array([corners[face], *width * inner / width.sum(), corners[face - 3]]))
    first = np.cumsum([0, *map(len, widths)])
    return CityLayout(
        street_east=east,
        street_north=north,
        half_width=half,
        blocks=np.hstack([west_south, east_north]),
        edges=np.concatenate([face * FACE_SPAN + np.cumsum(width) - width for face, width in enumerate(widths)]),
        looks=_draw_looks(
            rng, np.concatenate(widths), first[1:] - 1, np.roll(first[:-1].reshape(-1, 4), -1, axis=1).ravel()
        ),
        ground=_paint_streets(rng, east, north, half),
        grain=rng.normal(1.0, 0.12, (64, 64)).clip(0.6, 1.4).astype(np.float32),
        furniture=_place_furniture(rng, east, north, half),
    )


def _draw_looks(
    rng: np.random.Generator, width: NDArray[np.float64], ends: NDArray[np.int64], starts: NDArray[np.int64]
) -> dict[str, NDArray]:
    """Draw the appearance of N facades at random.

    Args:
        rng: random generator.
        width: (N,) widths of the facades, metres.
        ends: number of the last facade of each face.
        starts: number of the facade that meets it at the corner; both belong to one house.

    Returns:
        `CityLayout.looks`.
    """
    n = len(width)

    def chance(share: float) -> NDArray[np.bool_]:
        """Return for each facade whether it has a property that this share of facades has."""
        return rng.random(n) < share

    paint, glow = np.zeros((2, n, MATERIALS, 3))
    glass, tint = chance(0.15), rng.uniform(0.7, 1.4, (n, 1))
    paint[:, WALL] = WALL_PAINT[np.where(glass, 9, rng.integers(0, 9, n))] * tint * rng.uniform(0.88, 1.12, (n, 3))
    paint[:, TRIM] = np.where(chance(0.6)[:, None], rng.uniform(0.5, 0.7, (n, 1)), paint[:, WALL] * 0.45)
    paint[:, FRAME] = rng.choice([0.04, 0.12, 0.65], (n, 1)) * rng.uniform(0.8, 1.2, (n, 3))
    paint[:, [PANE, LIT, SHOP]] = (np.array([0.07, 0.10, 0.13]) * rng.uniform(0.6, 2.0, (n, 1)))[:, None]
    paint[:, BLUR] = 0.6 * paint[:, WALL] + 0.4 * paint[:, PANE]
    hues = (rng.integers(0, 10, (n, 1)) + np.cumsum(rng.integers(1, 4, (n, 5)), axis=1)) % 10
    paint[:, [AWNING, STRIPE, SIGN, LETTER, DOOR]] = SIGN_PAINT[hues] * [[1], [1], [1], [1], [0.4]]
    ground, storey = rng.uniform(3.6, 4.6, n), rng.uniform(2.9, 3.8, n)
    house: dict[str, NDArray] = {
        "ground": ground,
        "storey": storey,
        "height": ground + rng.integers(1, 8, n) * storey + 0.9,
    }
    house["height"][chance(0.05)] = 2.4  # a wall in front of a gap
    house |= {"glass": glass, "course": chance(0.4), "paint": paint[:, : PANE + 1]}
    for values in house.values():
        values[ends] = values[starts]
    warm = np.where(chance(0.65)[:, None], [0.95, 0.62, 0.28], [0.62, 0.78, 0.85])
    occupied = rng.choice([0.08, 0.25, 0.5], n)
    glow[:, LIT] = warm * rng.uniform(0.35, 0.9, (n, 1))
    glow[:, BLUR] = 0.3 * occupied[:, None] * glow[:, LIT]
    glow[:, SHOP] = warm * rng.choice([0.02, 0.35, 0.8], (n, 1))
    glow[:, [SIGN, LETTER]] = paint[:, [SIGN, LETTER]] * rng.choice([0.1, 0.9, 1.3], (n, 1, 1), p=[0.2, 0.5, 0.3])
    columns = np.maximum(np.rint((width - 1.0) / np.where(house["glass"], 1.7, rng.uniform(1.8, 3.6, n))), 2)
    looks = house | {
        "width": width,
        "columns": columns,
        "bay": (width - 1.0) / columns,
        "pane_width": np.where(house["glass"], 0.92, rng.choice([0.4, 0.55, 0.7, 1.0], n)),
        "pane_height": np.where(house["glass"], 0.85, rng.uniform(0.42, 0.72, n)),
        "mullion": np.where(chance(0.6), 0.06, -1.0),
        "roughness": rng.choice([0.7, 2.5], n),  # grains per metre
        "door": rng.uniform(0.5, 1.0, n) * (width - 2.0) + 0.6,
        "shop": chance(0.85),
        "awning": np.where(chance(0.6), rng.uniform(0.5, 1.2, n), 0.0),
        "stripe": rng.choice([1.0, 2.0, 4.0], n),
        "blade": np.where(chance(0.35), rng.uniform(0.8, width - 0.8), -9.0),
        "paint": paint,
        "glow": glow,
    }
    looks = {name: np.ascontiguousarray(values, np.float32) for name, values in looks.items()}
    return looks | {"letters": rng.random((n, 24)) < 0.5, "lit": rng.random((n, 10, 10)) < occupied[:, None, None]}


def _paint_streets(
    rng: np.random.Generator, street_east: NDArray[np.float64], street_north: NDArray[np.float64], half: float
) -> NDArray[np.uint8]:
    """Return the (north, east) ground map: streets with lane marks, zebra crossings and patches of newer asphalt.

    Args:
        rng: random generator.
        street_east: see `CityLayout`.
        street_north: see `CityLayout`.
        half: `CityLayout.half_width`.
    """
    road = half - PAVEMENT
    at = [np.arange(CELL / 2, streets[-1] + half, CELL) for streets in (street_east, street_north)]
    off = [np.abs(a - streets[:, None]).min(axis=0) for a, streets in zip(at, (street_east, street_north), strict=True)]
    inner = np.minimum(off[0], off[1][:, None])
    ground = np.select([inner < road, inner < road + CELL], [ASPHALT, KERB], PAVING).astype(np.uint8)
    for row, column in rng.integers(0, ground.shape, (ground.size // 12000, 2)):
        patch = ground[row : row + rng.integers(4, 30), column : column + rng.integers(4, 30)]
        patch[patch == ASPHALT] = PATCH
    for view, across, along, position in ((ground, off[0], off[1], at[1]), (ground.T, off[1], off[0], at[0])):
        view[np.ix_((position % 6.0 < 3.0) & (along > half + 3.0), across < 0.12)] = MARK
        view[np.ix_((along > road + 0.5) & (along < half), (across < road - 0.3) & (across % 1.0 < 0.5))] = MARK
    return ground


def _place_furniture(
    rng: np.random.Generator, street_east: NDArray[np.float64], street_north: NDArray[np.float64], half: float
) -> NDArray[np.float64]:
    """Place lamps every 25 m along each kerb and, on some pavements, trees between them.

    Args:
        rng: random generator.
        street_east: see `CityLayout`.
        street_north: see `CityLayout`.
        half: `CityLayout.half_width`.

    Returns:
        `CityLayout.furniture`.
    """
    rows = []
    directions: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], list[int]]] = (
        (street_east, street_north, [0, 1]),
        (street_north, street_east, [1, 0]),
    )
    for streets, crossings, order in directions:
        for kerb in np.add.outer(streets, [PAVEMENT - 0.6 - half, half - PAVEMENT + 0.6]).ravel():
            planted = rng.random() < 0.4
            for number, along in enumerate(np.arange(crossings[0] + half + 4.0, crossings[-1], 12.5)):
                tree, shift, height = number % 2, rng.uniform(-2.0, 2.0), rng.uniform(5.0, 9.0)
                if np.abs(along - crossings).min() > half and (planted or not tree):
                    rows.append([*np.array([kerb, along + shift])[order], height if tree else 6.7, tree])
    return np.array(rows)


def street_points(city: CityLayout, spacing: float) -> NDArray[np.float64]:
    """Return points every `spacing` metres on the center lines of the inner streets, starting anew at each crossing.

    Returns:
        (N, 2) float64 (east, north), at least spacing / 2 apart: the north-south streets from west to east, then the
        east-west streets from south to north, each in order of travel. A crossing is a point of a north-south street.
    """
    east, north = (
        np.concatenate([np.arange(start, end - spacing / 2, spacing) for start, end in pairwise(ends)])
        for ends in (
            [streets[0] + OUTSKIRTS, *streets[1:-1], streets[-1] - OUTSKIRTS]
            for streets in (city.street_east, city.street_north)
        )
    )
    northwards = [(x, y) for x in city.street_east[1:-1] for y in north]
    eastwards = [(x, y) for y in city.street_north[1:-1] for x in east if x not in city.street_east[1:-1]]
    return np.array(northwards + eastwards)
