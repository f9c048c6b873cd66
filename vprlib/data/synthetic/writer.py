"""Write rendered cities in the published layouts of Pittsburgh (`write_city`) and Tokyo 24/7 (`write_city_night`).

Equal seeds and sizes give equal bytes in every file. `annotations.json` is written last: it marks a complete dataset.
"""

import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from vprlib.data.synthetic.city_layout import CityLayout, build_city, street_points
from vprlib.data.synthetic.renderer import Shot, jitter_shot, render_photo
from vprlib.data.synthetic.traffic import CATEGORIES
from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

SPLITS = ("train", "val", "test")
NIGHT = len(SPLITS)  # the night city follows the three of `write_city` and shares no building with them
DATABASE, QUERY = 0, 1  # the roles, as they enter an image's seed
VIEWS = 12  # headings per place, evenly spaced
HIT_RADIUS = 10.0  # metres
ORIGIN = np.array([585_000.0, 4_477_000.0])  # UTM metres (east, north) of the first city
ORIGIN_STEP = np.array([5_000.0, 0.0])  # from one city to the next
JPEG_QUALITY = 92
CHUNK = 64  # photos that a process renders in one go

# Shares of a role's images and the range of `Shot.light` in each.
DAY_LIGHT = ((1.0, 0.0, 0.15),)
MIXED_LIGHT = ((0.6, 0.6, 1.0), (0.4, 0.1, 0.6))
DUSK_LIGHT = ((1.0, 0.25, 0.75),)
NIGHT_LIGHT = ((1.0, 0.6, 1.0),)


@dataclass(frozen=True)
class PlannedPhoto:
    """One image to be rendered: its name in the `dbStruct`, its shot in the city's own metres, the rest of its seed."""

    name: str
    shot: Shot
    rng: np.random.Generator


def write_city(
    root: Path, *, seed: int, size: dict, workers: int = 1, progress: Callable = lambda items, total: items
) -> None:
    """Write three cities like Pittsburgh: panoramas by day, queries at another time.

    Database images are `000/000000_pitch1_yaw1.jpg` (place // 1000, place, heading / 30 degrees + 1), queries the same
    under `queries_real`; places and queries count on from split to split. `datasets/city_{split}.mat` are the splits.

    Args:
        root: folder of the dataset.
        size: height, width (pixels, 96 x 128), blocks (per side of a city), spacing (metres between places, 10), and
            {split}_places, {split}_queries.
        workers: processes that render.
        progress: wraps the long loops, for example tqdm.

    Raises:
        InputError: if the streets are too short for the places.
    """
    images, first_place, first_query = [], 0, 0
    for index, (split, light) in enumerate(zip(SPLITS, (MIXED_LIGHT, MIXED_LIGHT, DUSK_LIGHT), strict=True)):
        city, places = _survey(seed, index, size, split)

        def database_name(place, view, first=first_place):
            return _panorama_name(first + place, view)

        def query_name(number, heading, first=first_query):
            return _panorama_name(first + number, round(heading * VIEWS / 360) % VIEWS)

        database = _database((seed, index), places, database_name)
        queries = _queries((seed, index), city, places, size[f"{split}_queries"], light, query_name)
        images += _write_images(root, "", city, database, size, workers, progress)
        images += _write_images(root, "queries_real", city, queries, size, workers, progress)
        _write_struct(root / f"datasets/city_{split}.mat", split, ORIGIN + index * ORIGIN_STEP, database, queries)
        first_place += len(places)
        first_query += len(queries)
    _write_annotations(root, images, size)


def write_city_night(
    root: Path, *, seed: int, size: dict, workers: int = 1, progress: Callable = lambda items, total: items
) -> None:
    """Write one city like Tokyo 24/7: panoramas by day, queries at night, a test split only.

    Database images are `00000/000000_00.jpg` (place // 100, place, view), VIEWS consecutive ones a place; queries are
    `247query_v2/00001.jpg` and on; `datasets/city_night.mat` is the split. Arguments as `write_city`, of whose sizes
    only the test split's are read.
    """
    city, places = _survey(seed, NIGHT, size, "test")
    database = _database((seed, NIGHT), places, lambda place, view: f"{place // 100:05d}/{place:06d}_{view:02d}.jpg")
    queries = _queries(
        (seed, NIGHT), city, places, size["test_queries"], NIGHT_LIGHT, lambda number, _: f"{number + 1:05d}.jpg"
    )
    images = _write_images(root, "", city, database, size, workers, progress)
    images += _write_images(root, "247query_v2", city, queries, size, workers, progress)
    _write_struct(root / "datasets/city_night.mat", "test", ORIGIN + NIGHT * ORIGIN_STEP, database, queries)
    _write_annotations(root, images, size)


