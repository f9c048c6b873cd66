"""The triplet loss of NetVLAD."""

import torch


def triplet(anchor_BD, positive_BD, negatives_BND, *, margin: float):
    """mean over B and N of max(0, |q - p| - |q - n| + margin), distances not squared.

    As OpenIBL's Trainer (`ibl/trainers.py`), margin sqrt(0.1); the paper's eq. 7 has squared distances and margin 0.1.

    Returns:
        A scalar.
    """
    positive_B1 = (anchor_BD - positive_BD).norm(dim=-1)[:, None]
    negative_BN = (anchor_BD[:, None] - negatives_BND).norm(dim=-1)
    return torch.relu(positive_B1 - negative_BN + margin).mean()
