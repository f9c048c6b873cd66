import os
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import timm
import torch

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, parse_config
from vprlib.models.checkpoint import load_checkpoint, load_weights, save_checkpoint, write_weights
from vprlib.models.feature_cache import cache_frozen_features
from vprlib.models.network import build_backbone, build_network
from vprlib.models.weights import fetch_weights

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
MODELS = [
    ("test_vit", -1),
    ("test_vit", 2),
    ("test_vit3", -2),
    ("test_resnet", 3),
    ("test_byobnet", -1),
    ("test_convnext", 1),
]


def section(name, **options):
    return BackboneConfig(name=f"timm/{name}", options=options)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def source(name, seed=1):
    """timm's whole model with random weights and, where it normalises by them, random statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, **({"dynamic_img_size": True} if "vit" in name else {})).eval()
    for number, part in enumerate(model.modules()):
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.copy_(rand(part.num_features, seed=number) / 10)
            part.running_var.copy_(1 + rand(part.num_features, seed=number).abs())
    return model


def by_hook(model, stage, x):
    """What a stage's module puts out in timm's own forward pass; of tokens the patches, laid out as a map."""
    seen, info = [], list(model.feature_info)[stage]
    model.get_submodule(info["module"]).register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    model(x)
    if seen[0].ndim == 4:
        return seen[0]
    height, width = (side // 16 for side in x.shape[2:])
    patches = seen[0][:, model.num_prefix_tokens :]
    return torch.stack([patches[:, row * width : (row + 1) * width] for row in range(height)], 1).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("name", "stage"), MODELS)
def test_the_features_are_those_of_timm_s_own_pass_with_the_same_weights(name, stage, tmp_path):
    theirs, x = source(name), rand(2, 3, 96, 160)
    torch.save(
        {"state_dict": {f"module.{key}": tensor for key, tensor in theirs.state_dict().items()}}, tmp_path / "w.pth"
    )
    mine = section(name, stage=stage).model_copy(update={"weights": "mine", "file": str(tmp_path / "w.pth")})
    fetch_weights(tmp_path / "w.safetensors", mine)
    backbone = build_backbone(mine)
    load_weights(backbone, tmp_path / "w.safetensors")
    with torch.no_grad():
        expected, found = by_hook(theirs, stage, x), backbone(x)
        torch.testing.assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-5)
        torch.testing.assert_close(backbone.head(backbone.trunk(x)), found, atol=0, rtol=0)
    assert found.shape[1:] == (backbone.channels, 96 // backbone.stride, 160 // backbone.stride)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_a_final_norm_is_applied_where_it_is_asked_for():
    theirs, x = source("test_vit"), rand(2, 3, 96, 160)
    backbone = build_backbone(section("test_vit", norm=True))
    state = theirs.state_dict()
    backbone.load_state_dict({name: state[name.removeprefix("layers.0.model.")] for name in backbone.state_dict()})
    with torch.no_grad():
        expected = theirs.norm(by_hook(theirs, -1, x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(backbone(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("train_from", "cut"), [("none", 1), ("all", 0)])
def test_a_model_is_frozen_or_trained_as_a_whole(train_from, cut):
    backbone = build_backbone(section("test_resnet", train_from=train_from))
    assert backbone.cut == cut
    assert {parameter.requires_grad for parameter in backbone.parameters()} == {cut == 0}
    assert all(name.startswith("layers.0.") for name in backbone.state_dict())
    assert not any(part.training for part in backbone.modules())


def test_a_checkpoint_of_a_timm_backbone_rebuilds_it(tmp_path):
    sections = (
        ImageConfig(height=64, width=96, **HALF),
        section("test_vit", stage=1),
        AggregatorConfig(options={"clusters": 4}),
    )
    model, x = build_network(*sections), rand(2, 3, 64, 96)
    save_checkpoint(tmp_path / "x", model, *sections[1:])
    torch.testing.assert_close(load_checkpoint(tmp_path / "x")[0](x), model(x), atol=0, rtol=0)
    assert model.dim == 256


REFUSED = {
    "name": ("vit_smal_patch14_dinov2", {}, {}, ["backbone.name", "timm/vit_small_patch14_dinov2"]),
    "tag": ("resnet50.a1_in1", {}, {}, ["backbone.name", "timm/resnet50.a1_in1k"]),
    "hub": ("hf-hub:someone/something", {}, {}, ["backbone.name", "hf-hub"]),
    "folder": ("local-dir:/somewhere", {}, {}, ["backbone.name", "local-dir"]),
    "stage": ("test_resnet", {"stage": 5}, {}, ["backbone.options: stage", "0 to 4, not 5"]),
    "height": ("vit_small_patch14_dinov2", {}, {}, ["14 x 14", "480 x 640", "height 476 or 490", "width 630 or 644"]),
    "width": ("test_vit", {}, {"width": 100, **HALF}, ["16 x 16", "height 480", "width 96 or 112"]),
    "fixed": ("test_vit_relpos", {}, HALF, ["160 x 160 only", "480 x 640"]),
    "mean": ("test_convnext", {}, {}, ["mean: [0.5, 0.5, 0.5]", "std: [0.5, 0.5, 0.5]"]),
}


@pytest.mark.parametrize(("name", "options", "image", "fragments"), REFUSED.values(), ids=list(REFUSED))
def test_what_a_timm_backbone_cannot_take_is_one_line(name, options, image, fragments, refused):
    with refused(*fragments):
        build_backbone(section(name, **options), ImageConfig(**image))


def test_without_timm_the_extra_is_named(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "timm", None)
    with refused("timm/test_resnet", "not installed", "vprlib[timm]"):
        build_backbone(section("test_resnet"))


def test_own_weights_of_a_timm_model_may_want_any_mean():
    backbone = section("test_convnext").model_copy(update={"weights": "mine", "file": "x"})
    assert build_backbone(backbone, ImageConfig()).channels == build_backbone(backbone).channels


def test_a_timm_backbone_has_a_path_of_one_part():
    raw = {"datasets": ["city"], "runs": {"a": {"train_set": "city", "backbone": {"name": "timm/test_vit.r160_in1k"}}}}
    assert parse_config(raw).runs["a"].backbone.path == "timm-test_vit.r160_in1k"


def test_weights_of_timm_that_cannot_be_downloaded_are_one_line(repository, tmp_path):
    code = (
        "import sys; from vprlib.config import BackboneConfig; from vprlib.models.weights import fetch_weights\n"
        "try: fetch_weights(sys.argv[1], BackboneConfig(name='timm/test_vit.r160_in1k'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, tmp_path / "out"]
    done = subprocess.run(command, cwd=repository, env=offline, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("InputError timm's weights of test_vit.r160_in1k cannot be downloaded")
    assert "file: PATH" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("backbone", "image"),
    [
        (section("test_resnet"), ImageConfig(height=64, width=96, **HALF)),
        (section("test_vit"), ImageConfig(height=64, width=96, **HALF)),
        (BackboneConfig(name="resnet18"), ImageConfig(height=64, width=96)),
    ],
    ids=lambda part: getattr(part, "name", None),
)
def test_the_trunk_s_cache_is_the_trunk_with_stored_statistics(backbone, image, tmp_path, photo):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    pixels = [photo(path, seed=number, size=(96, 64)) for number, path in enumerate(paths)]
    table = pd.DataFrame({"path": map(str, paths), "split": "train", "role": "database", "east": range(3), "north": 0})
    network = build_backbone(backbone, image)
    write_weights(tmp_path / "w", network.state_dict(), {})
    compute = {"device": torch.device("cpu"), "batch": 2, "workers": 0}
    cache_frozen_features(
        tmp_path / "t.h5", table=table, weights=tmp_path / "w", image=image, backbone=backbone, **compute
    )
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (image.mean, image.std))
    with torch.no_grad():
        x_BCHW = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255
        expected = network.trunk((x_BCHW - mean) / std).numpy()
    with h5py.File(tmp_path / "t.h5") as file:
        np.testing.assert_allclose(file["activations"], expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "patch", "size"),
    [
        ("test_resnet", 1, (480, 640)),
        ("test_vit", 16, (480, 640)),
        ("test_vit", 14, (476, 630)),  # as DINOv2's
        ("mixer_s16_224", 1, (224, 224)),
    ],
)
def test_a_model_takes_its_usual_image_with_pretrained_weights(name, patch, size):
    network = build_backbone(section(name))
    network.multiple = (patch, patch)
    network.check_image(network.usual_image, pretrained=True)
    assert network.usual_image.size == size