def _panorama_name(number: int, view: int) -> str:
    return f"{number // 1000:03d}/{number:06d}_pitch1_yaw{view + 1}.jpg"


def _survey(seed: int, index: int, size: dict, split: str) -> tuple[CityLayout, np.ndarray]:
    """Build city `index` and choose its places: the (N, 2) street points around the central crossing."""
    city = build_city(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]), size["blocks"])
    points = street_points(city, size.get("spacing", 10.0))
    wanted = size[f"{split}_places"]
    if wanted > len(points):
        raise InputError(
            f"city: {size['blocks']} blocks a side have room for {len(points)} places, not {wanted} ({split}_places); "
            "ask for more blocks, a smaller spacing or fewer places"
        )
    middle = len(city.street_east) // 2
    centre = np.array([city.street_east[middle], city.street_north[middle]])
    nearest = np.argsort(np.linalg.norm(points - centre, axis=1), kind="stable")[:wanted]
    return city, points[np.sort(nearest)]


def _light(rng: np.random.Generator, mixture) -> float:
    _, low, high = mixture[rng.choice(len(mixture), p=[share for share, _, _ in mixture])]
    return float(rng.uniform(low, high))


def _database(seed: tuple, places: np.ndarray, name: Callable[[int, int], str]) -> list[PlannedPhoto]:
    """VIEWS photos by day at each place, from north clockwise."""
    photos = []
    for place, (east, north) in enumerate(places):
        for view in range(VIEWS):
            rng = np.random.default_rng([*seed, DATABASE, place * VIEWS + view])
            shot = Shot(float(east), float(north), view * 360.0 / VIEWS, _light(rng, DAY_LIGHT))
            photos.append(PlannedPhoto(name(place, view), jitter_shot(shot, rng, metres=0.0, degrees=0.0), rng))
    return photos


def _queries(
    seed: tuple, city: CityLayout, places: np.ndarray, count: int, light, name: Callable[[int, float], str]
) -> list[PlannedPhoto]:
    """Photos up to 4 m along and 2 m across the street from a random place, with any heading."""
    photos = []
    for number in range(count):
        rng = np.random.default_rng([*seed, QUERY, number])
        place = places[rng.integers(len(places))]
        along, across = rng.uniform(-4.0, 4.0), rng.uniform(-2.0, 2.0)
        northwards = np.isclose(city.street_east, place[0]).any()
        east, north = place + ((across, along) if northwards else (along, across))
        shot = Shot(float(east), float(north), float(rng.uniform(0.0, 360.0)), _light(rng, light))
        shot = jitter_shot(shot, rng, metres=0.0, degrees=0.0)
        photos.append(PlannedPhoto(name(number, shot.heading), shot, rng))
    return photos


def _write_images(
    root: Path, folder: str, city: CityLayout, photos: list[PlannedPhoto], size: dict, workers, progress
) -> list:
    """Render the photos into `root / folder` as JPEG files; return their (file name, boxes) for the annotations."""
    shape = {"height": size.get("height", 96), "width": size.get("width", 128)}
    for parent in {(root / folder / photo.name).parent for photo in photos}:
        parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        boxes = pool.map(partial(_write_image, root / folder, city, shape), photos, chunksize=CHUNK)
        names = [Path(folder, photo.name).as_posix() for photo in photos]
        return list(progress(zip(names, boxes, strict=True), total=len(photos)))


def _write_image(folder: Path, city: CityLayout, shape: dict, photo: PlannedPhoto) -> list[dict]:
    image, boxes = render_photo(city, photo.shot, photo.rng, **shape)
    Image.fromarray(image).save(folder / photo.name, quality=JPEG_QUALITY)
    return boxes


def _write_struct(
    path: Path, split: str, origin: np.ndarray, database: list[PlannedPhoto], queries: list[PlannedPhoto]
) -> None:
    """Write a split's `dbStruct`, field for field as published."""

    def names(photos):
        return np.array([photo.name for photo in photos], object)[:, None]

    def utm(photos):
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
    header = b"MATLAB 5.0 MAT-file"  # scipy's own names the time of writing
    write_bytes(path, header.ljust(116) + buffer.getvalue()[116:])


def _write_annotations(root: Path, images: list[tuple], size: dict) -> None:
    """Write the boxes of every image in COCO format."""
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
        "images": [{"id": image, "file_name": name} | shape for image, (name, _) in enumerate(images, start=1)],
        "annotations": [{"id": number} | annotation for number, annotation in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }
    write_bytes(root / "annotations.json", json.dumps(coco, sort_keys=True, separators=(",", ":")).encode())
