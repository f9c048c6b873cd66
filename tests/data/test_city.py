import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprlib.data.layouts.dbstruct import read_mat_struct
from vprlib.data.synthetic import renderer, traffic
from vprlib.data.synthetic.camera import HORIZON, Shot, jitter_shot
from vprlib.data.synthetic.city_layout import CityLayout, build_city, street_points
from vprlib.data.synthetic.renderer import render_photo
from vprlib.data.synthetic.writer import HIT_RADIUS, ORIGIN_STEP, SPLITS, VIEWS, write_city, write_city_night

HEIGHT, WIDTH = 96, 128
FOCAL = WIDTH / 2 / np.tan(np.deg2rad(35.0))  # pixels at the default field of view
SIZE = {"height": 24, "width": 32, "blocks": 2, "spacing": 10.0}
SIZE |= {"train_places": 3, "train_queries": 4, "val_places": 2, "val_queries": 3, "test_places": 4, "test_queries": 5}


@pytest.fixture(scope="module")
def city() -> CityLayout:
    return build_city(7)


@pytest.fixture(scope="module")
def silhouette(city) -> CityLayout:
    """The city with black facades, 5 m high, and nothing before them."""
    looks = city.looks | {"height": np.full_like(city.looks["height"], 5.0)}
    looks |= {"paint": np.zeros_like(city.looks["paint"])}
    return replace(city, looks=looks, furniture=np.empty((0, 4)))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("written")
    write_city(root / "city", seed=3, size=SIZE)
    write_city_night(root / "city_night", seed=3, size=SIZE)
    return root


def photo(city, shot, seed=0):
    return render_photo(city, shot, np.random.default_rng(seed))[0]


def shot_at(city, index, heading, light=0.05):
    east, north = street_points(city, 10.0)[index]
    return Shot(east, north, heading, light)


def dark(image):
    return image.astype(float).mean(axis=2) < 60


@pytest.mark.parametrize("light", [0.0, 0.5, 1.0])
def test_same_seed_same_bytes(city, light):
    shot = shot_at(city, 20, 30.0, light)
    first, boxes = render_photo(city, shot, np.random.default_rng(1))
    again, boxes_again = render_photo(build_city(7), shot, np.random.default_rng(1))
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert boxes == boxes_again
    assert (first != photo(city, shot, seed=2)).any()


def test_cities_of_different_seeds_share_no_building(city):
    other = build_city(8)
    ours, theirs = ({tuple(paint) for paint in c.looks["paint"].reshape(len(c.edges), -1)} for c in (city, other))
    assert not ours & theirs


def test_a_city_needs_streets():
    with pytest.raises(ValueError, match="blocks"):
        build_city(0, blocks=1)


def test_a_camera_inside_a_block_is_refused(city):
    west, south, *_ = city.blocks[0]
    with pytest.raises(ValueError, match="inside a block"):
        photo(city, Shot(west + 5.0, south + 5.0, 0.0, 0.0))


def test_street_points_lie_on_centre_lines_and_apart(city):
    points = street_points(city, 10.0)
    on_line = [
        np.isclose(points[:, [axis]], s).any(axis=1) for axis, s in ((0, city.street_east), (1, city.street_north))
    ]
    assert np.all(on_line[0] | on_line[1])
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 100.0 * np.eye(len(points))
    assert distance.min() >= 5.0
    assert distance.min(axis=1).max() <= 10.0 + 1e-9


