"""Pooling of the last features over height and width."""

import torch
from torch import nn

from foldwise.model.settings import Pooling

POWER = 3.0
"""Where `gem` starts."""
SMALLEST = 1e-6
"""What `gem` takes smaller features for: only positive numbers have roots."""


class GlobalPool(nn.Module):
    """Mean or maximum over height and width, both beside each other, or the generalised mean.

    `gem` (Radenovic et al. 2019, "Fine-tuning CNN image retrieval with no human annotation") is
    mean(x^p)^(1/p): the mean for p = 1, ever nearer to the maximum for larger p, which is learned.

    As timm's `SelectAdaptivePool2d`, without which networks of ours do not need timm: its import
    takes longer than many a stage.
    """

    def __init__(self, kind: Pooling, flatten: bool) -> None:
        """
        Args:
            kind: `both` are the means, then the maxima, twice as many channels.
            flatten: (images, channels) instead of (images, channels, 1, 1).
        """
        super().__init__()
        self.kind = kind
        self.flatten = flatten
        if kind == "gem":
            self.p = nn.Parameter(torch.full((1,), POWER))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Of (images, channels, height, width)."""
        if self.kind == "gem":
            # In float32: mixed precision has too few digits for powers, and roots of small numbers.
            powers = features.float().clamp(min=SMALLEST).pow(self.p)
            return powers.mean((2, 3), keepdim=not self.flatten).pow(1 / self.p)
        pooled = []
        if self.kind != "max":
            pooled.append(features.mean((2, 3), keepdim=not self.flatten))
        if self.kind != "avg":
            pooled.append(features.amax((2, 3), keepdim=not self.flatten))
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)
