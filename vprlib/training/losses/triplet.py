"""The triplet loss of NetVLAD.

Axes: B tuples, N negatives of a tuple, D dimensions.
"""

from typing import Annotated

import torch


def triplet(
    anchor_BD: torch.Tensor,
    positive_BD: torch.Tensor,
    negatives_BND: torch.Tensor,
    *,
    margin: Annotated[float, "> 0"] = 0.31622776601683794,
) -> torch.Tensor:
    """Return the mean over B and N of max(0, |q - p| - |q - n| + margin), with distances not squared.

    It follows OpenIBL's Trainer (`ibl/trainers.py`), with margin sqrt(0.1). The paper's eq. 7 has squared distances
    and margin 0.1.

    Args:
        margin: by how much a negative must be farther away than the positive.

    Returns:
        A scalar.
    """
    positive_B1 = (anchor_BD - positive_BD).norm(dim=-1)[:, None]
    negative_BN = (anchor_BD[:, None] - negatives_BND).norm(dim=-1)
    return torch.relu(positive_B1 - negative_BN + margin).mean()
