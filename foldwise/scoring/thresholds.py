"""The exact best threshold for all classes together.

A score changes only where a threshold passes a logit, so one threshold between any two distinct
logits is enough to find the optimum. Thresholds are logits; a label is predicted where
`logit >= threshold`.
"""

from dataclasses import dataclass

import numpy as np

from foldwise.scoring.cross_fitting import Apply, Fit
from foldwise.scoring.objective import EPSILON, Objective, measure


@dataclass(frozen=True)
class Curve:
    """Scores over every threshold that makes a difference."""

    thresholds: np.ndarray
    """(candidates,) float64 logits, rising: below all scores, between any two distinct ones, above
    all."""
    scores: np.ndarray
    """(candidates,) float64: the objective where labels are `logit >= threshold`."""


@dataclass(frozen=True)
class Counts:
    """What is predicted at every threshold that makes a difference, of one group of scores."""

    thresholds: np.ndarray
    """(candidates,) as in `Curve`."""
    true_positive: np.ndarray
    """(candidates,) integers."""
    false_positive: np.ndarray
    """(candidates,) integers."""
    positive: int
    """How many labels are present."""
    negative: int
    """How many labels are absent."""

    def measured(self, objective: Objective) -> np.ndarray:
        """The objective's measure at every threshold, (candidates,).

        >>> counts = counts_over_thresholds(np.array([1, 0, 1]), np.float32([-1, 0, 2]))
        >>> counts.measured(Objective(name="accuracy")).round(3).tolist()
        [0.667, 0.333, 0.667, 0.333]
        """
        positive, negative = np.array(self.positive), np.array(self.negative)
        return measure(objective, self.true_positive, self.false_positive, positive, negative)


def between(distinct: np.ndarray) -> np.ndarray:
    """One threshold below all of some rising scores, between any two, and above all; float64.

    Args:
        distinct: (scores,), at least one.

    >>> between(np.array([0.0, 1.0])).tolist()
    [-1.0, 0.5, 2.0]
    """
    exact = distinct.astype(np.float64)
    return np.concatenate([[exact[0] - 1], (exact[:-1] + exact[1:]) / 2, [exact[-1] + 1]])


def counts_over_thresholds(labels: np.ndarray, logits: np.ndarray) -> Counts:
    """True and false positives for every threshold between two distinct scores.

    Args:
        labels: any shape: 1, 0, or -1, which takes no part.
        logits: the same shape; float32, so that float64 has room between any two of them.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.

    >>> counts = counts_over_thresholds(np.array([1, 0, 1]), np.float32([-1, 0, 2]))
    >>> counts.thresholds.tolist()
    [-2.0, -0.5, 1.0, 3.0]
    >>> counts.true_positive.tolist(), counts.false_positive.tolist()
    ([2, 1, 1, 0], [1, 1, 0, 0])
    """
    used = labels >= 0
    scores, truth = logits[used], labels[used]
    _check(scores)
    order = np.argsort(scores)
    ascending = scores[order]
    last_of_run = _ends(ascending)
    below = np.append(0, last_of_run + 1)
    positives_below = np.append(0, np.cumsum(truth[order], dtype=np.int64)[last_of_run])
    positive = int(positives_below[-1])
    true_positive = positive - positives_below
    false_positive = (scores.size - below) - true_positive
    return Counts(
        between(ascending[last_of_run]),
        true_positive,
        false_positive,
        positive,
        scores.size - positive,
    )


