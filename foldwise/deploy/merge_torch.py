"""Merging of views and folds in torch, for graphs that run without us.

The same functions as `ensembling.merge` computes in numpy, in float64 where logarithms cancel.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from foldwise.ensembling.settings import POWER_MEAN, Merge
from foldwise.inference.view_logits import ThroughViews

# Below, 1 + x and 1 - exp(x) have lost the digits of x, and two terms of the series are exact.
# Written out, as ONNX has neither log1p nor expm1.
NEAR_ZERO = 1e-5


def _log1p(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() < NEAR_ZERO, x - x * x / 2, (1 + x).log())


def _expm1(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() < NEAR_ZERO, x + x * x / 2, x.exp() - 1)


def _log_sigmoid(logits: torch.Tensor) -> torch.Tensor:
    """log p of logits, float64, exact however near p is to 1."""
    return logits.clamp(max=0) - _log1p((-logits.abs()).exp())


def _log1mexp(logarithm: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log p < 0, float64."""
    near = (-logarithm).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(logarithm > -NEAR_ZERO, near.log() - near / 2, (1 - logarithm.exp()).log())


def merge_tensors(logits: torch.Tensor, how: Merge) -> torch.Tensor:
    """Merge float32 logits (predictions, images, classes) over the first axis, all alike.

    `how` is one of `ensembling.merge.merge_logits`, whose result this is, to float32's rounding.
    """
    count = logits.shape[0]
    if count == 1:
        return logits[0]
    exact = logits.double()
    if how == "mean_logit":
        return exact.mean(0).float()
    if how == "max":
        return logits.amax(0)
    if how == "median":
        ordered = exact.sort(0).values
        return ((ordered[(count - 1) // 2] + ordered[count // 2]) / 2).float()
    present, absent = _log_sigmoid(exact), _log_sigmoid(-exact)
    if how == "mean_probability":
        # Both logarithms lack the same log(count).
        return (present.logsumexp(0) - absent.logsumexp(0)).float()
    power = POWER_MEAN.fullmatch(how)
    if power is None:
        merged = present.mean(0)
    else:
        exponent = float(power[1])
        near = _expm1(exponent * present).mean(0)
        far = (exponent * present).logsumexp(0) - math.log(count)
        merged = torch.where(near > -0.5, _log1p(near.clamp(min=-0.5)), far) / exponent
    return (merged - _log1mexp(merged)).float()


class MergedViews(nn.Module):
    """One fold's network: uint8 images, as `geometry.as_input` makes them, to merged logits."""

    def __init__(self, seen: ThroughViews, merge: Merge) -> None:
        super().__init__()
        self.seen = seen
        self._merge = merge

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (images, classes)."""
        return merge_tensors(self.seen(images), self._merge)


class MergedFolds(nn.Module):
    """All folds of a member: uint8 images to the logits that their merge gives."""

    def __init__(self, folds: Sequence[MergedViews], merge: Merge) -> None:
        super().__init__()
        self.folds = nn.ModuleList(folds)
        self._merge = merge

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (images, classes)."""
        return merge_tensors(torch.stack([fold(images) for fold in self.folds]), self._merge)
