"""A threshold for every class: exact where the objective allows it."""

from collections.abc import Callable

import numpy as np

from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.objective import EPSILON, Objective, measure, score
from foldwise.scoring.thresholds import (
    Counts,
    best_threshold,
    between,
    counts_over_thresholds,
    nearest_best,
    threshold_curve,
)

Value = Callable[[Counts], np.ndarray]

# Present labels that the common threshold counts as much as.
STRENGTHS = (0.0, 10.0, 30.0, 100.0, 300.0, 1000.0, np.inf)


def class_thresholds(labels: np.ndarray, logits: np.ndarray, objective: Objective) -> np.ndarray:
    """The best threshold of every class, float64 (classes,).

    What each objective is guaranteed:

    - accuracy, cost, micro Youden and all macro averages are sums over classes, so every class is
      solved alone: the optimum.
    - micro F-beta and micro Jaccard are ratios of two such sums. Dinkelbach's method (1967, "On
      nonlinear fractional programming") solves a sum for a trial ratio, takes the ratio found as
      the next one, and ends at the optimum, as there are finitely many.
    - exact match and averages over images do not decompose. Coordinate ascent from the best common
      threshold and from the classes' best accuracy: one class after the other gets its exact best,
      the others being held, until none gains. The result is never worse than either start, and no
      class alone can improve it; it need not be the optimum.

    A class without labels keeps the threshold that is best for all together.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        objective: any but a micro average at a given recall or precision.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.

    >>> labels = np.array([[1, 0], [0, 1], [0, 1]])
    >>> logits = np.float32([[3, -2], [1, -1], [0, 0]])
    >>> class_thresholds(labels, logits, Objective(name="accuracy")).tolist()
    [2.0, -1.5]
    """
    common = best_threshold(threshold_curve(labels, logits, objective))
    columns = [
        counts_over_thresholds(labels[:, index], logits[:, index])
        if (labels[:, index] >= 0).any()
        else None
        for index in range(labels.shape[1])
    ]
    if objective.average == "sample":
        accuracy = _each_alone(columns, common, _difference(1, 1))
        starts = (np.full(labels.shape[1], common), accuracy)
        climbed = [_ascend(labels, logits, start, objective) for start in starts]
        return max(climbed, key=lambda each: score(labels, logits >= each, objective))
    if objective.measure in ("fbeta", "jaccard") and objective.average == "micro":
        return _dinkelbach(columns, common, objective)
    return _each_alone(columns, common, _additive(columns, objective))


def _each_alone(columns: list[Counts | None], common: float, value: Value) -> np.ndarray:
    """The threshold of every class's highest value."""
    return np.array(
        [
            common if column is None else nearest_best(column.thresholds, value(column))
            for column in columns
        ]
    )


def _difference(gain: float, loss: float) -> Value:
    return lambda column: gain * column.true_positive - loss * column.false_positive


def _additive(columns: list[Counts | None], objective: Objective) -> Value:
    """What is to be summed over classes, up to constants."""
    if objective.average == "macro":
        return lambda column: column.measured(objective)
    if objective.measure == "accuracy":
        return _difference(1, 1)
    if objective.measure == "cost":
        assert objective.false_negative is not None
        assert objective.false_positive is not None
        return _difference(objective.false_negative, objective.false_positive)
    if objective.measure != "youden":
        raise ValueError(f"{objective.name} is no sum over classes; write its macro average")
    positive = sum(column.positive for column in columns if column is not None)
    negative = sum(column.negative for column in columns if column is not None)
    # Times both, so that what is compared are integers.
    return _difference(max(negative, 1), max(positive, 1))


def _dinkelbach(columns: list[Counts | None], common: float, objective: Objective) -> np.ndarray:
    # F-beta = (1 + b^2) TP / (TP + FP + b^2 P); Jaccard = TP / (P + FP).
    square = (objective.beta or 1.0) ** 2
    fbeta = objective.measure == "fbeta"
    above, of_found = (1 + square, 1.0) if fbeta else (1.0, 0.0)
    present = [column for column in columns if column is not None]
    positive = sum(column.positive for column in present)
    best = -1.0
    while True:
        value = _difference(above - max(best, 0.0) * of_found, max(best, 0.0))
        chosen = _each_alone(columns, common, value)
        true_positive = false_positive = 0
        for column, threshold in zip(columns, chosen, strict=True):
            if column is not None:
                at = int(np.searchsorted(column.thresholds, threshold))
                true_positive += int(column.true_positive[at])
                false_positive += int(column.false_positive[at])
        reached = float(
            measure(
                objective,
                np.array(true_positive),
                np.array(false_positive),
                np.array(positive),
                np.array(sum(column.negative for column in present)),
            )
        )
        if reached <= best + EPSILON:
            return chosen
        best = reached