def threshold_curve(labels: np.ndarray, logits: np.ndarray, objective: Objective) -> Curve:
    """The objective at every threshold that makes a difference.

    O(n log n) for n scores, O(n) memory. An objective that is a mean over groups (classes or
    images) changes where one of its groups does: each group's steps are found by a sort of its own,
    and added up in the order of all scores.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        objective: any.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.

    >>> labels, logits = np.array([[0], [1], [0], [1]]), np.float32([[-1], [1], [2], [3]])
    >>> curve = threshold_curve(labels, logits, Objective(name="accuracy"))
    >>> curve.thresholds.tolist()
    [-2.0, 0.0, 1.5, 2.5, 4.0]
    >>> curve.scores.tolist()
    [0.5, 0.75, 0.5, 0.75, 0.5]
    """
    if objective.average == "micro":
        counts = counts_over_thresholds(labels, logits)
        return Curve(counts.thresholds, counts.measured(objective))
    _check(logits[labels >= 0])
    if objective.average == "macro":
        logits, labels = logits.T, labels.T
    used = labels >= 0
    counted = np.full(len(labels), True) if objective.average == "macro" else used.any(1)
    positive, negative = (labels == 1).sum(1)[:, None], (labels == 0).sum(1)[:, None]
    # In every row (a group) ascending, what takes no part last.
    order = np.argsort(np.where(used, logits, np.inf), axis=1)
    scores, truth, taken = (
        np.take_along_axis(each, order, 1) for each in (logits, labels == 1, used)
    )
    missed = truth.cumsum(1)
    rejected = (taken & ~truth).cumsum(1)
    values = measure(objective, positive - missed, negative - rejected, positive, negative)
    first = measure(objective, positive, negative, positive, negative)
    ends = taken.copy()
    ends[:, :-1] &= (scores[:, 1:] != scores[:, :-1]) | ~taken[:, 1:]
    # A step is what a group's value changes by from one of its distinct scores to the next.
    row, _ = np.nonzero(ends)
    after = values[ends]
    starts = np.append(True, row[1:] != row[:-1])
    before = np.where(starts, first[row, 0], np.append(0, after[:-1]))
    where = scores[ends]
    ascending = np.argsort(where)
    start = first[counted].sum()
    total = start + np.cumsum((after - before)[ascending])
    last_of_run = _ends(where[ascending])
    scored = np.append(start, total[last_of_run]) / counted.sum()
    return Curve(between(where[ascending][last_of_run]), scored)


def best_threshold(curve: Curve) -> float:
    """The threshold (a logit) of the highest score; among equals the one nearest to p = 0.5.

    >>> best_threshold(Curve(np.array([-3.0, 0.5, 2.0]), np.array([0.5, 0.9, 0.7])))
    0.5
    """
    return nearest_best(curve.thresholds, curve.scores)


def nearest_best(thresholds: np.ndarray, scores: np.ndarray) -> float:
    """As `best_threshold`, of two arrays (candidates,).

    >>> nearest_best(np.array([-3.0, 0.5, 2.0]), np.array([0.9, 0.7, 0.9]))
    2.0
    """
    best = thresholds[scores >= scores.max() - EPSILON]
    return float(best[np.argmin(np.abs(best))])


def threshold_fit(objective: Objective, single: bool) -> Fit:
    """Fits one threshold for all classes; nothing where images have one label.

    Args:
        objective: what the threshold is best for.
        single: every image has one label, of the largest logit.

    Returns:
        What `cross_fit` fits: of labels, logits and groups a function from logits (images, classes)
        to labels, int8 0 or 1. It raises what `threshold_curve` does.

    >>> labels, logits = np.array([[0], [1], [1]]), np.float32([[1], [2], [3]])
    >>> fitted = threshold_fit(Objective(name="accuracy"), False)(labels, logits, np.zeros(3))
    >>> fitted(np.float32([[1.4], [1.6]])).tolist()  # the threshold is 1.5
    [[0], [1]]
    """

    def fit(labels: np.ndarray, logits: np.ndarray, _: np.ndarray) -> Apply:
        if single:
            return largest
        best = best_threshold(threshold_curve(labels, logits, objective))
        # float64: numpy would round a plain float to the logits' float32, onto a neighbour.
        return lambda own: (own >= np.float64(best)).astype(np.int8)

    return fit


def largest(logits: np.ndarray) -> np.ndarray:
    """Labels, int8 (images, classes), of each image's largest logit; of equal ones the first.

    >>> largest(np.array([[1, 3, 3]])).tolist()
    [[0, 1, 0]]
    """
    labels = np.zeros(logits.shape, np.int8)
    np.put_along_axis(labels, logits.argmax(1)[:, None], 1, axis=1)
    return labels


def _check(scores: np.ndarray) -> None:
    if scores.size == 0:
        raise ValueError("there is no labelled score to choose a threshold on")
    if not np.isfinite(scores).all():
        raise ValueError("some logits are not finite")


def _ends(ascending: np.ndarray) -> np.ndarray:
    """Where each run of equal scores ends."""
    return np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
