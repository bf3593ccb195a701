"""Thresholds of classes, drawn to the common one where classes are rare."""

import numpy as np

from foldwise.decision.class_thresholds import class_thresholds
from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.objective import score
from foldwise.scoring.objective_settings import Objective
from foldwise.scoring.thresholds import best_threshold, threshold_curve

# Present labels that the common threshold counts as much as.
STRENGTHS = (0.0, 10.0, 30.0, 100.0, 300.0, 1000.0, np.inf)


def shrunk_thresholds(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, objective: Objective
) -> tuple[np.ndarray, float]:
    """The best thresholds of classes, drawn to the best common one.

    A class with n present labels gets (n own + k common) / (n + k). The strength k is the one of
    `STRENGTHS` whose cross-fitted score is highest; among equals the strongest.

    Args:
        logits: (images, classes) float32.
        labels: (images, classes): 1, 0 or -1.
        groups: (images,): what is left out together; parts of equal size if there is only one.
        objective: as for `class_thresholds`.

    Returns:
        Thresholds, float64 (classes,), and k.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.
    """
    predicted = cross_fit(
        logits,
        labels,
        with_several(groups),
        lambda own, truth, _: _decide_by_all(own, truth, objective),
    )
    scores = [score(labels, each, objective) for each in np.moveaxis(predicted, -1, 0)]
    best = max(range(len(STRENGTHS)), key=lambda index: (round(scores[index], 12), index))
    return drawn(logits, labels, objective)[best], STRENGTHS[best]


def drawn(logits: np.ndarray, labels: np.ndarray, objective: Objective) -> np.ndarray:
    """Thresholds at every strength, (strengths, classes)."""
    common = best_threshold(threshold_curve(logits, labels, objective))
    own = class_thresholds(logits, labels, objective)
    present = (labels == 1).sum(0)
    shares = np.zeros((len(STRENGTHS), labels.shape[1]))
    for share, strength in zip(shares, STRENGTHS, strict=True):
        if strength == 0:
            share[:] = 1
        elif np.isfinite(strength):
            share[:] = present / (present + strength)
    return shares * own + (1 - shares) * common


def _decide_by_all(logits: np.ndarray, labels: np.ndarray, objective: Objective) -> Apply:
    thresholds = drawn(logits, labels, objective).T
    return lambda held_out: (held_out[:, :, None] >= thresholds).astype(np.int8)
