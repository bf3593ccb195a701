"""Merging of predictions and softmax log-odds in torch, for graphs that run without us.

The same functions as `scoring` computes in numpy, in float64 where logarithms cancel.
"""

import math

import torch

from foldwise.ensembling.settings import POWER_MEAN, Merge

# Below, 1 + x and 1 - exp(x) have lost the digits of x, and two terms of the series are exact.
# Written out, as ONNX has neither log1p nor expm1.
NEAR_ZERO = 1e-5


def _log1p(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() < NEAR_ZERO, x - x * x / 2, (1 + x).log())


def _expm1(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() < NEAR_ZERO, x + x * x / 2, x.exp() - 1)


def log_sigmoid(logits: torch.Tensor) -> torch.Tensor:
    """log p of logits, float64, exact however near p is to 1."""
    return logits.clamp(max=0) - _log1p((-logits.abs()).exp())


def log_not(logarithm: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log p < 0, float64."""
    near = (-logarithm).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(logarithm > -NEAR_ZERO, near.log() - near / 2, (1 - logarithm.exp()).log())


def merge_logits(logits: torch.Tensor, how: Merge) -> torch.Tensor:
    """Merge float32 logits (predictions, images, classes) over the first axis, all alike.

    `how` is one of `scoring.merge.merge_logits`, whose result this is, to float32's rounding.
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
    present, absent = log_sigmoid(exact), log_sigmoid(-exact)
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
    return (merged - log_not(merged)).float()


def softmax_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of the softmax p of logits (..., classes), same shape.

    From here on nothing need know that one class excludes the others: the sigmoid of what this
    returns is p, and the largest is the largest.
    """
    exact = logits.double()
    best = exact.argmax(-1, keepdim=True)
    is_best = torch.zeros_like(exact).scatter(-1, best, 1.0) > 0
    # Only the likeliest class's p may be near 1: it is held against the sum of the others.
    others = exact.masked_fill(is_best, -torch.inf).logsumexp(-1, keepdim=True)
    logarithm = exact.log_softmax(-1)
    odds = torch.where(is_best, exact - others, logarithm - (1 - logarithm.exp()).log())
    return odds.to(logits.dtype)
