"""Merging several predictions of the same images into one: views, folds, members."""

from collections.abc import Callable

import numpy as np

from stages.scoring.probability import log_sigmoid
from stages.settings.scoring import Merge


def merge_logits(logits: np.ndarray, how: Merge) -> np.ndarray:
    """Merge over the first axis.

    All means of probabilities are taken of their logarithms, so that nothing underflows: the
    result is finite for any finite logits.

    Args:
        logits: (predictions, images, classes).
        how: `mean_probability`, `mean_logit`, `geometric_mean` (of the probabilities) or `max`.

    Returns:
        float32 (images, classes), logits again.
    """
    if len(logits) == 1:
        return np.asarray(logits[0], np.float32)
    return MERGES[how](np.asarray(logits, np.float64)).astype(np.float32)


def _mean_probability(logits: np.ndarray) -> np.ndarray:
    # log(mean p) - log(mean (1 - p)); the number of predictions cancels.
    present = np.logaddexp.reduce(log_sigmoid(logits), axis=0)
    absent = np.logaddexp.reduce(log_sigmoid(-logits), axis=0)
    return present - absent


def _mean_logit(logits: np.ndarray) -> np.ndarray:
    return logits.mean(axis=0)


def _geometric_mean(logits: np.ndarray) -> np.ndarray:
    present = log_sigmoid(logits).mean(axis=0)
    # log(1 - exp(x)) for x < 0 in the form that is exact on both sides of -log 2
    # (Maechler 2012, "Accurately computing log(1 - exp(-|a|))").
    with np.errstate(divide="ignore"):
        absent = np.where(
            present > -np.log(2), np.log(-np.expm1(present)), np.log1p(-np.exp(present))
        )
    # Where even float64 holds no difference from 1, the smallest logit is the limit.
    return np.where(np.isfinite(absent), present - absent, logits.min(axis=0))


def _max(logits: np.ndarray) -> np.ndarray:
    return logits.max(axis=0)


MERGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean_probability": _mean_probability,
    "mean_logit": _mean_logit,
    "geometric_mean": _geometric_mean,
    "max": _max,
}
