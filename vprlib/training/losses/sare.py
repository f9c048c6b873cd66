"""SARE, the stochastic attraction-repulsion embedding losses (Liu, Li and Dai, ICCV 2019).

`temperature` None is the paper's form, similarity minus the squared Euclidean distance (OpenIBL's baseline Trainer); a
float is SFRS's, dot product / temperature (OpenIBL's SFRSTrainer, 0.07). For unit vectors the first is the second at
temperature 0.5, since -|a - b|^2 = 2 a.b - 2.
"""

import torch
from torch.nn import functional as F


def sare_ind(anchor_BD, positive_BD, negatives_BND, *, temperature: float | None = None):
    """mean over B and N of -log[ e^p / (e^p + e^n) ], each negative alone against the positive.

    Returns:
        A scalar.
    """
    positive_B1, negative_BN = sare_similarities(anchor_BD, positive_BD, negatives_BND, temperature)
    return F.softplus(negative_BN - positive_B1).mean()


def sare_joint(anchor_BD, positive_BD, negatives_BND, *, temperature: float | None = None):
    """mean over B of -log[ e^p / (e^p + sum_n e^n) ], all negatives together against the positive.

    Returns:
        A scalar.
    """
    positive_B1, negative_BN = sare_similarities(anchor_BD, positive_BD, negatives_BND, temperature)
    return (torch.cat([positive_B1, negative_BN], dim=1).logsumexp(1) - positive_B1[:, 0]).mean()


def sare_similarities(anchor_BD, positive_BD, negatives_BND, temperature: float | None) -> tuple:
    """The exponents of the positive (B, 1) and of the negatives (B, N)."""
    others_BMD = torch.cat([positive_BD[:, None], negatives_BND], dim=1)
    if temperature is None:
        similar_BM = -(anchor_BD[:, None] - others_BMD).square().sum(-1)
    else:
        similar_BM = (anchor_BD[:, None] * others_BMD).sum(-1) / temperature
    return similar_BM[:, :1], similar_BM[:, 1:]
