import json
import math
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from pydantic import ValidationError
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig
from vprlib.models.aggregators.netvlad import NetVLAD, region_descriptors, region_residuals
from vprlib.models.checkpoint import load_checkpoint, load_weights, save_checkpoint, write_weights
from vprlib.models.network import build_backbone, build_network
from vprlib.models.weights import fetch_weights, read_state_dict
from vprlib.registry import FAMILIES, load_object

SMALL = BackboneConfig(options={"width": 1 / 16})
WORDS = AggregatorConfig(options={"clusters": 4})
BACKBONES = {"vgg16": (512, 24), "alexnet": (256, 10), "squeezenet1_0": (512, 12), "resnet18": (256, 6)}
BACKBONES["resnet50"] = (1024, 6)  # channels, first trained module


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def network(backbone=SMALL, aggregator=WORDS, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(ImageConfig(height=32, width=48), backbone, aggregator)


def vlad_by_definition(x_BCHW, assignment_KC, centroids_KC, bias_K=0):
    """Every residual of every position to every centroid, weighted by its soft assignment, in one tensor."""
    x_BCP = x_BCHW.flatten(2)
    x_BCP = x_BCP / x_BCP.norm(dim=1, keepdim=True)
    a_BKP = torch.softmax(torch.einsum("kc,bcp->bpk", assignment_KC, x_BCP) + bias_K, dim=2).mT
    residual_BKCP = x_BCP[:, None] - centroids_KC[None, :, :, None]
    v_BKC = (a_BKP[:, :, None] * residual_BKCP).sum(3)
    v_BKC = v_BKC / v_BKC.norm(dim=2, keepdim=True)
    return v_BKC.flatten(1) / v_BKC.flatten(1).norm(dim=1, keepdim=True)


def test_netvlad_is_its_definition_in_single_precision():
    layer, x = NetVLAD(16, clusters=8), 5 * rand(3, 16, 5, 7)
    layer.assignment.data = 4 * rand(8, 16, seed=1)
    layer.centroids.data = rand(8, 16, seed=2) / 4
    expected = vlad_by_definition(x.double(), layer.assignment.double(), layer.centroids.double())
    assert layer(x).shape == (3, layer.dim) == (3, 128)
    torch.testing.assert_close(layer(x).double(), expected, atol=1e-6, rtol=0)


def test_the_gradients_of_netvlad_are_those_of_its_definition():
    layer, x = NetVLAD(6, clusters=3).double(), rand(2, 6, 3, 4, dtype=torch.float64).requires_grad_()
    cotangent = rand(2, 18, seed=3, dtype=torch.float64)
    inputs = (x, layer.assignment, layer.centroids)
    expected = torch.autograd.grad((vlad_by_definition(*inputs) * cotangent).sum(), inputs)
    found = torch.autograd.grad((layer(x) * cotangent).sum(), inputs)
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


def test_netvlad_may_have_a_bias_and_so_do_its_regions():
    plain, layer, x = NetVLAD(6, clusters=3).double(), NetVLAD(6, clusters=3, bias=True).double(), rand(2, 6, 4, 4)
    assert set(layer.state_dict()) - set(plain.state_dict()) == {"bias"}
    x = x.double()
    layer.load_state_dict(plain.state_dict() | {"bias": torch.zeros(3)})
    torch.testing.assert_close(layer(x), plain(x), atol=0, rtol=0)
    layer.bias.data = rand(3, seed=4, dtype=torch.float64)
    expected = vlad_by_definition(x, layer.assignment, layer.centroids, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-10, rtol=0)
    assert (layer(x) - plain(x)).abs().max() > 1e-2
    torch.testing.assert_close(region_descriptors(layer, x)[:, 0], expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(region_descriptors(layer, x)[:, 1], layer(x[:, :, :2]), atol=1e-10, rtol=0)
    gradients = [torch.autograd.grad(y[0, 0], layer.bias)[0] for y in (layer(x), expected)]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=0)
    assert build_network(
        ImageConfig(), SMALL, AggregatorConfig(options={"clusters": 4, "bias": True})
    ).aggregator.bias.shape == (4,)


def test_alpha_makes_the_nearest_two_centroids_a_hundred_to_one():
    layer = NetVLAD(3, clusters=3)
    centroids = torch.diag(torch.tensor([2.0, 0.5, 1.0]))  # unit directions e1, e2, e3
    angles = torch.tensor([0.1, 0.3, 1.2])
    descriptors = 7 * torch.stack([angles.cos(), angles.sin(), torch.zeros(3)], dim=1)
    alpha = math.log(100) / sum(abs(math.cos(a) - math.sin(a)) for a in (0.1, 0.3, 1.2)) * 3
    for order in ([0, 1, 2], [2, 0, 1]):
        layer.initialise(centroids.numpy(), descriptors[order].numpy())
        torch.testing.assert_close(layer.assignment.data, alpha * torch.eye(3), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layer.centroids.data, centroids)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 3\)"):
        layer.initialise(centroids[:2], descriptors)
    with pytest.raises(ValueError, match="two clusters"):
        NetVLAD(3, clusters=1).initialise(centroids[:1], descriptors)


