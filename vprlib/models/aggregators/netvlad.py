"""NetVLAD (Arandjelovic et al., CVPR 2016), as two matrix products.

Axes: B images, C channels, H x W positions, K clusters, M sampled local descriptors.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class NetVLAD(nn.Module):
    """(B, C, H, W) local features -> (B, K*C) descriptors, cluster-major, L2-normalised.

    The residual sum over positions sum_p a_kp (x_p - c_k) is computed as A X^T - (sum_p a_kp) c_k: the (B, K, C, H*W)
    tensor of residuals that published codes build is never there. With `bias` the assignment is
    softmax_k(assignment_k . x + bias_k), as in the paper's eq. 3; without it, as in OpenIBL.
    """

    def __init__(self, channels: int, clusters: int = 64, bias: bool = False):
        super().__init__()
        self.dim = channels * clusters
        self.assignment = nn.Parameter(torch.empty(clusters, channels))
        self.centroids = nn.Parameter(torch.empty(clusters, channels))
        self.register_parameter("bias", nn.Parameter(torch.zeros(clusters)) if bias else None)
        nn.init.kaiming_uniform_(self.assignment, a=math.sqrt(5))
        nn.init.uniform_(self.centroids)

    @torch.no_grad()
    def initialise(self, centroids_KC, descriptors_MC):
        """Start from k-means centroids, with assignments as sharp as the nearest two centroids of the sample are apart.

        assignment = alpha * unit centroids, alpha = -ln(0.01) / mean(largest - second largest dot product of the unit
        descriptors with the unit centroids): OpenIBL's rule (`ibl/models/netvlad.py`). pytorch-NetVlad and
        Patch-NetVLAD with `vladv2` take the neighbours' indices for their distances here; this does not.

        Raises:
            ValueError: if the shapes do not fit, or there are fewer than two clusters.
        """
        centroids_KC, descriptors_MC = (torch.as_tensor(x, dtype=torch.float32) for x in (centroids_KC, descriptors_MC))
        if centroids_KC.shape != self.centroids.shape:
            raise ValueError(f"centroids are {tuple(centroids_KC.shape)}, the layer is {tuple(self.centroids.shape)}")
        if len(centroids_KC) < 2:
            raise ValueError("the rule needs at least two clusters")
        unit_KC = F.normalize(centroids_KC, dim=1)
        top_M2 = (F.normalize(descriptors_MC, dim=1) @ unit_KC.T).topk(2, dim=1).values
        gap = (top_M2[:, 0] - top_M2[:, 1]).double().mean().item()
        if not gap > 0:
            raise ValueError("the nearest two centroids of every descriptor coincide")
        alpha = -math.log(0.01) / gap
        self.assignment.copy_(alpha * unit_KC)
        self.centroids.copy_(centroids_KC)

    def assign(self, x_BCP):
        """(B, K, P) soft assignments of local features to words, and (B, 1, P) what makes the features unit."""
        scale_B1P = 1 / x_BCP.norm(dim=1, keepdim=True).clamp_min(1e-12)
        logits_BKP = (self.assignment @ x_BCP) * scale_B1P
        if self.bias is not None:
            logits_BKP = logits_BKP + self.bias[:, None]
        return torch.softmax(logits_BKP, dim=1), scale_B1P

    def residuals(self, x_BCHW):
        """(B, K, C) residual sums, un-normalised; of x with unit length over its channels."""
        x_BCP = x_BCHW.flatten(2)
        a_BKP, scale_B1P = self.assign(x_BCP)
        # the unit length of x is folded into `a`, so no normalised copy of x is made
        return (a_BKP * scale_B1P) @ x_BCP.transpose(1, 2) - a_BKP.sum(2, keepdim=True) * self.centroids

    def forward(self, x_BCHW):
        return normalize_vlad(self.residuals(x_BCHW))


def region_residuals(netvlad: NetVLAD, x_BCHW):
    """(B, 9, K, C) residual sums of the whole map, its halves and its quarters, un-normalised (SFRS, section 3.2).

    Order: whole, top, bottom, left, right, then the quarters row by row. Sums add, so only the quarters are computed.

    Raises:
        ValueError: if H or W is odd.
    """
    height, width = x_BCHW.shape[2:]
    if height % 2 or width % 2:
        raise ValueError(f"quarters need a feature map of even height and width, this one is {height} x {width}")
    quarters_BCIHJW = x_BCHW.unflatten(3, (2, width // 2)).unflatten(2, (2, height // 2))
    quarters_QCHW = quarters_BCIHJW.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    quarters_B4KC = netvlad.residuals(quarters_QCHW).unflatten(0, (-1, 4))
    top_left, top_right, bottom_left, bottom_right = quarters_B4KC.unbind(1)
    top, bottom, left, right = (
        top_left + top_right, bottom_left + bottom_right, top_left + bottom_left, top_right + bottom_right
    )  # fmt: skip
    sums_B5KC = torch.stack([top + bottom, top, bottom, left, right], dim=1)
    return torch.cat([sums_B5KC, quarters_B4KC], dim=1)


def region_descriptors(netvlad: NetVLAD, x_BCHW):
    """(B, 9, K*C) descriptors of the regions, each normalised as a whole image's is; order as `region_residuals`."""
    return normalize_vlad(region_residuals(netvlad, x_BCHW))


def normalize_vlad(residuals_BKC):
    """Residual sums (..., K, C) -> descriptors (..., K*C): unit length per cluster, then as a whole."""
    return F.normalize(F.normalize(residuals_BKC, dim=-1).flatten(-2), dim=-1)
