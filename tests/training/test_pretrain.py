import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vprlib.config import BackboneConfig, ImageConfig, PretrainConfig
from vprlib.models.checkpoint import check_module_state, load_weights
from vprlib.models.network import build_backbone
from vprlib.registry import FAMILIES
from vprlib.training.pretrain import add_batch_norm, fold_batch_norm, info_nce, pretrain_backbone, render_training_pairs


@pytest.mark.parametrize("name", [name.replace("*", "test_resnet") for name in FAMILIES["backbone"]])
def test_the_normalisation_of_pretraining_folds_away(name):
    torch.manual_seed(0)
    network = add_batch_norm(build_backbone(BackboneConfig(name=name)))
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    network.eval()
    x_BCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        before = network(x_BCHW)
        after = fold_batch_norm(copy.deepcopy(network))
        check_module_state(build_backbone(BackboneConfig(name=name)), after.state_dict(), name)
        torch.testing.assert_close(after(x_BCHW), before, rtol=1e-3, atol=1e-4)


def test_info_nce_agrees_with_its_definition():
    x_BD = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    unit = F.normalize(x_BD, dim=1).numpy()
    losses = []
    for i in range(6):
        scores = [np.exp(unit[i] @ unit[j] / 0.1) for j in range(6) if j != i]
        losses.append(-np.log(np.exp(unit[i] @ unit[(i + 3) % 6] / 0.1) / sum(scores)))
    assert info_nce(x_BD, 0.1).item() == pytest.approx(np.mean(losses), abs=1e-9)


def test_pairs_show_one_place_twice_whatever_the_number_of_workers():
    settings = PretrainConfig(cities=2, pairs=6, batch=2)
    photos = render_training_pairs(settings, 24, 32, 1)
    assert photos.shape == (2, 6, 3, 24, 32)
    assert torch.equal(photos, render_training_pairs(settings, 24, 32, 2))
    flat = photos.float().flatten(2)
    flat = F.normalize(flat - flat.mean(2, keepdim=True), dim=2)
    alike = torch.einsum("ad,bd->ab", flat[0], flat[1])
    assert alike.diagonal().mean() > alike.mean() + 0.2


def test_pretraining_again_gives_the_same_bytes_that_load(tmp_path):
    backbone = BackboneConfig(weights="pretrain", options={"width": 0.0625})
    settings = PretrainConfig(cities=1, pairs=8, batch=4, epochs=1)
    image = ImageConfig(height=32, width=48)
    for name in ("a", "b"):
        out = tmp_path / name
        pretrain_backbone(out, backbone=backbone, image=image, settings=settings, device=torch.device("cpu"), workers=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    load_weights(build_backbone(backbone), tmp_path / "a")
