import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image as Picture

import vprlib
from tests.helpers.tiny_network import write_tiny_network
from tests.helpers.workflow import ROOT
from vprlib.__main__ import main
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.published_export import export_checkpoint
from vprlib.models.published_import import read_published
from vprlib.models.whitening import Whitening


@pytest.fixture
def place(tmp_path, photo):
    """A checkpoint, its whitening, another's whitening, and a folder of photos of its size."""
    write_tiny_network(tmp_path / "best.safetensors")
    rng = np.random.default_rng(0)
    whitening = Whitening.of_layer(rng.normal(size=(7, 128)), rng.normal(size=7))
    whitening.save(tmp_path / "pca.h5", {"checkpoint": sha256_of_file(tmp_path / "best.safetensors")})
    whitening.save(tmp_path / "other.h5", {"checkpoint": "0"})
    whitening.save(tmp_path / "unbound.h5")
    for number, name in enumerate(("b.png", "a.PNG", "c.png")):
        photo(tmp_path / "photos" / name, seed=number, size=(48, 32))
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path


def expected(place, names):
    model = read_published(place / "best.safetensors").model
    pixels = [np.asarray(Picture.open(place / "photos" / name)) for name in names]
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return model.describe(batch, torch.device("cpu")).numpy()


def test_photos_are_described_in_their_order(place):
    paths = [place / "photos" / name for name in ("c.png", "b.png", "a.PNG")]
    found = vprlib.describe(place / "best.safetensors", paths, batch=2)
    assert (found.shape, found.dtype) == ((3, 128), np.float32)
    np.testing.assert_allclose(found, expected(place, ("c.png", "b.png", "a.PNG")), atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_allclose(vprlib.describe(str(place / "best.safetensors"), str(paths[0])), found[:1], atol=1e-6)
    assert vprlib.describe(place / "best.safetensors", []).shape == (0, 128)


def test_descriptors_are_whitened_by_the_file_that_belongs_to_the_checkpoint(place, refused):
    paths = [place / "photos" / name for name in ("b.png", "c.png")]
    whitened = vprlib.describe(place / "best.safetensors", paths, whitening=place / "pca.h5")
    np.testing.assert_allclose(
        whitened, Whitening.load(place / "pca.h5").apply(expected(place, ("b.png", "c.png"))), atol=1e-5
    )
    for name in ("other.h5", "unbound.h5"):
        with refused(place / name, "another checkpoint"):
            vprlib.describe(place / "best.safetensors", paths, whitening=place / name)
    export_checkpoint(
        place / "best.safetensors", place / "x.pth.tar", format="patch_netvlad", whitening=place / "pca.h5"
    )
    published = read_published(place / "x.pth.tar")
    assert published.whitening.dim == 7
    assert vprlib.describe(place / "x.pth.tar", paths).shape == (2, 7)


def test_what_cannot_be_described_is_one_line(place, refused):
    (place / "broken.jpg").write_bytes((place / "photos" / "b.png").read_bytes()[:200])
    for checkpoint, image, device, *fragments in (
        ("best.safetensors", "broken.jpg", "auto", "broken.jpg", "decoded"),
        ("best.safetensors", "none.jpg", "auto", "none.jpg", "no such file"),
        ("none.pth", "photos/b.png", "auto", "none.pth", "no such file"),
        ("photos/b.png", "photos/b.png", "auto", "b.png", "torch file that holds only tensors"),
        ("best.safetensors", "photos/b.png", "gpu", "'gpu'", "'auto'"),
    ):
        with refused(*fragments):
            vprlib.describe(place / checkpoint, place / image, device=device)


def test_importing_the_package_is_instant(repository):
    code = "import sys, vprlib; vprlib.describe, vprlib.evaluate, vprlib.match; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    with pytest.raises(AttributeError, match="describle"):
        vprlib.describle  # noqa: B018


def test_the_command_describes_folders_and_photos(place, repository):
    command = [sys.executable, "-m", "vprlib", "describe", place / "best.safetensors", place / "photos"]
    command += [place / "photos" / "c.png", "--out", place / "out.h5", "--whitening", place / "pca.h5"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert "4 descriptors of 7 values" in done.stdout
    assert not done.stderr
    names = ["a.PNG", "b.png", "c.png", "c.png"]
    with h5py.File(place / "out.h5") as file:
        assert file["paths"].asstr()[:].tolist() == [str(place / "photos" / name) for name in names]
        assert file.attrs["checkpoint"] == sha256_of_file(place / "best.safetensors")
        whitened = Whitening.load(place / "pca.h5").apply(expected(place, names))
        np.testing.assert_allclose(file["descriptors"], whitened, atol=1e-5)


def test_the_command_writes_npy_and_exports(place, capsys):
    checkpoint = str(place / "best.safetensors")
    out, exported = str(place / "new" / "out.npy"), str(place / "x.pth.tar")
    assert main(["describe", checkpoint, str(place / "photos"), "--out", out, "--device", "cpu"]) == 0
    np.testing.assert_allclose(np.load(out), expected(place, ("a.PNG", "b.png", "c.png")), atol=1e-6)
    assert f"--whitening {place / 'pca.h5'}" in capsys.readouterr().out
    assert main(["export", checkpoint, exported, "--format", "pytorch_netvlad"]) == 0
    assert read_published(exported).format == "pytorch_netvlad"
    assert "x.pth.tar: pytorch_netvlad" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["describe", "best.safetensors", "photos", "--out", "x.csv"], ["x.csv", ".npy"]),
        (["describe", "best.safetensors", "empty", "--out", "x.h5"], ["empty", "holds no photo"]),
        (["describe", "best.safetensors", "photos/notes.txt", "--out", "x.h5"], ["notes.txt", "no photo"]),
        (["describe", "best.safetensors", "photos", "--out", "x.h5", "--batch", "0"], ["--batch 0"]),
        (["export", "best.safetensors", "x.pth", "--format", "openibl"], ["best.safetensors", "mean"]),
        (["describe", "best.safetensors", "none", "--out", "x.h5"], ["none: no such file or folder"]),
        (["describe", "none.pth", "photos", "--out", "x.h5"], ["none.pth: no such file"]),
        (["describe", "resnet8", "photos", "--out", "x.h5"], ["resnet8", "did you mean 'resnet18'?"]),
        (["describe", "resnet18+gam", "photos", "--out", "x.h5"], ["aggregator 'gam'", "did you mean 'gem'?"]),
        (["describe", "resnet18+netvlad", "photos", "--out", "x.h5"], ["centroids", "gem, max, mean"]),
        (["export", "none.safetensors", "x.pth", "--format", "openibl"], ["none.safetensors: no such file"]),
        (["export", "pca.h5", "x.pth", "--format", "openibl"], ["pca.h5", "safetensors"]),
    ],
)
def test_the_command_ends_on_bad_input_with_one_line(arguments, fragments, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "empty").mkdir()
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert not [fragment for fragment in fragments if fragment not in message], message
    assert not [path for path in place.iterdir() if path.name.startswith("x.")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe", "none.pth", "a.jpg", "--out", "x.h5"],
        ["describe", "best.safetensors", "none.jpg", "--out", "x.h5"],
        ["match", "photos", "none", "--network", "best.safetensors", "--out", "x"],
        ["evaluate", "--database", "photos", "--queries", "photos", "--network", "none.pth"],
        ["export", "none.safetensors", "x.pth", "--format", "openibl"],
    ],
)
def test_bad_arguments_are_told_before_torch_is_imported(arguments, place):
    """Which takes seconds. The time itself depends on the machine."""
    code = f"import sys; from vprlib.__main__ import main; print(main({arguments!r}), 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "False"], done.stderr
    assert "no such file" in done.stderr


def test_a_network_by_name_has_published_weights_and_pools(place, monkeypatch):
    """The weights lie where torch caches them, so nothing is downloaded."""
    import torchvision

    network = torchvision.models.squeezenet1_0(weights=None)
    cached = place / "hub/checkpoints/squeezenet1_0-b66bff10.pth"
    cached.parent.mkdir(parents=True)
    torch.save(network.state_dict(), cached)
    monkeypatch.setenv("TORCH_HOME", str(place))
    photo = place / "photos/b.png"
    found = vprlib.describe("squeezenet1_0+max", photo)
    pixels = torch.from_numpy(np.array(Picture.open(photo))).permute(2, 0, 1)
    resized = torchvision.transforms.functional.resize(pixels, [480, 640], antialias=True).float() / 255
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    normal = torchvision.transforms.functional.normalize(resized, mean, std)
    with torch.inference_mode():
        x_CHW = network.features.eval()(normal[None])[0]
    wanted = torch.nn.functional.normalize(x_CHW.amax((1, 2)), dim=0)
    assert np.abs(found[0] - wanted.numpy()).max() < 2e-3
