"""Write rendered cities in the published layouts of Pittsburgh (`write_city`) and Tokyo 24/7 (`write_city_night`).

Equal seeds and sizes give equal bytes in every file. `annotations.json` is written last, so it marks a complete
dataset.
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from vprlib.data.synthetic.camera import Shot, jitter_shot
from vprlib.data.synthetic.city_layout import CityLayout, build_city, street_points
from vprlib.data.synthetic.renderer import render_photo
from vprlib.data.synthetic.traffic import CATEGORIES
from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

SPLITS = ("train", "val", "test")
NIGHT = len(SPLITS)  # number of the night city, after the three of `write_city`; it shares no building with them
DATABASE, QUERY = 0, 1  # numbers of the roles in an image's seed
VIEWS = 12  # headings per place, evenly spaced
HIT_RADIUS = 10.0  # metres
ORIGIN = np.array([585_000.0, 4_477_000.0])  # UTM metres (east, north) of the first city
ORIGIN_STEP = np.array([5_000.0, 0.0])  # from one city to the next
JPEG_QUALITY = 92
CHUNK = 64  # photos per task of a process

# (share of a role's images, lowest and highest `Shot.light` of them)
Mixture = tuple[tuple[float, float, float], ...]
DAY_LIGHT = ((1.0, 0.0, 0.15),)
MIXED_LIGHT = ((0.6, 0.6, 1.0), (0.4, 0.1, 0.6))
DUSK_LIGHT = ((1.0, 0.25, 0.75),)
NIGHT_LIGHT = ((1.0, 0.6, 1.0),)


@dataclass(frozen=True)
class PlannedPhoto:
    """Photo to be rendered.

    Attributes:
        name: name in the `dbStruct`.
        shot: position in the city's local metres, time and camera settings.
        rng: random generator of the photo, from which the shot has been drawn already.
    """

    name: str
    shot: Shot
    rng: np.random.Generator


def write_city(
    root: Path,
    *,
    seed: int,
    size: dict[str, Any],
    workers: int = 1,
    progress: Callable[..., Iterable[Any]] = lambda items, total: items,
) -> None:
    """Render and write three cities in Pittsburgh's layout: panoramas by day, queries at another time.

    Database images are `000/000000_pitch1_yaw1.jpg` (place // 1000, place, heading / 30 degrees + 1). Queries have the
    same names under `queries_real`. The numbers of places and queries continue from split to split. The splits are
    `datasets/city_{split}.mat`.

    Args:
        root: folder of the dataset.
        seed: seed of the cities and of all photos.
        size: height and width (pixels, default 96 x 128), blocks (per side of a city), spacing (metres between places,
            default 10), and {split}_places, {split}_queries.
        workers: processes that render.
        progress: called with the photos and `total`, their number; wraps the long loops, for example tqdm.

    Raises:
        InputError: the streets are too short for the places.
    """
    images: list[tuple[str, list[dict[str, Any]]]] = []
    first_place, first_query = 0, 0
    for index, (split, light) in enumerate(zip(SPLITS, (MIXED_LIGHT, MIXED_LIGHT, DUSK_LIGHT), strict=True)):
        city, places = _choose_places(seed, index, size, split)

        def database_name(place: int, view: int, first: int = first_place) -> str:
            return _panorama_name(first + place, view)

        def query_name(number: int, heading: float, first: int = first_query) -> str:
            return _panorama_name(first + number, round(heading * VIEWS / 360) % VIEWS)

        database = _plan_database((seed, index), places, database_name)
        queries = _plan_queries((seed, index), city, places, size[f"{split}_queries"], light, query_name)
        images += _write_images(root, "", city, database, size, workers, progress)
        images += _write_images(root, "queries_real", city, queries, size, workers, progress)
        _write_struct(root / f"datasets/city_{split}.mat", split, ORIGIN + index * ORIGIN_STEP, database, queries)
        first_place += len(places)
        first_query += len(queries)
    _write_annotations(root, images, size | {"seed": seed})


def write_city_night(
    root: Path,
    *,
    seed: int,
    size: dict[str, Any],
    workers: int = 1,
    progress: Callable[..., Iterable[Any]] = lambda items, total: items,
) -> None:
    """Render and write one city in Tokyo 24/7's layout, with a test split only: panoramas by day, queries at night.

    Database images are `00000/000000_00.jpg` (place // 100, place, view), VIEWS consecutive images per place. Queries
    are `247query_v2/00001.jpg` and so on. The split is `datasets/city_night.mat`. The arguments are those of
    `write_city`; of the numbers of places and queries only the test split's are read.

    Raises:
        InputError: the streets are too short for the places.
    """
    city, places = _choose_places(seed, NIGHT, size, "test")
    database = _plan_database(
        (seed, NIGHT), places, lambda place, view: f"{place // 100:05d}/{place:06d}_{view:02d}.jpg"
    )
    queries = _plan_queries(
        (seed, NIGHT), city, places, size["test_queries"], NIGHT_LIGHT, lambda number, _: f"{number + 1:05d}.jpg"
    )
    images = _write_images(root, "", city, database, size, workers, progress)
    images += _write_images(root, "247query_v2", city, queries, size, workers, progress)
    _write_struct(root / "datasets/city_night.mat", "test", ORIGIN + NIGHT * ORIGIN_STEP, database, queries)
    _write_annotations(root, images, size | {"seed": seed})


def _panorama_name(number: int, view: int) -> str:
    """Return the name of a panorama's view in Pittsburgh's layout."""
    return f"{number // 1000:03d}/{number:06d}_pitch1_yaw{view + 1}.jpg"


def _choose_places(
    seed: int, index: int, size: Mapping[str, Any], split: str
) -> tuple[CityLayout, NDArray[np.float64]]:
    """Build city number `index` and choose its places: the (N, 2) street points nearest to the central crossing.

    Raises:
        InputError: there are too few street points.
    """
    city = build_city(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]), size["blocks"])
    points = street_points(city, size.get("spacing", 10.0))
    places = size[f"{split}_places"]
    if places > len(points):
        raise InputError(
            f"city: {size['blocks']} blocks a side have room for {len(points)} places, not {places} ({split}_places); "
            "set more blocks, a smaller spacing or fewer places"
        )
    middle = len(city.street_east) // 2
    centre = np.array([city.street_east[middle], city.street_north[middle]])
    nearest = np.argsort(np.linalg.norm(points - centre, axis=1), kind="stable")[:places]
    return city, points[np.sort(nearest)]


def _draw_light(rng: np.random.Generator, mixture: Mixture) -> float:
    """Draw `Shot.light` from a mixture of uniform distributions."""
    _, low, high = mixture[rng.choice(len(mixture), p=[share for share, _, _ in mixture])]
    return float(rng.uniform(low, high))


def _plan_database(
    seed: tuple[int, ...], places: NDArray[np.float64], name: Callable[[int, int], str]
) -> list[PlannedPhoto]:
    """Plan VIEWS photos by day at each place, clockwise from north; `name` maps (place, view) to a file name."""
    photos = []
    for place, (east, north) in enumerate(places):
        for view in range(VIEWS):
            rng = np.random.default_rng([*seed, DATABASE, place * VIEWS + view])
            shot = Shot(float(east), float(north), view * 360.0 / VIEWS, _draw_light(rng, DAY_LIGHT))
            photos.append(PlannedPhoto(name(place, view), jitter_shot(shot, rng, metres=0.0, degrees=0.0), rng))
    return photos


def _plan_queries(
    seed: tuple[int, ...],
    city: CityLayout,
    places: NDArray[np.float64],
    count: int,
    light: Mixture,
    name: Callable[[int, float], str],
) -> list[PlannedPhoto]:
    """Plan query photos up to 4 m along and 2 m across the street from a random place, with any heading.

    `name` maps (number of the query, heading in degrees) to a file name.
    """
    photos = []
    for number in range(count):
        rng = np.random.default_rng([*seed, QUERY, number])
        place = places[rng.integers(len(places))]
        along, across = rng.uniform(-4.0, 4.0), rng.uniform(-2.0, 2.0)
        northwards = np.isclose(city.street_east, place[0]).any()
        east, north = place + ((across, along) if northwards else (along, across))
        shot = Shot(float(east), float(north), float(rng.uniform(0.0, 360.0)), _draw_light(rng, light))
        shot = jitter_shot(shot, rng, metres=0.0, degrees=0.0)
        photos.append(PlannedPhoto(name(number, shot.heading), shot, rng))
    return photos


def _write_images(
    root: Path,
    folder: str,
    city: CityLayout,
    photos: Sequence[PlannedPhoto],
    size: Mapping[str, Any],
    workers: int,
    progress: Callable[..., Iterable[Any]],
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Render the photos into `root / folder` as JPEG files; return their (file name, boxes) for the annotations."""
    shape = {"height": size.get("height", 96), "width": size.get("width", 128)}
    for parent in {(root / folder / photo.name).parent for photo in photos}:
        parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        boxes = pool.map(partial(_write_image, root / folder, city, shape), photos, chunksize=CHUNK)
        names = [Path(folder, photo.name).as_posix() for photo in photos]
        return list(progress(zip(names, boxes, strict=True), total=len(photos)))


def _write_image(folder: Path, city: CityLayout, shape: Mapping[str, int], photo: PlannedPhoto) -> list[dict[str, Any]]:
    """Render one photo and write it as JPEG; return its boxes."""
    image, boxes = render_photo(city, photo.shot, photo.rng, **shape)
    Image.fromarray(image).save(folder / photo.name, quality=JPEG_QUALITY)
    return boxes


def _write_struct(
    path: Path,
    split: str,
    origin: NDArray[np.float64],
    database: Sequence[PlannedPhoto],
    queries: Sequence[PlannedPhoto],
) -> None:
    """Write a split's `dbStruct`, with the same fields as published ones.

    Args:
        path: the `.mat` file.
        split: name of the split.
        origin: (2,) UTM metres of the city's local origin.
        database: the database photos.
        queries: the query photos.
    """

    def names(photos: Sequence[PlannedPhoto]) -> NDArray[np.object_]:
        """Return the (n, 1) names of photos."""
        return np.array([photo.name for photo in photos], object)[:, None]

    def utm(photos: Sequence[PlannedPhoto]) -> NDArray[np.float64]:
        """Return the (2, n) UTM positions of photos."""
        return np.array([(photo.shot.east, photo.shot.north) for photo in photos]).T + origin[:, None]

    struct = {
        "whichSet": split,
        "dbImage": names(database),
        "utmDb": utm(database),
        "qImage": names(queries),
        "utmQ": utm(queries),
        "numDb": float(len(database)),
        "numQ": float(len(queries)),
        "posDistThr": HIT_RADIUS,
        "posDistSqThr": HIT_RADIUS**2,
        "nonTrivPosDistSqThr": 100.0,
    }
    buffer = io.BytesIO()
    savemat(buffer, {"dbStruct": struct})
    header = b"MATLAB 5.0 MAT-file"  # scipy's own header holds the time of writing
    write_bytes(path, header.ljust(116) + buffer.getvalue()[116:])


def _write_annotations(root: Path, images: Sequence[tuple[str, list[dict[str, Any]]]], size: Mapping[str, Any]) -> None:
    """Write the boxes of every image to `annotations.json`, in COCO format.

    Args:
        root: folder of the dataset.
        images: (file name, boxes) of each photo.
        size: seed and sizes of the city, which are written, too (`rendered_with`).
    """
    category_ids = {name: number for number, name in enumerate(CATEGORIES, start=1)}
    images = sorted(images)
    shape = {"width": size.get("width", 128), "height": size.get("height", 96)}
    annotations = [
        {"image_id": image, "category_id": category_ids[box["category"]], "bbox": box["bbox"]}
        | {"area": box["bbox"][2] * box["bbox"][3], "iscrowd": 0}
        for image, (_, boxes) in enumerate(images, start=1)
        for box in boxes
    ]
    coco = {
        "info": {"city": dict(size)},
        "images": [{"id": image, "file_name": name} | shape for image, (name, _) in enumerate(images, start=1)],
        "annotations": [{"id": number} | annotation for number, annotation in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }
    write_bytes(root / "annotations.json", json.dumps(coco, sort_keys=True, separators=(",", ":")).encode())
