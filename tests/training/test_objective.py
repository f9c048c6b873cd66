"""What a step computes, and how often."""

import pytest
import torch

from tests.helpers import tiny_training as mini
from vprlib.config import TrainConfig
from vprlib.models.aggregators.netvlad import region_descriptors
from vprlib.models.network import frozen_features
from vprlib.training.losses.sare import sare_ind
from vprlib.training.losses.sfrs import hard_loss, soft_loss
from vprlib.training.objective import Objective, TrainingTuple

SFRS = TrainConfig(**mini.SOFT)


def networks():
    student, teacher = mini.initial(), mini.initial().requires_grad_(False)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for model in (student, teacher):
            for parameter in model.aggregator.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=random))
    return student, teacher


def photos(count):
    return torch.randint(256, (count, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def through_the_trunk(model, batch_BCHW):
    with torch.no_grad():
        return frozen_features(model.backbone, batch_BCHW, model.image, torch.device("cpu"))


TUPLES = [TrainingTuple(0, 1, [2, 3, 4], [5, 1]), TrainingTuple(6, 1, [2, 7, 0], [5])]


def test_the_loss_of_sfrs_is_the_sum_of_its_parts():
    """A tuple and a photo at a time, with two whole networks."""
    student, teacher = networks()
    batch_BCHW = photos(8)
    found = Objective(student, teacher, SFRS)(through_the_trunk(student, batch_BCHW), TUPLES)
    with torch.no_grad():
        x, t = (
            [region_descriptors(model.aggregator, model.backbone.head(through_the_trunk(model, photo[None])))[0]
             for photo in batch_BCHW]
            for model in (student, teacher)
        )  # fmt: skip
        for row, (q, p, negatives, difficult) in enumerate(TUPLES):
            hard = hard_loss(x[q][0], x[p][0], torch.stack([x[n] for n in negatives]), sare_ind, 0.07)
            student_M, teacher_M = (torch.cat([own[d] @ own[q][0] for d in difficult]) for own in (x, t))
            soft = soft_loss(student_M, teacher_M, 0.07, SFRS.soft.temperature)
            distances = torch.stack([(x[q][0] - x[other][0]).norm() for other in (p, *negatives)])
            torch.testing.assert_close(found.statistics_TS[row, :2], torch.stack([hard, soft]), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found.statistics_TS[row, 2:], distances, atol=1e-3, rtol=0)
    hard, soft = found.statistics_TS[:, :2].mean(0)
    torch.testing.assert_close(found.loss.detach(), hard + 0.5 * soft)


def test_a_step_passes_the_trunk_once_and_the_teacher_only_what_it_is_asked():
    student, teacher = networks()
    passed = {"trunk": 0, "student": 0, "teacher": 0}

    def count(name):
        return lambda layer, x, y: passed.update({name: passed[name] + len(y)})

    student.backbone.layers["0"].register_forward_hook(count("trunk"))
    teacher.backbone.layers["0"].register_forward_hook(count("trunk"))
    student.backbone.layers["24"].register_forward_hook(count("student"))
    teacher.backbone.layers["24"].register_forward_hook(count("teacher"))
    one = [TrainingTuple(0, 1, list(range(2, 12)), list(range(12, 22)))]
    objective = Objective(student, teacher, SFRS)
    objective(through_the_trunk(student, photos(22)), one).loss.backward()
    assert passed == {"trunk": 22, "student": 22, "teacher": 11}
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_soft_labels_alone_leave_the_hard_loss_to_whole_photos():
    student, teacher = networks()
    trunk = through_the_trunk(student, photos(8))
    soft = TrainConfig(**mini.SOFT | {"regions": False})
    plain = TrainConfig(loss={"name": "sare_ind", "options": {"temperature": 0.07}})
    found, expected = Objective(student, teacher, soft)(trunk, TUPLES), Objective(student, None, plain)(trunk, TUPLES)
    torch.testing.assert_close(found.statistics_TS[:, 0].mean(), expected.loss.detach(), atol=1e-5, rtol=1e-5)


def test_a_tuple_s_loss_does_not_depend_on_the_others():
    student, teacher = networks()
    objective, trunk = Objective(student, teacher, SFRS), through_the_trunk(student, photos(8))
    together = objective(trunk, TUPLES).statistics_TS
    for row, one in enumerate(TUPLES):
        torch.testing.assert_close(objective(trunk, [one]).statistics_TS[0], together[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("recipe", [TrainConfig(), SFRS])
def test_bfloat16_is_near(recipe):
    student, teacher = networks()
    trunk = through_the_trunk(student, photos(8))
    half = recipe.model_copy(update={"precision": "bf16"})
    exact, near = (Objective(student, teacher, one)(trunk, TUPLES) for one in (recipe, half))
    assert near.loss.dtype == torch.float32
    assert near.loss != exact.loss
    torch.testing.assert_close(near.statistics_TS, exact.statistics_TS, atol=0.1, rtol=0.1)


@pytest.mark.slow
def test_compiled_layers_compute_the_same():
    losses, gradients = [], []
    for compiled in (False, True):
        student, teacher = networks()
        cost = Objective(student, teacher, SFRS, compiled)(through_the_trunk(student, photos(8)), TUPLES)
        cost.loss.backward()
        losses.append(cost.loss.detach())
        gradients.append([parameter.grad for parameter in student.parameters() if parameter.requires_grad])
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)