def _ascend(
    labels: np.ndarray, logits: np.ndarray, start: np.ndarray, objective: Objective
) -> np.ndarray:
    """Thresholds that no change of a single class improves."""
    thresholds = start.astype(np.float64)
    positive, negative = (labels == 1).sum(1), (labels == 0).sum(1)
    found = logits >= thresholds
    hits, misses = (found & (labels == 1)).sum(1), (found & (labels == 0)).sum(1)
    labelled = np.flatnonzero((labels >= 0).any(0))
    waiting = len(labelled)
    while waiting:
        for index in labelled:
            present, absent = labels[:, index] == 1, labels[:, index] == 0
            now = logits[:, index] >= thresholds[index]
            hits -= now & present
            misses -= now & absent
            without = measure(objective, hits, misses, positive, negative)
            having = measure(objective, hits + present, misses + absent, positive, negative)
            used = present | absent
            candidates, gains = _prefixes(logits[used, index], (having - without)[used])
            at = np.searchsorted(candidates, thresholds[index], side="right") - 1
            # Ends once every class in turn has been left as it is.
            waiting -= 1
            if gains.max() > gains[max(at, 0)] + EPSILON:
                thresholds[index] = nearest_best(candidates, gains)
                waiting = len(labelled) - 1
            now = logits[:, index] >= thresholds[index]
            hits += now & present
            misses += now & absent
            if not waiting:
                break
    return thresholds


def _prefixes(scores: np.ndarray, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds, and the gains of all whose score is not below, added; both (candidates,)."""
    distinct, place = np.unique(scores, return_inverse=True)
    added = np.bincount(place, gains, len(distinct))
    return between(distinct), np.append(added[::-1].cumsum()[::-1], 0.0)


def shrunk_thresholds(
    labels: np.ndarray, logits: np.ndarray, groups: np.ndarray, objective: Objective
) -> tuple[np.ndarray, float]:
    """The best thresholds of classes, shrunk towards the best common one.

    A class with n present labels gets (n own + k common) / (n + k), the form of an m-estimate
    (Cestnik 1990). The strength k is the one of `STRENGTHS` whose cross-fitted score is highest;
    among equals the strongest.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        groups: (images,): what is left out together; parts of equal size if there is only one.
        objective: as for `class_thresholds`.

    Returns:
        Thresholds, float64 (classes,), and k.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.

    Of two classes that are alike, the common threshold serves both:

    >>> labels = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    >>> logits = np.float32([[-2, -2], [-1, -1], [2, 2], [3, 3]])
    >>> groups = np.array([0, 1, 0, 1])
    >>> thresholds, k = shrunk_thresholds(labels, logits, groups, Objective(name="accuracy"))
    >>> thresholds.tolist(), k
    ([0.5, 0.5], inf)
    """
    predicted = cross_fit(
        labels,
        logits,
        with_several(groups),
        lambda truth, own, _: _decide_by_all(truth, own, objective),
    )
    scores = [score(labels, each, objective) for each in np.moveaxis(predicted, -1, 0)]
    best = max(range(len(STRENGTHS)), key=lambda index: (round(scores[index], 12), index))
    return drawn(labels, logits, objective)[best], STRENGTHS[best]


def drawn(labels: np.ndarray, logits: np.ndarray, objective: Objective) -> np.ndarray:
    """Thresholds at every strength, (strengths, classes): from each class's own to the common one.

    Arguments and errors as for `class_thresholds`.

    >>> labels = np.array([[1, 0], [0, 1], [0, 1]])
    >>> logits = np.float32([[3, -2], [1, -1], [0, 0]])
    >>> thresholds = drawn(labels, logits, Objective(name="accuracy"))
    >>> thresholds[0].tolist(), thresholds[-1].tolist()  # k = 0, k = inf
    ([2.0, -1.5], [-1.5, -1.5])
    """
    common = best_threshold(threshold_curve(labels, logits, objective))
    own = class_thresholds(labels, logits, objective)
    present = (labels == 1).sum(0)
    shares = np.zeros((len(STRENGTHS), labels.shape[1]))
    for share, strength in zip(shares, STRENGTHS, strict=True):
        if strength == 0:
            share[:] = 1
        elif np.isfinite(strength):
            share[:] = present / (present + strength)
    return shares * own + (1 - shares) * common


def _decide_by_all(labels: np.ndarray, logits: np.ndarray, objective: Objective) -> Apply:
    thresholds = drawn(labels, logits, objective).T
    return lambda held_out: (held_out[:, :, None] >= thresholds).astype(np.int8)