def test_the_regions_are_the_map_its_halves_and_its_quarters():
    layer, x = NetVLAD(8, clusters=4), rand(2, 8, 6, 10)
    rows, columns = (slice(None, 3), slice(3, None)), (slice(None, 5), slice(5, None))
    crops = [x, x[:, :, rows[0]], x[:, :, rows[1]], x[..., columns[0]], x[..., columns[1]]]
    crops += [x[:, :, height][..., width] for height in rows for width in columns]
    sums, descriptors = region_residuals(layer, x), region_descriptors(layer, x)
    assert sums.shape == (2, 9, 4, 8)
    assert descriptors.shape == (2, 9, layer.dim)
    for number, crop in enumerate(crops):
        torch.testing.assert_close(sums[:, number], layer.residuals(crop), atol=1e-5, rtol=0)
        torch.testing.assert_close(descriptors[:, number], layer(crop), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(3, 4), (4, 3)])
def test_a_map_of_odd_size_has_no_quarters(size):
    with pytest.raises(ValueError, match=f"even.*{size[0]} x {size[1]}"):
        region_residuals(NetVLAD(8, clusters=4), rand(1, 8, *size))


@pytest.mark.parametrize("name", list(FAMILIES["aggregator"]))
def test_descriptors_are_unit_rows_that_do_not_depend_on_their_batch(name):
    model = network(
        BackboneConfig(name="resnet18"),
        AggregatorConfig(name=name, options={"clusters": 4} if name == "netvlad" else {}),
    ).train()
    x = rand(3, 3, 32, 48)
    together = model(x)
    assert together.shape == (3, model.dim)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(torch.cat([model(one[None]) for one in x]), together, atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["gem", "max", "mean"])
def test_pooling_is_its_definition(name):
    layer, x = load_object("aggregator", name)(5), rand(2, 5, 3, 4)
    q = 3
    value = {
        "gem": lambda values: (sum(max(v, 1e-6) ** q for v in values) / 12) ** (1 / q),
        "max": max,
        "mean": lambda values: sum(values) / 12,
    }[name]
    expected = torch.tensor([[value(channel.flatten().tolist()) for channel in one] for one in x])
    torch.testing.assert_close(layer(x), expected / expected.norm(dim=1, keepdim=True), atol=1e-6, rtol=1e-5)
    if name == "gem":
        positive, mean = x.abs() + 0.1, load_object("aggregator", "mean")(5)
        layer.power.data.fill_(1)
        torch.testing.assert_close(layer(positive), mean(positive))
        layer.power.data.fill_(60)
        torch.testing.assert_close(layer(positive), F.normalize(positive.amax((2, 3))), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_a_frozen_trunk_and_a_trained_head(name):
    channels, cut = BACKBONES[name]
    backbone, x = build_backbone(BackboneConfig(name=name)).eval(), rand(1, 3, 64, 96)
    features = backbone(x)
    assert (backbone.channels, backbone.stride, backbone.cut) == (channels, 16, cut)
    assert features.shape[1] == channels
    assert abs(features.shape[2] - 64 / 16) <= 1
    assert abs(features.shape[3] - 96 / 16) <= 1
    torch.testing.assert_close(backbone.head(backbone.trunk(x)), features)
    for parameter, tensor in backbone.named_parameters():
        assert tensor.requires_grad == (int(parameter.split(".")[1]) >= cut), parameter
    assert not backbone.trunk(x).requires_grad
    assert features.requires_grad


def test_a_backbone_refuses_options_it_does_not_have():
    with pytest.raises(ValidationError, match="no option 'widht'; did you mean 'width'"):
        BackboneConfig(options={"widht": 1})
    with pytest.raises(ValidationError, match=r"train_from must be 'conv1' or 'conv2'.* not 'conv9'"):
        BackboneConfig(options={"train_from": "conv9"})
    assert all(
        tensor.requires_grad for tensor in build_backbone(BackboneConfig(options={"train_from": "conv1"})).parameters()
    )


@pytest.mark.parametrize("name", BACKBONES)
def test_features_are_those_of_torchvision_with_the_same_weights(name, tmp_path):
    models = torchvision.models
    if name == "vgg16":
        source = nn.ModuleDict({"features": models.vgg.make_layers(models.vgg.cfgs["D"])})
    else:
        source = getattr(models, name)()
    source.eval()
    if name.startswith("resnet"):
        parts = [source.conv1, source.bn1, source.relu, source.maxpool, source.layer1, source.layer2, source.layer3]
        for number, part in enumerate(part for part in source.modules() if isinstance(part, nn.BatchNorm2d)):
            part.running_mean.copy_(rand(part.num_features, seed=number) / 10)
            part.running_var.copy_(1 + rand(part.num_features, seed=number).abs())
    else:
        parts = list(source["features"] if name == "vgg16" else source.features)
        parts = parts if name == "squeezenet1_0" else parts[:-2]
    state = {key: tensor for key, tensor in source.state_dict().items() if not key.startswith("classifier")}
    torch.save(state | {"classifier.1.weight": torch.ones(2)}, tmp_path / "source.pth")
    section = BackboneConfig(name=name, weights="mine", file=str(tmp_path / "source.pth"))
    fetch_weights(tmp_path / "ours.safetensors", section)
    ours, x = build_backbone(section).eval(), rand(1, 3, 64, 96)
    load_weights(ours, tmp_path / "ours.safetensors")
    with torch.no_grad():
        expected = nn.Sequential(*parts)(x)
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item())


