"""Which pixels weights want: doubts about a wrong mean and std, the order of the channels, and values that are none."""

import logging

import h5py
import numpy as np
import pytest
import torch

from tests.helpers.published_checkpoints import published_state
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.config.published import IMAGENET, MATCONVNET
from vprlib.models.checkpoint import load_checkpoint, load_weights, save_checkpoint, write_weights
from vprlib.models.network import build_backbone, build_network
from vprlib.models.pixels import MARGIN, USUAL, doubt_pixels, mean_cosine, sample_photos
from vprlib.models.published_import import read_published
from vprlib.models.weights import fetch_weights, read_state_dict
from vprlib.models.whitening import Whitening
from vprlib.training.train import TrainingSources, initial_network

HALF = ImageConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CAFFE = ImageConfig(mean=(123 / 255, 117 / 255, 104 / 255), std=(1 / 255, 1 / 255, 1 / 255))
TINY = {"name": "vgg16", "options": {"width": 1 / 16}}
REAL = {
    "squeezenet1_0_imagenet.pth": ("squeezenet1_0", CAFFE, [IMAGENET, HALF]),
    "vgg16_hed_bsds500.safetensors": ("vgg16", MATCONVNET, [IMAGENET, HALF]),
    "efficientnet_lite0.safetensors": ("timm/tf_efficientnet_lite0", HALF, [MATCONVNET, CAFFE]),
}


@pytest.mark.parametrize("name", list(REAL))
def test_real_weights_are_doubted_with_wrong_pixels_only(name, real_data, tmp_path, caplog):
    backbone, right, wrong = REAL[name]
    section = BackboneConfig(name=backbone, weights="mine", file=str(real_data.parent / "weights" / name))
    fetch_weights(tmp_path / "w.safetensors", section, image=right)
    assert not caplog.text
    for image in wrong:
        caplog.clear()
        fetch_weights(tmp_path / "w.safetensors", section, image=image)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert name in record.getMessage()
        assert "too alike" in record.getMessage()


def biased_network(scale: float):
    """A network whose biases matter for pixels of standard deviation `scale`, as if it had been trained with them."""
    torch.manual_seed(0)
    network = build_backbone(BackboneConfig.model_validate(TINY))
    for number, layer in enumerate(network.layers.values()):
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.orthogonal_(layer.weight, gain=2)
            torch.nn.init.uniform_(layer.bias, -1, 1)
            layer.bias.data *= 0.01 * scale if number else 0.3 * scale
    return network


@torch.inference_mode()
def test_pixels_that_biases_outweigh_are_doubted_and_those_that_they_do_not_are_not():
    network = biased_network(60)
    doubt = doubt_pixels(network, IMAGENET)
    assert doubt is not None
    assert "MatConvNet" in doubt
    assert "0.485, 0.456, 0.406" in doubt
    assert "std: [0.00392157, 0.00392157, 0.00392157]" in doubt
    assert "\n" not in doubt
    assert doubt_pixels(network, MATCONVNET) is None
    assert doubt_pixels(network, CAFFE) is None


def test_the_measure_is_the_mean_cosine_of_all_pairs():
    photos, network = sample_photos(64, 96), biased_network(1)
    assert photos.shape == (4, 3, 64, 96)
    assert 0 <= photos.min() < 50 < 200 < photos.max() <= 255
    with torch.inference_mode():
        pixels = (photos / 255 - torch.tensor(HALF.mean)[:, None, None]) / torch.tensor(HALF.std)[:, None, None]
        local = network(pixels).permute(0, 2, 3, 1).reshape(-1, network.channels).numpy().astype(float)
    local /= np.linalg.norm(local, axis=1, keepdims=True)
    pairs = [one @ other for one in local for other in local]
    assert mean_cosine(network, photos, HALF) == pytest.approx(np.mean(pairs), abs=1e-4)
    assert len(USUAL) == 2
    assert MARGIN > 0


