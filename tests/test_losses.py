import math

import pytest
import torch

from vprlib.config import Train
from vprlib.losses.triplet import triplet


def unit(*shape, seed):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def test_the_margin_of_the_paper_is_the_default():
    assert Train().margin == pytest.approx(math.sqrt(0.1), abs=1e-15)


@pytest.mark.parametrize("margin", [0.01, math.sqrt(0.1), 2.5])
def test_triplet_agrees_with_the_definition(margin):
    anchor, positive, negatives = unit(4, 6, seed=0), unit(4, 6, seed=1), unit(4, 5, 6, seed=2)
    total = 0.0
    for q, p, some in zip(anchor.tolist(), positive.tolist(), negatives.tolist(), strict=True):
        for n in some:
            total += max(0.0, math.dist(q, p) - math.dist(q, n) + margin)
    assert triplet(anchor, positive, negatives, margin=margin).item() == pytest.approx(total / 20, rel=1e-12)
    assert total > 0


def test_identical_photos_have_finite_gradients():
    x = unit(1, 6, seed=0).requires_grad_()
    loss = triplet(x, x, x[:, None].expand(1, 3, 6), margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert torch.isfinite(x.grad).all()