@pytest.mark.parametrize("prefix", ["", "features.", "module.", "module.features.", "layers.", "module.layers."])
def test_weights_are_known_by_the_names_of_other_projects(prefix, tmp_path):
    state = {name.removeprefix("layers."): tensor for name, tensor in network().backbone.state_dict().items()}
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in state.items()}}, tmp_path / "x.pth.tar")
    section = SMALL.model_copy(update={"weights": "mine", "file": str(tmp_path / "x.pth.tar")})
    fetch_weights(tmp_path / "x.safetensors", section)
    loaded = build_backbone(SMALL)
    load_weights(loaded, tmp_path / "x.safetensors")
    assert all(torch.equal(tensor, state[name.removeprefix("layers.")]) for name, tensor in loaded.state_dict().items())


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_a_file_of_weights_that_carries_code_is_refused_and_the_code_not_run(tmp_path, refused):
    marker = tmp_path / "the code ran"
    for path, write in (("x.pth", torch.save), ("y.pth", lambda x, path: path.write_bytes(pickle.dumps(x)))):
        write({"0.weight": Code(marker)}, tmp_path / path)
        with refused(tmp_path / path):
            fetch_weights(tmp_path / "out", BackboneConfig(weights="mine", file=str(tmp_path / path)))
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"<html></html>", b"\x80\x04.", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_file_that_holds_no_weights_is_named_in_one_line(name, content, tmp_path, refused):
    path = tmp_path / name
    with refused(path):
        read_state_dict(path)
    path.write_bytes(content)
    with refused(path):
        read_state_dict(path)


STATES = [{"layers.norm.weight": torch.ones(2)}, {0: torch.ones(2)}, {"state_dict": [1]}, [torch.ones(2)], {}, {"x": 1}]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_weights_of_something_else_are_named_in_one_line(state, tmp_path, refused):
    torch.save(state, tmp_path / "x.pth")
    with refused(tmp_path / "x.pth"):
        fetch_weights(tmp_path / "out", BackboneConfig(weights="mine", file=str(tmp_path / "x.pth")))


def test_normalisation_layers_always_use_their_stored_statistics():
    model = network(BackboneConfig(name="resnet18", options={"train_from": "layer1"}), AggregatorConfig(name="gem"))
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model.train()
    model(rand(4, 3, 32, 32)).sum().backward()
    assert not any(module.training for module in model.modules())
    assert before
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


def test_a_checkpoint_rebuilds_its_network_and_has_the_same_bytes_again(tmp_path):
    model, x = network(), rand(2, 3, 32, 48)
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name, model, SMALL, WORDS, epoch=3, train={"margin": 0.5})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded, attributes = load_checkpoint(tmp_path / "one")
    torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=0)
    assert (loaded.image.height, loaded.image.width) == (32, 48)
    assert attributes["epoch"] == 3
    assert attributes["train"] == {"margin": 0.5}
    assert {"version", "commit", "backbone", "aggregator", "image"} <= set(attributes)


def test_a_checkpoint_that_does_not_fit_is_refused_by_the_names_of_its_layers(tmp_path, refused):
    good, bad = tmp_path / "good", tmp_path / "bad"
    save_checkpoint(good, network(), SMALL, WORDS)
    with safe_open(good, framework="pt") as file:
        attributes = json.loads(file.metadata()["vprlib"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    part = {name: tensor for name, tensor in state.items() if "layers" not in name}
    for wrong, fragments in (
        (state | {"aggregator.centroids": torch.ones(5, 32)}, ["aggregator.centroids is (5, 32), not (4, 32)"]),
        (state | {"extra": torch.ones(1)}, ["extra is unknown"]),
        (part, ["backbone.layers.0.weight is missing", "(and 23 more)"]),
    ):
        write_weights(bad, wrong, attributes)
        with refused(bad, *fragments):
            load_checkpoint(bad)
    write_weights(bad, state, {})
    with refused(bad, "description"):
        load_checkpoint(bad)
    bad.write_bytes(good.read_bytes()[:500])
    for path in (bad, tmp_path / "none"):
        with refused(path):
            load_checkpoint(path)


def test_a_checkpoint_of_others_runs_no_code_that_it_names(tmp_path, refused):
    described = {"image": {}, "aggregator": {"name": "max", "options": {}}}
    described["backbone"] = {"name": "subprocess:getoutput", "options": {"cmd": f"touch {tmp_path}/ran"}}
    write_weights(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, described)
    with refused("subprocess:getoutput"):
        load_checkpoint(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()
