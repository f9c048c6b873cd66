"""SFRS's two losses, on images and their regions (Ge et al., ECCV 2020; OpenIBL, `ibl/trainers.py`, SFRSTrainer).

Axes: N negatives, R regions (the first is the whole image), M regions of all difficult positives.
"""

import torch


def hard_loss(anchor_D, positive_D, negatives_NRD, loss, temperature: float | None):
    """A SARE loss against the region of each negative that is most similar to the anchor; the choice has no gradient.

    Args:
        anchor_D, positive_D: descriptors of the whole images.
        negatives_NRD: descriptors of the negatives' regions.
        loss: `sare_ind` or `sare_joint`.
        temperature: as the loss takes it.

    Returns:
        A scalar.
    """
    with torch.no_grad():
        closest_N = (negatives_NRD @ anchor_D).argmax(1)
    hardest_ND = negatives_NRD[torch.arange(len(negatives_NRD), device=closest_N.device), closest_N]
    return loss(anchor_D[None], positive_D[None], hardest_ND[None], temperature=temperature)


def soft_loss(student_M, teacher_M, student_temperature: float, teacher_temperature: float):
    """Cross-entropy of the student's softmax over the regions against the teacher's (eq. 8); none for the teacher.

    Args:
        student_M, teacher_M: dot products of the anchor with every region of its difficult positives.

    Returns:
        A scalar, in nats.
    """
    target_M = (teacher_M / teacher_temperature).softmax(0).detach()
    return -(target_M * (student_M / student_temperature).log_softmax(0)).sum()
