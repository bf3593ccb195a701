"""The exact best threshold, and an honest estimate of what it gains."""

from dataclasses import dataclass

import numpy as np

from stages.settings.scoring import Objective


@dataclass(frozen=True)
class Curve:
    """Scores over every threshold that makes a difference."""

    thresholds: np.ndarray
    """(candidates,) float64 logits, rising: below all scores, between any two distinct ones, above
    all."""
    scores: np.ndarray
    """(candidates,) float64: the objective where labels are `logit >= threshold`."""


def counts_over_thresholds(
    logits: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """True and false positives for every threshold between two distinct scores.

    Labels of -1 take no part.

    Args:
        logits: any shape.
        labels: the same shape: 1, 0 or -1.

    Returns:
        thresholds, true positives, false positives (candidates,), and how many labels are 1 and 0.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.
    """
    used = labels >= 0
    scores, truth = logits[used].ravel(), labels[used].ravel()
    if scores.size == 0:
        raise ValueError("there is no labelled score to choose a threshold on")
    if not np.isfinite(scores).all():
        raise ValueError("some logits are not finite")
    order = np.argsort(scores)
    ascending = scores[order]
    positives_below = np.cumsum(truth[order], dtype=np.int64)
    last_of_run = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
    distinct = ascending[last_of_run].astype(np.float64)
    below = np.append(0, last_of_run + 1)
    positive = int(positives_below[-1])
    missed = np.append(0, positives_below[last_of_run])
    thresholds = np.concatenate(
        [[distinct[0] - 1], (distinct[:-1] + distinct[1:]) / 2, [distinct[-1] + 1]]
    )
    true_positive = positive - missed
    false_positive = (scores.size - below) - true_positive
    return thresholds, true_positive, false_positive, positive, scores.size - positive


def threshold_curve(logits: np.ndarray, labels: np.ndarray, objective: Objective) -> Curve:
    """The objective at every threshold that makes a difference; arguments as above."""
    thresholds, true_positive, false_positive, positive, negative = counts_over_thresholds(
        logits, labels
    )
    if objective == "accuracy":
        scores = (true_positive + negative - false_positive) / (positive + negative)
    else:
        # F1 = 2 TP / (2 TP + FP + FN); 0 where nothing is present and nothing predicted.
        total = true_positive + false_positive + positive
        scores = np.divide(2 * true_positive, total, out=np.zeros(len(total)), where=total > 0)
    return Curve(thresholds, scores)


def best_threshold(curve: Curve) -> float:
    """The threshold (a logit) of the highest score; among equals the one nearest to p = 0.5."""
    best = curve.thresholds[curve.scores == curve.scores.max()]
    return float(best[np.argmin(np.abs(best))])


def score_at(
    logits: np.ndarray, labels: np.ndarray, threshold: float | np.ndarray, objective: Objective
) -> float:
    """The objective where labels are `logit >= threshold` (which may be one per row)."""
    used = labels >= 0
    # np.float64: numpy would round a plain float to the logits' float32, onto a neighbour.
    predicted = (logits >= np.float64(threshold))[used]
    truth = labels[used] == 1
    if objective == "accuracy":
        return float((predicted == truth).mean())
    total = int(predicted.sum() + truth.sum())
    return float(2 * (predicted & truth).sum() / total) if total else 0.0


def cross_fitted(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, objective: Objective
) -> tuple[float, dict[int, float]]:
    """The score when every group's threshold is chosen on the other groups.

    Args:
        logits: (images, classes).
        labels: (images, classes).
        groups: (images,) integers, at least two different ones: the folds.

    Returns:
        The score over all images, and each group's threshold (a logit).
    """
    thresholds = {
        int(group): best_threshold(
            threshold_curve(logits[groups != group], labels[groups != group], objective)
        )
        for group in np.unique(groups)
    }
    per_row = np.array([thresholds[int(group)] for group in groups])[:, None]
    return score_at(logits, labels, per_row, objective), thresholds
