import math

import pytest
import torch

from vprlib.config import TrainConfig
from vprlib.training.losses.sare import sare_ind, sare_joint
from vprlib.training.losses.sfrs import hard_loss, soft_loss
from vprlib.training.losses.triplet import triplet


def unit(*shape, seed):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).requires_grad_()


def agrees(loss, slow, *inputs):
    """The loss and its gradient, to each number of each input, are those of the slow definition on plain lists."""
    value = loss(*inputs)
    assert value.item() == pytest.approx(slow(*(x.tolist() for x in inputs)), abs=1e-9)
    value.backward()
    step = 1e-6
    for moved, x in enumerate(inputs):
        for place in range(x.numel()):
            ends = []
            for sign in (1, -1):
                shifted = [one.detach().clone() for one in inputs]
                shifted[moved].view(-1)[place] += sign * step
                ends.append(slow(*(one.tolist() for one in shifted)))
            expected = (ends[0] - ends[1]) / (2 * step)
            assert x.grad.view(-1)[place].item() == pytest.approx(expected, abs=1e-6)
    return value


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_the_margin_of_the_paper_is_the_default():
    assert TrainConfig().loss.option("margin") == pytest.approx(math.sqrt(0.1), abs=1e-15)


@pytest.mark.parametrize("margin", [0.01, math.sqrt(0.1), 2.5])
def test_triplet_is_its_definition(margin):
    def slow(anchor, positive, negatives):
        pairs = [(q, p, n) for q, p, some in zip(anchor, positive, negatives, strict=True) for n in some]
        return sum(max(0.0, math.dist(q, p) - math.dist(q, n) + margin) for q, p, n in pairs) / len(pairs)

    made = unit(4, 6, seed=0), unit(4, 6, seed=1), unit(4, 5, 6, seed=2)
    assert agrees(lambda *x: triplet(*x, margin=margin), slow, *made) > 0


def test_identical_photos_have_finite_gradients():
    x = unit(1, 6, seed=0)
    loss = triplet(x, x, x[:, None].expand(1, 3, 6), margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert torch.isfinite(x.grad).all()


def slow_sare(anchor, positive, negatives, temperature, joint):
    """The definition, a query and a negative at a time."""

    def weight(one, other):
        if temperature is None:
            return math.exp(-(math.dist(one, other) ** 2))
        return math.exp(dot(one, other) / temperature)

    terms = []
    for q, p, some in zip(anchor, positive, negatives, strict=True):
        near, far = weight(q, p), [weight(q, n) for n in some]
        terms += [-math.log(near / (near + sum(far)))] if joint else [-math.log(near / (near + one)) for one in far]
    return sum(terms) / len(terms)


SARE = [(sare_ind, False), (sare_joint, True)]


@pytest.mark.parametrize("temperature", [None, 0.07, 0.5])
@pytest.mark.parametrize(("loss", "joint"), SARE)
def test_sare_is_its_definition(loss, joint, temperature):
    made = unit(3, 6, seed=0), unit(3, 6, seed=1), unit(3, 5, 6, seed=2)
    agrees(lambda *x: loss(*x, temperature=temperature), lambda *x: slow_sare(*x, temperature, joint), *made)


@pytest.mark.parametrize("loss", [sare_ind, sare_joint])
def test_sare_on_unit_vectors_is_the_dot_form_at_temperature_one_half(loss):
    made = unit(4, 6, seed=3), unit(4, 6, seed=4), unit(4, 5, 6, seed=5)
    assert loss(*made).item() == pytest.approx(loss(*made, temperature=0.5).item(), abs=1e-12)


def test_sare_joint_is_sare_ind_with_one_negative():
    made = unit(4, 6, seed=3), unit(4, 6, seed=4), unit(4, 1, 6, seed=5)
    for temperature in (None, 0.07):
        both = [loss(*made, temperature=temperature).item() for loss in (sare_ind, sare_joint)]
        assert both[0] == pytest.approx(both[1], abs=1e-12)


@pytest.mark.parametrize("temperature", [None, 0.07])
@pytest.mark.parametrize(("loss", "joint"), SARE)
def test_the_hard_loss_is_sare_against_the_closest_region_of_each_negative(loss, joint, temperature):
    def slow(anchor, positive, negatives):
        closest = [max(regions, key=lambda region: dot(anchor, region)) for regions in negatives]
        return slow_sare([anchor], [positive], [closest], temperature, joint)

    made = unit(6, seed=0), unit(6, seed=1), unit(5, 9, 6, seed=2)
    agrees(lambda *x: hard_loss(*x, loss, temperature), slow, *made)


def test_the_soft_loss_is_the_cross_entropy_against_the_teacher_who_has_no_gradient():
    def softmax(values, temperature):
        powers = [math.exp(value / temperature) for value in values]
        return [power / sum(powers) for power in powers]

    def slow(student):
        target, guess = softmax(teacher.tolist(), 0.05), softmax(student, 0.07)
        return -sum(t * math.log(g) for t, g in zip(target, guess, strict=True))

    student, teacher = unit(18, seed=0), unit(18, seed=1)
    agrees(lambda x: soft_loss(x, teacher, 0.07, 0.05), slow, student)
    assert teacher.grad is None


def test_a_student_who_says_what_the_teacher_says_has_no_gradient():
    student = unit(18, seed=0)
    soft_loss(student, student.detach(), 0.07, 0.07).backward()
    torch.testing.assert_close(student.grad, torch.zeros(18, dtype=torch.float64), atol=1e-12, rtol=0)
