import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.functional import resize

from vprlib.config import JitterConfig
from vprlib.images.augment import jitter_colours, normalize_photos
from vprlib.images.decode import decode_photo, upright_shape
from vprlib.images.framing import fit_to_size
from vprlib.images.loader import PhotoDataset, batched, load_batches


def channels_first(image):
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def test_a_png_decodes_to_its_pixels(tmp_path, photo):
    pixels = photo(tmp_path / "a.png", seed=0)
    found = fit_to_size(decode_photo(tmp_path / "a.png"), (24, 32), "fixed")
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "1", "I;16"])
def test_every_kind_of_png_becomes_rgb(mode, tmp_path):
    values = np.linspace(0, 255, 24 * 32).reshape(24, 32)
    if mode == "I;16":
        image = Image.fromarray((values * 257).astype(np.uint16))
    else:
        image = Image.fromarray(values.astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.repeat(values[None], 3, 0) if mode == "I;16" else channels_first(image)
    for size in ((24, 32), (12, 16)):
        found = fit_to_size(decode_photo(tmp_path / "a.png"), size, "fixed")
        assert found.dtype == torch.uint8
        assert found.shape == (3, *size)
    np.testing.assert_allclose(
        fit_to_size(decode_photo(tmp_path / "a.png"), (24, 32), "fixed").numpy(), expected, atol=1
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_by_its_exif(orientation, tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(tmp_path / "a.jpg", seed=1, exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        upright = ImageOps.exif_transpose(image)
    found = fit_to_size(decode_photo(tmp_path / "a.jpg"), upright.size[::-1], "fixed").numpy()
    difference = np.abs(found.astype(int) - channels_first(upright))
    assert difference.mean() < 3, "JPEG decoders differ by a few levels, turned photos by many"


def test_resizing_averages_what_it_leaves_out(tmp_path, photo):
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    found = fit_to_size(decode_photo(tmp_path / "stripes.png"), (8, 8), "fixed").numpy()
    assert found.shape == (3, 8, 8)
    assert np.abs(found.astype(int) - 127).max() <= 16
    image = Image.fromarray(photo(tmp_path / "a.png", seed=2, size=(64, 48)))
    smaller = channels_first(image.resize((20, 15), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(
        fit_to_size(decode_photo(tmp_path / "a.png"), (15, 20), "fixed").numpy(), smaller, atol=2
    )


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_truncated_or_missing_photo_is_named_in_one_line(kind, tmp_path, photo, refused):
    path = tmp_path / f"a.{kind}"
    with refused(path, "no such file"):
        fit_to_size(decode_photo(path), (24, 32), "fixed")
    photo(path, seed=3)
    content = path.read_bytes()
    for kept in (content[:-60], content[: len(content) // 2], content[:20], b"", b"no photo"):
        path.write_bytes(kept)
        with refused(path, "cannot be decoded"):
            fit_to_size(decode_photo(path), (24, 32), "fixed")


def test_a_damaged_png_is_named_and_does_not_crash_the_process(tmp_path, photo, repository):
    path = tmp_path / "a.png"
    photo(path, seed=4)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    code = "import sys; from vprlib.exceptions import InputError; from vprlib.images.decode import decode_photo\n"
    code += "try: decode_photo(sys.argv[1])\nexcept InputError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"{path}: cannot be decoded")


def test_normalising_takes_out_mean_and_deviation():
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(torch.uint8)
    section = SimpleNamespace(mean=(0.5, 0.25, 0.1), std=(0.2, 0.3, 1 / 255))
    found = normalize_photos(x, section, "cpu")
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (section.mean, section.std))
    torch.testing.assert_close(found.double(), (x.double() / 255 - mean) / std, atol=1e-4, rtol=1e-6)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_chunks_cut_without_loss():
    for count, size in ((0, 3), (1, 3), (6, 3), (7, 3)):
        found = batched(np.arange(count), size)
        assert [number for part in found for number in part] == list(range(count))
        assert all(len(part) == size for part in found[:-1])
        assert all(isinstance(number, int) for part in found for number in part)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_asked_for_and_errors_in_one_line(workers, tmp_path, photo, refused):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    pixels = [photo(path, seed=number).transpose(2, 0, 1) for number, path in enumerate(paths)]
    photos = PhotoDataset([*paths, tmp_path / "none.png"], 24, 32)
    state = torch.get_rng_state()
    found = list(load_batches(photos, [[3, 1], [0], [1, 2, 0]], workers=workers))
    for batch, numbers in zip(found, ([3, 1], [0], [1, 2, 0]), strict=True):
        np.testing.assert_array_equal(batch.numpy(), np.stack([pixels[number] for number in numbers]))
    assert torch.equal(torch.get_rng_state(), state)
    with refused("none.png: no such file"):
        list(load_batches(photos, [[0], [4]], workers=workers))


def test_jitter_is_torchvision_s_in_a_random_order_and_each_photo_s_own():
    from torchvision.transforms.v2 import functional as colours

    photos = torch.randint(256, (3, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = JitterConfig(brightness=0.7, contrast=0.6, saturation=0.5, hue=0.4)
    found = jitter_colours(photos, settings, [(0, n) for n in range(3)], "cpu")
    for number, photo in enumerate(photos):
        rng = np.random.default_rng((0, number))
        expected = photo.float() / 255
        for name in rng.permutation(["brightness", "contrast", "saturation", "hue"]):
            reach = getattr(settings, name)
            low, high = (-reach, reach) if name == "hue" else (1 - reach, 1 + reach)
            expected = getattr(colours, f"adjust_{name}")(expected, rng.uniform(low, high))
        torch.testing.assert_close(found[number], 255 * expected, rtol=0, atol=0)
    alone = jitter_colours(photos[1:2], settings, [(0, 1)], "cpu")
    torch.testing.assert_close(alone[0], found[1], rtol=0, atol=0)
    assert not torch.equal(jitter_colours(photos[1:2], settings, [(0, 7)], "cpu"), alone)
    assert 0 <= found.min() <= found.max() <= 255


def test_a_jitter_of_one_kind_leaves_the_others():
    photos = torch.randint(256, (1, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    brighter = jitter_colours(photos, JitterConfig(brightness=0.5), [(0, 3)], "cpu")
    scale = np.random.default_rng((0, 3))
    scale.permutation(1)
    torch.testing.assert_close(brighter, (photos * scale.uniform(0.5, 1.5)).clamp(0, 255).float(), atol=1e-3, rtol=0)
    assert not JitterConfig()


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (24, 32), (90, 31)])
def test_framings_keep_the_shape_or_cut_it_off(tmp_path, photo, size):
    """A ramp in both directions tells which part of a photo is seen: its value at a point is the point's place."""
    height, width = size
    down, right = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * down / height, 255 * right / width, 0 * down], axis=2).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "ramp.png")
    at = lambda photo_CHW: photo_CHW[:2].float().mean((1, 2)) / 255  # noqa: E731 the place of a part's middle

    def seen(framing):
        return PhotoDataset([tmp_path / "ramp.png"], 24, 32, framing)[0]

    shorter = seen("shorter")
    assert min(shorter.shape[1:]) == 32
    assert shorter.shape[1] / shorter.shape[2] == pytest.approx(height / width, rel=0.03)
    crop = seen("crop")
    assert crop.shape == (3, 24, 32)
    np.testing.assert_allclose(at(crop), 0.5, atol=0.03)
    factor = max(24 / height, 32 / width)
    spans = [(side[-1] - side[0]) / 255 for side in (crop[0, :, 16].float(), crop[1, 12].float())]
    np.testing.assert_allclose(spans, [24 / (factor * height), 32 / (factor * width)], atol=0.06)
    five = seen("five_mean")
    assert five.shape == (5, 3, 24, 24)
    down, right = (24 / (2 * side * 24 / min(size)) for side in size)  # half a crop's share of each side
    places = [(down, right), (down, 1 - right), (1 - down, right), (1 - down, 1 - right), (0.5, 0.5)]
    np.testing.assert_allclose([at(part) for part in five], places, atol=0.03)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photo_s_shape_is_read_from_its_header(orientation, tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(tmp_path / "a.jpg", seed=1, exif=exif)
    assert upright_shape(tmp_path / "a.jpg") == decode_photo(tmp_path / "a.jpg").shape[1:]


def test_photos_of_one_shape_pass_together(tmp_path, photo):
    sizes = [(32, 24), (24, 32), (32, 24), (40, 24), (32, 24)]
    for number, size in enumerate(sizes):
        photo(tmp_path / f"{number}.png", seed=number, size=size)
    photos = PhotoDataset([tmp_path / f"{number}.png" for number in range(5)], 24, 32, "shorter")
    assert photos.batches_by_shape([4, 3, 2, 1, 0], 2) == [[0, 2], [4], [1], [3]]
    assert PhotoDataset(photos.paths, 24, 32).batches_by_shape([4, 3, 2], 2) == [[0, 1], [2]]


@pytest.mark.parametrize("shape", [(450, 800), (3264, 2448), (333, 1000), (97, 31)])
@pytest.mark.parametrize("side", [640, 480, 33])
def test_the_longer_side_is_cut_to_whole_pixels_as_torchvision_does(shape, side):
    photo = torch.zeros(3, *shape, dtype=torch.uint8)
    expected = resize(photo, side).shape[1:]
    assert fit_to_size(photo, (min(side, 480), side), "shorter").shape[1:] == expected
