"""SARE, the stochastic attraction-repulsion embedding losses (Liu, Li and Dai, ICCV 2019).

With `temperature` None the similarity is minus the squared Euclidean distance, as in the paper and OpenIBL's baseline
Trainer. With a float it is the dot product divided by the temperature, as in SFRS (OpenIBL's SFRSTrainer, 0.07). For
unit vectors the first equals the second at temperature 0.5, since -|a - b|^2 = 2 a.b - 2.

Axes: B tuples, N negatives of a tuple, M = 1 + N images compared with the anchor, D dimensions.
"""

from typing import Annotated

import torch
from torch.nn import functional as F


def sare_ind(
    anchor_BD: torch.Tensor,
    positive_BD: torch.Tensor,
    negatives_BND: torch.Tensor,
    *,
    temperature: Annotated[float | None, "> 0"] = None,
) -> torch.Tensor:
    """Return the mean over B and N of -log[ e^p / (e^p + e^n) ]: each negative alone against the positive.

    Args:
        temperature: divides dot products; null takes minus the squared distance instead, as in the paper.

    Returns:
        A scalar.
    """
    positive_B1, negative_BN = sare_similarities(anchor_BD, positive_BD, negatives_BND, temperature)
    return F.softplus(negative_BN - positive_B1).mean()


def sare_joint(
    anchor_BD: torch.Tensor,
    positive_BD: torch.Tensor,
    negatives_BND: torch.Tensor,
    *,
    temperature: Annotated[float | None, "> 0"] = None,
) -> torch.Tensor:
    """Return the mean over B of -log[ e^p / (e^p + sum_n e^n) ]: all negatives together against the positive.

    Args:
        temperature: divides dot products; null takes minus the squared distance instead, as in the paper.

    Returns:
        A scalar.
    """
    positive_B1, negative_BN = sare_similarities(anchor_BD, positive_BD, negatives_BND, temperature)
    return (torch.cat([positive_B1, negative_BN], dim=1).logsumexp(1) - positive_B1[:, 0]).mean()


def sare_similarities(
    anchor_BD: torch.Tensor, positive_BD: torch.Tensor, negatives_BND: torch.Tensor, temperature: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exponents of the positive, (B, 1), and of the negatives, (B, N)."""
    others_BMD = torch.cat([positive_BD[:, None], negatives_BND], dim=1)
    if temperature is None:
        similarity_BM = -(anchor_BD[:, None] - others_BMD).square().sum(-1)
    else:
        similarity_BM = (anchor_BD[:, None] * others_BMD).sum(-1) / temperature
    return similarity_BM[:, :1], similarity_BM[:, 1:]