def test_facade_edges_follow_from_height_over_distance(silhouette):
    north = silhouette.blocks[0][[1, 3]].mean()
    shot = Shot(silhouette.street_east[1], north, 90.0, 0.0)
    rows = np.flatnonzero(dark(photo(silhouette, shot))[:, WIDTH // 2 - 20])
    top = HORIZON * HEIGHT - FOCAL * (5.0 - shot.camera_height) / silhouette.half_width
    base = HORIZON * HEIGHT + FOCAL * shot.camera_height / silhouette.half_width
    assert rows[0] == pytest.approx(top, abs=1.0)
    assert rows[-1] + 1 == pytest.approx(base, abs=1.0)


def test_the_vanishing_point_stays_when_the_camera_moves_forward(silhouette):
    """The roofs' edges, |column - centre| / (horizon - row) = half width / (height - camera's), meet at the horizon."""
    for forward in (0.0, 10.0):
        shot = Shot(silhouette.street_east[1], silhouette.street_north[0] + 20.0 + forward, 0.0, 0.0)
        sky = ~dark(photo(silhouette, shot))
        for row in (38, 41, 44):
            columns = np.flatnonzero(sky[row])
            half = silhouette.half_width / 3.0 * (HORIZON * HEIGHT - row - 0.5)
            assert columns[0] == pytest.approx(WIDTH / 2 - half, abs=2.0)
            assert columns[-1] + 1 == pytest.approx(WIDTH / 2 + half, abs=2.0)


def test_brightness_falls_from_day_to_night(city):
    means = [
        np.mean([photo(city, shot_at(city, index, 37.0 * index, light)).mean() for index in range(0, 40, 8)])
        for light in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert np.all(np.diff(means) < 0)
    assert means[0] > 2.0 * means[-1]


def test_boxes_lie_in_the_image_and_hold_all_that_traffic_changes(city, monkeypatch):
    monkeypatch.setattr(traffic, "LEAST_BOX", 0.0)
    seen = set()
    for seed in range(12):
        shot = shot_at(city, 3 * seed, 0.0, 0.1)
        image, boxes = render_photo(city, shot, np.random.default_rng(seed))
        with monkeypatch.context() as patch:
            patch.setattr(renderer, "traffic_around", lambda view, rng: [])
            empty = photo(city, shot, seed)
        changed = (np.abs(image.astype(int) - empty) > 12).any(axis=2)
        inside = np.zeros_like(changed)
        for box in boxes:
            x, y, width, height = box["bbox"]
            assert 0 <= x < x + width <= WIDTH
            assert 0 <= y < y + height <= HEIGHT
            inside[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))] = True
            seen.add(box["category"])
        assert not (changed & ~inside).any()
        assert changed.any() or not boxes
    assert seen == {"car", "person"}


def test_a_place_looks_more_like_itself_than_like_another(city):
    rng = np.random.default_rng(0)
    shots = [shot_at(city, index, 90.0 * (index % 4)) for index in range(2, 62, 6)]

    def descriptor(shot, seed):
        small = Image.fromarray(photo(city, shot, seed)).resize((16, 12), Image.Resampling.BOX)
        pixels = np.asarray(small, float) - np.asarray(small, float).mean(axis=(0, 1))
        return pixels.ravel() / np.linalg.norm(pixels)

    first = np.array([descriptor(shot, 1) for shot in shots])
    second = np.array([descriptor(jitter_shot(shot, rng, degrees=4.0), 2) for shot in shots])
    similarity = first @ second.T
    others = similarity[~np.eye(len(shots), dtype=bool)]
    assert np.diag(similarity).mean() > others.mean() + 0.2
    assert np.mean(similarity.argmax(axis=1) == np.arange(len(shots))) >= 0.7


def test_jitter_stays_near():
    shot, rng = Shot(10.0, 20.0, 355.0, 0.3), np.random.default_rng(0)
    for other in (jitter_shot(shot, rng, metres=1.5, degrees=12.0) for _ in range(200)):
        assert np.hypot(other.east - shot.east, other.north - shot.north) <= 1.5
        assert abs((other.heading - shot.heading + 180.0) % 360.0 - 180.0) <= 12.0
        assert other.light == shot.light
        assert other.exposure > 0


def test_pittsburgh_layout(written):
    root = written / "city"
    places, queries = [], []
    for number, split in enumerate(SPLITS):
        struct = read_mat_struct(root / f"datasets/city_{split}.mat")
        names, utm = struct["dbImage"], struct["utmDb"]
        assert list(struct)[:5] == ["whichSet", "dbImage", "utmDb", "qImage", "utmQ"]
        assert struct["whichSet"] == split
        assert struct["numDb"] == len(names) == utm.shape[1] == VIEWS * SIZE[f"{split}_places"]
        assert struct["numQ"] == len(struct["qImage"]) == struct["utmQ"].shape[1] == SIZE[f"{split}_queries"]
        assert struct["posDistThr"] == HIT_RADIUS
        assert [name[10:] for name in names[:VIEWS]] == [f"_pitch1_yaw{yaw}.jpg" for yaw in range(1, VIEWS + 1)]
        places += sorted({name[:10] for name in names})
        queries += [name[:10] for name in struct["qImage"]]
        distance = np.linalg.norm(struct["utmQ"][:, :, None] - utm[:, None], axis=0)
        assert distance.min(axis=1).max() <= 5.0
        assert (utm[0] // ORIGIN_STEP[0] == 117 + number).all()
        for folder, name in [("", name) for name in names] + [("queries_real", name) for name in struct["qImage"]]:
            with Image.open(root / folder / name) as image:
                assert image.size == (SIZE["width"], SIZE["height"])
    assert places == [f"000/{number:06d}" for number in range(9)]
    assert queries == [f"000/{number:06d}" for number in range(12)]


def test_tokyo_layout(written):
    root = written / "city_night"
    struct = read_mat_struct(root / "datasets/city_night.mat")
    assert list(struct["dbImage"]) == [f"00000/{place:06d}_{view:02d}.jpg" for place in range(4) for view in range(12)]
    assert list(struct["qImage"]) == [f"{number:05d}.jpg" for number in range(1, 6)]
    np.testing.assert_array_equal(struct["utmDb"][:, 0], struct["utmDb"][:, 11])
    for folder, names in (("", struct["dbImage"]), ("247query_v2", struct["qImage"])):
        assert all((root / folder / name).is_file() for name in names)


def test_places_are_neighbours(written):
    for mat in sorted(written.glob("*/datasets/*.mat")):
        points = read_mat_struct(mat)["utmDb"][:, ::VIEWS].T
        distance = np.linalg.norm(points[:, None] - points, axis=2) + 1e3 * np.eye(len(points))
        assert distance.min(axis=1).max() <= SIZE["spacing"] + 1e-6


def test_annotations_are_coco_and_complete(written):
    for root in sorted(written.iterdir()):
        coco = json.loads((root / "annotations.json").read_text())
        on_disk = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
        assert [image["file_name"] for image in coco["images"]] == on_disk
        assert [category["name"] for category in coco["categories"]] == ["car", "person"]
        ids = {image["id"] for image in coco["images"]}
        for annotation in coco["annotations"]:
            x, y, width, height = annotation["bbox"]
            assert annotation["image_id"] in ids
            assert annotation["area"] == pytest.approx(width * height)
            assert x + width <= SIZE["width"]
            assert y + height <= SIZE["height"]


def test_writing_twice_gives_the_same_bytes(written, tmp_path):
    write_city(tmp_path / "city", seed=3, size=SIZE)
    write_city_night(tmp_path / "city_night", seed=3, size=SIZE)
    first = {path.relative_to(written): path.read_bytes() for path in written.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert first == again


def test_too_few_streets_for_the_places(tmp_path):
    with pytest.raises(ValueError, match="room for"):
        write_city(tmp_path, seed=0, size=SIZE | {"train_places": 10_000})
    assert not (tmp_path / "annotations.json").exists()
