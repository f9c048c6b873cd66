"""The two losses of SFRS, on images and their regions (Ge et al., ECCV 2020; OpenIBL, `ibl/trainers.py`, SFRSTrainer).

Axes: D dimensions, N negatives, R regions (the first is the whole image), M regions of all difficult positives.
"""

from collections.abc import Callable

import torch


def hard_loss(
    anchor_D: torch.Tensor,
    positive_D: torch.Tensor,
    negatives_NRD: torch.Tensor,
    loss: Callable[..., torch.Tensor],
    temperature: float | None,
) -> torch.Tensor:
    """Compute a SARE loss against the region of each negative that is most similar to the anchor.

    The choice of the region has no gradient.

    Args:
        anchor_D, positive_D: descriptors of the whole images.
        negatives_NRD: descriptors of the negatives' regions.
        loss: `sare_ind` or `sare_joint`.
        temperature: passed to the loss.

    Returns:
        A scalar.
    """
    with torch.no_grad():
        closest_N = (negatives_NRD @ anchor_D).argmax(1)
    hardest_ND = negatives_NRD[torch.arange(len(negatives_NRD), device=closest_N.device), closest_N]
    return loss(anchor_D[None], positive_D[None], hardest_ND[None], temperature=temperature)


def soft_loss(
    student_M: torch.Tensor, teacher_M: torch.Tensor, student_temperature: float, teacher_temperature: float
) -> torch.Tensor:
    """Compute the cross-entropy of the student's softmax over the regions against the teacher's (eq. 8).

    The teacher gets no gradient.

    Args:
        student_M, teacher_M: dot products of the anchor with every region of its difficult positives.
        student_temperature, teacher_temperature: divide the dot products.

    Returns:
        A scalar, in nats.
    """
    target_M = (teacher_M / teacher_temperature).softmax(0).detach()
    return -(target_M * (student_M / student_temperature).log_softmax(0)).sum()
