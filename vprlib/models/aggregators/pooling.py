"""Aggregators that pool each channel to one value.

Axes: B images, C channels, H x W positions.
"""

import torch
from torch import nn
from torch.nn import functional as F


class GeM(nn.Module):
    """Pool each channel by its generalised mean (mean_p x_p^q)^(1/q), q learned (Radenovic et al. 2019, eq. 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return L2-normalised descriptors (B, C)."""
        return F.normalize(x_BCHW.clamp_min(1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power), dim=1)


class Max(nn.Module):
    """Pool each channel by its largest value (MAC)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return L2-normalised descriptors (B, C)."""
        return F.normalize(x_BCHW.amax((2, 3)), dim=1)


class Mean(nn.Module):
    """Pool each channel by its mean (SPoC without its centre prior)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return L2-normalised descriptors (B, C)."""
        return F.normalize(x_BCHW.mean((2, 3)), dim=1)