def test_blue_first_is_turned_round_when_the_file_is_read(tmp_path, refused):
    network = biased_network(1)
    torch.save(network.state_dict(), tmp_path / "bgr.pth")
    section = BackboneConfig(**TINY, weights="mine", file=str(tmp_path / "bgr.pth"), channel_order="bgr")
    fetch_weights(tmp_path / "w.safetensors", section)
    again = build_backbone(section)
    load_weights(again, tmp_path / "w.safetensors")
    photos = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        np.testing.assert_allclose(again(photos), network(photos.flip(1)), atol=1e-3)
        assert (again(photos) - network(photos)).abs().max() > 1
    torch.save({"0.weight": torch.ones(4)}, tmp_path / "bgr.pth")
    with refused("channel_order"):
        fetch_weights(tmp_path / "w.safetensors", section)


BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("value", BAD)
def test_weights_that_are_not_finite_are_refused_by_name(value, tmp_path, refused):
    small = BackboneConfig.model_validate(TINY)
    network = build_network(ImageConfig(), small, AggregatorConfig(name="gem"))
    state = network.backbone.state_dict()
    state["layers.28.bias"][2] = value
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "mine.pth")
    mine = BackboneConfig(**TINY, weights="mine", file=str(tmp_path / "mine.pth"))
    with refused(tmp_path / "mine.pth", "layers.28.bias", "1 values", "not finite"):
        fetch_weights(tmp_path / "out.safetensors", mine)
    assert not (tmp_path / "out.safetensors").exists()
    write_weights(tmp_path / "ours.safetensors", state, {})
    with refused(tmp_path / "ours.safetensors", "layers.28.bias", "not finite"):
        load_weights(network.backbone, tmp_path / "ours.safetensors")
    save_checkpoint(tmp_path / "c.safetensors", network, small, AggregatorConfig(name="gem"))
    with refused(tmp_path / "c.safetensors", "backbone.layers.28.bias", "not finite"):
        load_checkpoint(tmp_path / "c.safetensors")


PARTS = ["base_model.base.28.bias", "net_vlad.centroids", "pca_layer.weight", "pca_layer.bias"]


@pytest.mark.parametrize("part", PARTS)
def test_published_tensors_that_are_not_finite_are_refused_by_name(part, tmp_path, refused):
    state = published_state("openibl_hub", dims=6)
    state[part].view(-1)[1] = float("nan")
    torch.save(state, tmp_path / "hub.pth")
    with refused(tmp_path / "hub.pth", part, "not finite"):
        read_published(tmp_path / "hub.pth")


def test_whole_numbers_beside_the_weights_are_no_fault(tmp_path):
    state = {"a": torch.ones(3, dtype=torch.float16), "bn.num_batches_tracked": torch.tensor(7)}
    torch.save(state, tmp_path / "x.pth")
    assert set(read_state_dict(tmp_path / "x.pth")) == set(state)


@pytest.mark.parametrize("part", ["U", "lams", "mu", "Utmu"])
@pytest.mark.parametrize("value", BAD)
def test_a_pca_that_is_not_finite_is_refused_by_name(part, value, tmp_path, refused):
    arrays = {"U": np.eye(8, 4), "lams": np.ones(4), "mu": np.zeros((8, 1)), "Utmu": np.zeros((4, 1))}
    arrays[part].flat[-1] = value
    with h5py.File(tmp_path / "pca.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    with refused(tmp_path / "pca.h5", part, "1 values", "not finite"):
        Whitening.load(tmp_path / "pca.h5")


@pytest.mark.parametrize("part", ["centroids", "descriptors"])
def test_centroids_that_are_not_finite_are_refused_by_name(part, tmp_path, refused):
    backbone = BackboneConfig.model_validate(TINY)
    aggregator = AggregatorConfig(name="netvlad", options={"clusters": 4})
    write_weights(tmp_path / "w.safetensors", build_backbone(backbone).state_dict(), {})
    arrays = {"centroids": np.ones((4, 32), np.float32), "descriptors": np.ones((9, 32), np.float32)}
    arrays[part][1, 2] = np.nan
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    sources = TrainingSources("images.csv", tmp_path / "w.safetensors", centroids=tmp_path / "c.h5")
    with refused(tmp_path / "c.h5", part, "1 values", "not finite"):
        initial_network(ImageConfig(), backbone, aggregator, sources, TrainConfig(), 0)
