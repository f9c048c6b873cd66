"""What training tuples cost: from the activations of their photos to the loss, and to what the history tells."""

import inspect
from typing import NamedTuple

import torch

from vprlib.config import TrainConfig
from vprlib.models.aggregators.netvlad import region_descriptors
from vprlib.models.network import DescriptorNetwork
from vprlib.registry import load_object
from vprlib.training.losses.sfrs import hard_loss, soft_loss


class TrainingTuple(NamedTuple):
    """A query and its photos, by whatever numbers them: rows of a split, or positions in a batch."""

    query: int
    positive: int
    negatives: list
    difficult: list  # positives with soft labels, none without a teacher


def unique_images(tuples) -> list:
    """The photos of tuples, each once."""
    return sorted({row for q, p, negatives, difficult in tuples for row in (q, p, *negatives, *difficult)})


def split_into_passes(tuples, most: int) -> list:
    """Cut tuples into runs of at most `most` distinct photos, or of one tuple."""
    runs = []
    for one in tuples:
        if runs and len(unique_images([*runs[-1], one])) <= most:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


class TupleLoss(NamedTuple):
    """Of T tuples: means, and a row of numbers each."""

    loss: torch.Tensor
    told_TS: torch.Tensor  # hard loss, soft loss, distance to the positive, distances to the negatives


def deterministic_gather(x_BD, positions_TI):
    """x_BD[positions_TI], (T, I, D), whose gradient is summed in a fixed order.

    The gradient of plain indexing adds by atomic operations from several threads, also on a CPU: a photo that occurs
    twice in a step then gets another last digit in every run.
    """
    return x_BD.index_select(0, positions_TI.flatten()).unflatten(0, positions_TI.shape)


class Objective:
    """The loss of tuples under a recipe.

    The teacher is the student's equal below the cut, so one pass through the trunk serves both. A photo that occurs
    twice in a pass is described once.
    """

    def __init__(
        self, model: DescriptorNetwork, teacher: DescriptorNetwork | None, settings: TrainConfig, compiled: bool = False
    ):
        self.model, self.teacher, self.settings = model, teacher, settings
        self.head = torch.compile(model.backbone.head) if compiled else model.backbone.head
        self.loss = load_object("loss", settings.loss)
        options = settings.model_dump()
        self.options = {name: options[name] for name in inspect.signature(self.loss).parameters if name in options}

    def __call__(self, trunk_BCHW, tuples: list) -> TupleLoss:
        """The cost of tuples of positions in a batch of the trunk's activations, (B, C, h, w) float32."""
        x_BCHW = self._local(self.head, trunk_BCHW)
        device, aggregator = x_BCHW.device, self.model.aggregator
        own_TI = torch.tensor([[one.query, one.positive, *one.negatives] for one in tuples], device=device)
        if not self.settings.by_region:
            x_TID = deterministic_gather(aggregator(x_BCHW), own_TI)
            loss = hard = self.loss(x_TID[:, 0], x_TID[:, 1], x_TID[:, 2:], **self.options)
            return TupleLoss(loss, self._told(x_TID, hard.expand(len(tuples)), torch.zeros(len(tuples), device=device)))
        x_BRD = region_descriptors(aggregator, x_BCHW)
        x_TID = deterministic_gather(x_BRD[:, 0], own_TI)
        hard_T = torch.stack([self._hard(x_BRD, x_ID, row_I) for x_ID, row_I in zip(x_TID, own_TI, strict=True)])
        soft_T = torch.zeros_like(hard_T)
        if self.settings.soft.weight:
            soft_T = torch.stack(self._soft(x_BRD, trunk_BCHW, tuples))
        loss = hard_T.mean() + self.settings.soft.weight * soft_T.mean()
        return TupleLoss(loss, self._told(x_TID, hard_T, soft_T))

    def _hard(self, x_BRD, x_ID, row_I):
        if not self.settings.regions:
            return self.loss(x_ID[None, 0], x_ID[None, 1], x_ID[None, 2:], **self.options)
        return hard_loss(x_ID[0], x_ID[1], x_BRD.index_select(0, row_I[2:]), self.loss, self.settings.temperature)

    def _soft(self, x_BRD, trunk_BCHW, tuples) -> list:
        asked = torch.tensor(sorted({row for one in tuples for row in (one.query, *one.difficult)}))
        with torch.no_grad():
            teacher = self.teacher
            known = self._local(teacher.backbone.head, trunk_BCHW.index_select(0, asked.to(trunk_BCHW.device)))
            known_ARD = region_descriptors(teacher.aggregator, known)
        losses = []
        for one in tuples:
            rows = torch.tensor([one.query, *one.difficult])
            student_M = region_similarities(x_BRD.index_select(0, rows.to(x_BRD.device)))
            teacher_M = region_similarities(known_ARD.index_select(0, torch.searchsorted(asked, rows).to(x_BRD.device)))
            losses.append(soft_loss(student_M, teacher_M, self.settings.temperature, self.settings.soft.temperature))
        return losses

    def _local(self, head, trunk_BCHW):
        """Local features in float32, by convolutions in bfloat16 where the recipe wants them."""
        with torch.autocast(
            trunk_BCHW.device.type, torch.bfloat16, enabled=uses_bfloat16(self.settings, trunk_BCHW.device)
        ):
            return head(trunk_BCHW).float()

    @torch.no_grad()
    def _told(self, x_TID, hard_T, soft_T):
        similar_TI = (x_TID[:, :1] * x_TID[:, 1:]).sum(2)
        distance_TI = (2 - 2 * similar_TI).clamp_min(0).sqrt()
        return torch.cat([hard_T[:, None], soft_T[:, None], distance_TI], dim=1)


def region_similarities(x_IRD):
    """Of the first image, whole, with every region of the others: (M,), M = (I - 1) R."""
    return (x_IRD[1:] @ x_IRD[0, 0]).flatten()


def uses_bfloat16(settings: TrainConfig, device: torch.device) -> bool:
    """Whether convolutions run in bfloat16."""
    return settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
