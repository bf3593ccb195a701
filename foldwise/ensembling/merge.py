"""Merging several predictions of the same images into one: views, folds, members.

Of logits z_k, probabilities p_k and weights w_k that sum to 1, the merged logit is

    mean_probability   logit(sum w_k p_k)
    mean_logit         sum w_k z_k
    geometric_mean     logit(prod p_k ^ w_k)
    power_mean(a)      logit((sum w_k p_k ^ a) ^ (1 / a))
    max, median        of z_k
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from foldwise.ensembling.settings import POWER_MEAN, Merge
from foldwise.scoring.probability import log1mexp, log_sigmoid

# Up to here exp() of a logit and of its negative are float64 numbers.
SAFE = 700.0
# Rows merged at once, so that what lies between needs little memory.
CHUNK = 8192


def merge_logits(
    logits: Sequence[np.ndarray] | np.ndarray, how: Merge, weights: np.ndarray | None = None
) -> np.ndarray:
    """Merge over the first axis.

    All means of probabilities are taken so that nothing underflows: the result is finite for any
    finite logits.

    Args:
        logits: of every prediction (images, classes), alike in shape.
        how: `mean_probability`, `mean_logit`, `geometric_mean` (of probabilities), `power_mean(p)`
            (of probabilities: (mean of p-th powers) ** (1 / p)), `max`, or `median` (of logits).
        weights: of each prediction, not negative; None: all alike. `max` and `median` take none.

    Returns:
        float32 (images, classes), logits again.

    Raises:
        ValueError: weights are given to `max` or `median`.

    >>> logits = np.log([[[3]], [[1]]])  # p = 3/4 and 1/2
    >>> odds = {how: np.exp(merge_logits(logits, how)) for how in ("mean_probability", "max")}
    >>> {how: round(float(each[0, 0]), 3) for how, each in odds.items()}  # 5/8 to 3/8; 3/4 to 1/4
    {'mean_probability': 1.667, 'max': 3.0}
    """
    count = len(logits)
    if count == 1:
        return np.asarray(logits[0], np.float32)
    if weights is not None and how in ("max", "median"):
        raise ValueError(f"{how} takes no weights")
    shares = np.full(count, 1 / count) if weights is None else weights
    used = np.flatnonzero(shares)
    shares = (shares[used] / shares.sum())[:, None, None]
    merged = np.empty(logits[0].shape, np.float32)
    for start in range(0, len(merged), CHUNK):
        rows = slice(start, start + CHUNK)
        part = np.stack([logits[int(index)][rows] for index in used]).astype(np.float64)
        merged[rows] = _merged(part, how, shares)
    return merged


def _merged(logits: np.ndarray, how: Merge, shares: np.ndarray) -> np.ndarray:
    if how == "mean_probability":
        return _mean_probability(logits, shares)
    if how == "mean_logit":
        return (shares * logits).sum(0)
    if how == "max":
        return logits.max(0)
    if how == "median":
        return np.median(logits, 0)
    power = POWER_MEAN.fullmatch(how)
    present = log_sigmoid(logits)
    if power is None:
        present = (shares * present).sum(0)
    else:
        present = _power_mean(present, float(power[1]), shares)
    absent = log1mexp(present)
    # Where 1 - p is lost even to float64, it is the mean of all 1 - p, to first order.
    lost = ~np.isfinite(absent)
    if lost.any():
        absent[lost] = logsumexp(log_sigmoid(-logits[:, lost]), axis=0, b=shares[:, 0])
    return present - absent


def _mean_probability(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """log(mean p) - log(mean (1 - p))."""
    if np.abs(logits).max() < SAFE:
        odds = np.exp(-logits)
        p = 1 / (1 + odds)
        return np.log((shares * p).sum(0)) - np.log((shares * (odds * p)).sum(0))
    both = [logsumexp(log_sigmoid(each), axis=0, b=shares) for each in (logits, -logits)]
    difference: Any = both[0] - both[1]
    return difference


def _power_mean(logarithms: np.ndarray, power: float, shares: np.ndarray) -> np.ndarray:
    """Logarithm of the power mean: by expm1 near p = 1, else by logsumexp, each exact there."""
    near = (shares * np.expm1(power * logarithms)).sum(0)
    far = logsumexp(power * logarithms, axis=0, b=shares)
    return np.where(near > -0.5, np.log1p(np.maximum(near, -0.5)), far) / power
