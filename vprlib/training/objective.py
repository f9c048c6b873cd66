"""Compute the loss of training tuples from the cached features of their photos.

Axes: B images of a batch, C channels, H x W positions, D dimensions, T tuples, I images of a tuple (query, positive,
negatives), R regions (the first is the whole image), M regions of all difficult positives of a tuple, S statistics,
A images that the teacher describes.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from vprlib.config import TrainConfig
from vprlib.models.network import DescriptorNetwork
from vprlib.registry import load_object
from vprlib.training.losses.sfrs import hard_loss, soft_loss


class TrainingTuple(NamedTuple):
    """A query with its positive, negatives and difficult positives.

    The numbers are indices into a split, rows of the image table or positions in a batch, as the context says.
    """

    query: int
    positive: int
    negatives: list[int]
    difficult: list[int]  # positives with soft labels; empty without a teacher


def unique_images(tuples: Iterable[Sequence]) -> list[int]:
    """Return the images of tuples, each once, in increasing order.

    >>> unique_images([TrainingTuple(0, 5, [2, 3], []), TrainingTuple(1, 5, [3, 4], [])])
    [0, 1, 2, 3, 4, 5]
    """
    return sorted({row for q, p, negatives, difficult in tuples for row in (q, p, *negatives, *difficult)})


def split_into_passes(tuples: Sequence[TrainingTuple], most: int) -> list[list[TrainingTuple]]:
    """Split tuples into consecutive groups of at most `most` distinct images each.

    A single tuple with more images than that is a group of its own.

    >>> first, second = TrainingTuple(0, 5, [2, 3], []), TrainingTuple(1, 5, [3, 4], [])
    >>> len(split_into_passes([first, second], 6)), len(split_into_passes([first, second], 5))
    (1, 2)
    """
    groups: list[list[TrainingTuple]] = []
    for item in tuples:
        if groups and len(unique_images([*groups[-1], item])) <= most:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


class TupleLoss(NamedTuple):
    """Loss of T training tuples: the batch mean, and one row of statistics per tuple."""

    loss: torch.Tensor
    statistics_TS: torch.Tensor  # hard loss, soft loss, distance to the positive, distances to the negatives


def deterministic_gather(x_BD: torch.Tensor, positions_TI: torch.Tensor) -> torch.Tensor:
    """Return x_BD[positions_TI], (T, I, D); its gradient is summed in a fixed order.

    The gradient of plain indexing is summed by atomic operations of several threads, also on a CPU: for an image that
    occurs twice in a step its last digits would differ from run to run.
    """
    return x_BD.index_select(0, positions_TI.flatten()).unflatten(0, positions_TI.shape)


class Objective:
    """Compute the loss of tuples as the recipe defines it.

    Student and teacher share the frozen layers, so a single forward pass through them serves both. An image that
    occurs twice in a pass is described once.

    Args:
        model: the student, which is trained.
        teacher: the network that gives soft labels; needed if `settings.soft.weight` is not 0.
        settings: the recipe.
        compiled: compile the trained layers of the backbone.
    """

    def __init__(
        self, model: DescriptorNetwork, teacher: DescriptorNetwork | None, settings: TrainConfig, compiled: bool = False
    ) -> None:
        self.model, self.teacher, self.settings = model, teacher, settings
        self.head = torch.compile(model.backbone.head) if compiled else model.backbone.head
        self.loss = load_object("loss", settings.loss.name)
        self.options = settings.loss.options
        others = {name: value for name, value in self.options.items() if name != "temperature"}
        self.regional_loss = partial(self.loss, **others) if others else self.loss
        self.temperature: float | None = settings.loss.option("temperature") if settings.by_region else None

    def __call__(self, trunk_BCHW: torch.Tensor, tuples: Sequence[TrainingTuple]) -> TupleLoss:
        """Return the loss of tuples.

        Args:
            trunk_BCHW: the frozen layers' output for a batch, float32.
            tuples: their numbers are positions in the batch.
        """
        x_BCHW = self._local_features(self.head, trunk_BCHW)
        device, aggregator = x_BCHW.device, self.model.aggregator
        indices_TI = torch.tensor([[item.query, item.positive, *item.negatives] for item in tuples], device=device)
        if not self.settings.by_region:
            x_TID = deterministic_gather(aggregator(x_BCHW), indices_TI)
            loss = hard = self.loss(x_TID[:, 0], x_TID[:, 1], x_TID[:, 2:], **self.options)
            zeros_T = torch.zeros(len(tuples), device=device)
            return TupleLoss(loss, self._statistics(x_TID, hard.expand(len(tuples)), zeros_T))
        x_BRD = aggregator.describe_regions(x_BCHW)
        x_TID = deterministic_gather(x_BRD[:, 0], indices_TI)
        hard_T = torch.stack([self._hard(x_BRD, x_ID, row_I) for x_ID, row_I in zip(x_TID, indices_TI, strict=True)])
        soft_T = torch.zeros_like(hard_T)
        if self.settings.soft.weight:
            soft_T = torch.stack(self._soft(x_BRD, trunk_BCHW, tuples))
        loss = hard_T.mean() + self.settings.soft.weight * soft_T.mean()
        return TupleLoss(loss, self._statistics(x_TID, hard_T, soft_T))

    def _hard(self, x_BRD: torch.Tensor, x_ID: torch.Tensor, row_I: torch.Tensor) -> torch.Tensor:
        """Return the hard loss of one tuple, against whole negatives or their most similar regions."""
        if not self.settings.regions:
            return self.loss(x_ID[None, 0], x_ID[None, 1], x_ID[None, 2:], **self.options)
        return hard_loss(x_ID[0], x_ID[1], x_BRD.index_select(0, row_I[2:]), self.regional_loss, self.temperature)

    def _soft(
        self, x_BRD: torch.Tensor, trunk_BCHW: torch.Tensor, tuples: Sequence[TrainingTuple]
    ) -> list[torch.Tensor]:
        """Return the soft loss of each tuple. The teacher describes only queries and difficult positives."""
        teacher, student_temperature = self.teacher, self.temperature
        if teacher is None or student_temperature is None:
            raise ValueError("soft labels need a teacher, and a loss with a temperature")
        images_A = torch.tensor(sorted({row for item in tuples for row in (item.query, *item.difficult)}))
        with torch.no_grad():
            trunk_ACHW = trunk_BCHW.index_select(0, images_A.to(trunk_BCHW.device))
            teacher_ARD = teacher.aggregator.describe_regions(self._local_features(teacher.backbone.head, trunk_ACHW))
        losses = []
        for item in tuples:
            rows = torch.tensor([item.query, *item.difficult])
            positions = torch.searchsorted(images_A, rows).to(x_BRD.device)
            student_M = region_similarities(x_BRD.index_select(0, rows.to(x_BRD.device)))
            teacher_M = region_similarities(teacher_ARD.index_select(0, positions))
            losses.append(soft_loss(student_M, teacher_M, student_temperature, self.settings.soft.temperature))
        return losses

    def _local_features(self, head: Callable[[torch.Tensor], torch.Tensor], trunk_BCHW: torch.Tensor) -> torch.Tensor:
        """Return local features in float32; the recipe may have the convolutions computed in bfloat16."""
        with torch.autocast(
            trunk_BCHW.device.type, torch.bfloat16, enabled=uses_bfloat16(self.settings, trunk_BCHW.device)
        ):
            return head(trunk_BCHW).float()

    @torch.no_grad()
    def _statistics(self, x_TID: torch.Tensor, hard_T: torch.Tensor, soft_T: torch.Tensor) -> torch.Tensor:
        """Return `TupleLoss.statistics_TS`; distances are Euclidean distances of unit vectors."""
        similarity_TI = (x_TID[:, :1] * x_TID[:, 1:]).sum(2)
        distance_TI = (2 - 2 * similarity_TI).clamp_min(0).sqrt()
        return torch.cat([hard_T[:, None], soft_T[:, None], distance_TI], dim=1)


def region_similarities(x_IRD: torch.Tensor) -> torch.Tensor:
    """Return the dot products of the first image, whole, with every region of the others: (M,), M = (I - 1) R."""
    return (x_IRD[1:] @ x_IRD[0, 0]).flatten()


def uses_bfloat16(settings: TrainConfig, device: torch.device) -> bool:
    """Return whether the recipe has convolutions computed in bfloat16 on this device."""
    return settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
