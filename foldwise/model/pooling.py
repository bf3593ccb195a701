"""Pooling of the last features over height and width."""

import torch
from torch import nn

from foldwise.model.settings import Pooling


class GlobalPool(nn.Module):
    """Mean or maximum over height and width, or both beside each other.

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

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Of (images, channels, height, width)."""
        pooled = []
        if self.kind != "max":
            pooled.append(features.mean((2, 3), keepdim=not self.flatten))
        if self.kind != "avg":
            pooled.append(features.amax((2, 3), keepdim=not self.flatten))
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)
