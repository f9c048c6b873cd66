import math

import pytest
import torch

from vprlib.config import Train
from vprlib.losses.sare import sare_ind, sare_joint
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


def slow_sare(anchor, positive, negatives, temperature, joint):
    """The definition, a query and a negative at a time."""

    def weight(one, other):
        if temperature is None:
            return math.exp(-(math.dist(one, other) ** 2))
        return math.exp(sum(a * b for a, b in zip(one, other, strict=True)) / temperature)

    terms = []
    for q, p, some in zip(anchor.tolist(), positive.tolist(), negatives.tolist(), strict=True):
        near, far = weight(q, p), [weight(q, n) for n in some]
        terms += [-math.log(near / (near + sum(far)))] if joint else [-math.log(near / (near + one)) for one in far]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [None, 0.07, 0.5])
@pytest.mark.parametrize(("loss", "joint"), [(sare_ind, False), (sare_joint, True)])
def test_sare_and_its_gradient_agree_with_the_definition(loss, joint, temperature):
    made = [unit(3, 6, seed=0), unit(3, 6, seed=1), unit(3, 5, 6, seed=2).requires_grad_()]
    value = loss(*made, temperature=temperature)
    assert value.item() == pytest.approx(slow_sare(*made, temperature, joint), abs=1e-9)
    value.backward()
    step = torch.zeros_like(made[2])
    step[1, 2, 3] = 1e-6
    up, down = (slow_sare(*made[:2], made[2].detach() + sign * step, temperature, joint) for sign in (1, -1))
    assert made[2].grad[1, 2, 3].item() == pytest.approx((up - down) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("loss", [sare_ind, sare_joint])
def test_sare_on_unit_vectors_is_the_dot_form_at_temperature_one_half(loss):
    made = unit(4, 6, seed=3), unit(4, 6, seed=4), unit(4, 5, 6, seed=5)
    assert loss(*made).item() == pytest.approx(loss(*made, temperature=0.5).item(), abs=1e-12)


def test_sare_joint_is_sare_ind_with_one_negative():
    made = unit(4, 6, seed=3), unit(4, 6, seed=4), unit(4, 1, 6, seed=5)
    for temperature in (None, 0.07):
        both = [loss(*made, temperature=temperature).item() for loss in (sare_ind, sare_joint)]
        assert both[0] == pytest.approx(both[1], abs=1e-12)
