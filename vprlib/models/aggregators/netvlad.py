"""NetVLAD (Arandjelovic et al., CVPR 2016), computed as two matrix products.

Axes: B images, C channels, H x W or P positions, K clusters, M sampled local descriptors, I x J quarters of a map
(Q of all images together).
"""

import math
from typing import Annotated

import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.nn import functional as F


class NetVLAD(nn.Module):
    """Aggregate (B, C, H, W) local features to (B, K*C) descriptors, cluster-major, L2-normalised.

    The sum of residuals over positions, sum_p a_kp (x_p - c_k), is computed as A X^T - (sum_p a_kp) c_k. Published
    implementations build a (B, K, C, H*W) tensor of residuals; this one does not.

    Args:
        channels: channels of the local features.
        clusters: number of visual words.
        bias: the assignment is softmax_k(assignment_k . x + bias_k), as in the paper's eq. 3; without it there is no
            bias_k, as in OpenIBL.
    """

    def __init__(self, channels: int, clusters: Annotated[int, ">= 2"] = 64, bias: bool = False) -> None:
        super().__init__()
        self.dim = channels * clusters
        self.assignment = nn.Parameter(torch.empty(clusters, channels))
        self.centroids = nn.Parameter(torch.empty(clusters, channels))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.zeros(clusters)) if bias else None)
        nn.init.kaiming_uniform_(self.assignment, a=math.sqrt(5))
        nn.init.uniform_(self.centroids)

    @torch.no_grad()
    def initialise(self, centroids_KC: ArrayLike | torch.Tensor, descriptors_MC: ArrayLike | torch.Tensor) -> None:
        """Set the centroids and the assignment from k-means; the closer the centroids, the sharper the assignment.

        assignment = alpha * unit centroids, alpha = -ln(0.01) / mean(largest - second largest dot product of the unit
        descriptors with the unit centroids): OpenIBL's rule (`ibl/models/netvlad.py`). With `vladv2`, pytorch-NetVlad
        and Patch-NetVLAD mistake the indices of the neighbours for their distances here; this does not.

        Args:
            centroids_KC: k-means centroids.
            descriptors_MC: a sample of local descriptors.

        Raises:
            ValueError: if the shapes do not fit, there are fewer than two clusters, or the nearest two centroids of
                every descriptor coincide.
        """
        centroids_KC = torch.as_tensor(centroids_KC, dtype=torch.float32)
        descriptors_MC = torch.as_tensor(descriptors_MC, dtype=torch.float32)
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

    def assign(self, x_BCP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Assign local features to visual words.

        Returns:
            The soft assignments (B, K, P), and the factors (B, 1, P) that give the features unit length.
        """
        scale_B1P = 1 / x_BCP.norm(dim=1, keepdim=True).clamp_min(1e-12)
        logits_BKP = (self.assignment @ x_BCP) * scale_B1P
        if self.bias is not None:
            logits_BKP = logits_BKP + self.bias[:, None]
        return torch.softmax(logits_BKP, dim=1), scale_B1P

    def residuals(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the sums of residuals (B, K, C), not normalised, of local features scaled to unit length."""
        x_BCP = x_BCHW.flatten(2)
        a_BKP, scale_B1P = self.assign(x_BCP)
        # the factors are multiplied into `a`, so no normalised copy of x is made
        return (a_BKP * scale_B1P) @ x_BCP.transpose(1, 2) - a_BKP.sum(2, keepdim=True) * self.centroids

    def describe_regions(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the descriptors of the whole map, its halves and its quarters; see `region_descriptors`."""
        return region_descriptors(self, x_BCHW)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the descriptors (B, K*C)."""
        return normalize_vlad(self.residuals(x_BCHW))


def region_residuals(netvlad: NetVLAD, x_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the sums of residuals (B, 9, K, C) of the whole map, its halves and its quarters (SFRS, section 3.2).

    They are not normalised. Order: whole, top, bottom, left, right, then the quarters row by row. Only the quarters are
    computed; the other sums are sums of theirs.

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


def region_descriptors(netvlad: NetVLAD, x_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the descriptors (B, 9, K*C) of the regions, each normalised like that of a whole image.

    The order is that of `region_residuals`.

    Raises:
        ValueError: if H or W is odd.
    """
    return normalize_vlad(region_residuals(netvlad, x_BCHW))


def normalize_vlad(residuals_BKC: torch.Tensor) -> torch.Tensor:
    """Normalise sums of residuals (..., K, C) to descriptors (..., K*C): per cluster, then as a whole."""
    return F.normalize(F.normalize(residuals_BKC, dim=-1).flatten(-2), dim=-1)
