"""A threshold whose labels cost no more on new images than is promised, with a confidence.

A cost first falls with the threshold and then rises, so that no row of tests from one end finds the
cheapest threshold. Tests begin at several thresholds that no label decides, and go on from one that
stands to its neighbours (Learn then Test, Angelopoulos et al. 2021, by the graphs of Bretz, Maurer,
Brannath and Posch 2009): all of them together are wrong at most as often as is asked.
"""

import numpy as np

from foldwise.decision.betting import betting_p_values
from foldwise.decision.costs import Costs
from foldwise.decision.risk_control import p_values
from foldwise.scoring.objective import EPSILON

STEP = 0.125
"""Between two thresholds that are tested, in logits."""
STEPS = 48
"""To either side of the one that is best if probabilities are right."""
EVERY = 8
"""Of the others each eighth is where tests begin, too: probabilities may be wrong."""


def costs_over_thresholds(
    labels: np.ndarray, logits: np.ndarray, thresholds: np.ndarray, costs: Costs
) -> np.ndarray:
    """What each image costs per labelled class, where labels are `logit >= threshold`.

    Args:
        labels: (images, classes): 1, 0, or -1, which takes no part; nor do images of -1 alone.
        logits: (images, classes).
        thresholds: rising.
        costs: of wrong labels.

    Returns:
        (images that take part, thresholds).

    >>> labels, logits = np.array([[1, 0], [1, -1]]), np.array([[0.0, 2.0], [3.0, 3.0]])
    >>> costs_over_thresholds(labels, logits, np.array([-1.0, 1.0, 4.0]), Costs(5, 1)).tolist()
    [[0.5, 3.0, 2.5], [0.0, 0.0, 5.0]]
    """
    used = labels >= 0
    some = used.any(1)
    rows, columns = np.nonzero(used)
    # How many of the thresholds predict the label.
    place = np.searchsorted(thresholds, logits[rows, columns], side="right")
    present = labels[rows, columns] == 1
    change = np.where(present, costs.false_negative, -costs.false_positive)
    width = len(thresholds) + 1
    steps = np.zeros((len(labels), width))
    # Of nothing, numpy counts integers.
    steps += np.bincount(rows * width + place, change, steps.size).reshape(steps.shape)
    steps[:, 0] += costs.false_positive * (labels == 0).sum(1)
    return (steps.cumsum(1)[some, :-1] / used.sum(1)[some, None]).clip(0)


def cost_threshold(
    labels: np.ndarray, logits: np.ndarray, costs: Costs, cost: float, confidence: float
) -> float | None:
    """The cheapest of the thresholds whose mean cost per image and class is promised.

    Args:
        labels: (images, classes), as for `costs_over_thresholds`.
        logits: (images, classes), finite, calibrated, so that thresholds lie where they should.
        costs: of wrong labels.
        cost: that is promised, below `costs.highest`.
        confidence: of the promise.

    Returns:
        None if it can be promised for none of them.

    >>> labels, logits = np.array([[0], [1]] * 100), np.float32([[-2], [2]] * 100)
    >>> cost_threshold(labels, logits, Costs(1.0, 1.0), 0.05, 0.9)
    0.0
    """
    thresholds = costs.threshold + STEP * np.arange(-STEPS, STEPS + 1)
    found = costs_over_thresholds(labels, logits, thresholds, costs) / costs.highest
    if not len(found):
        return None
    error, limit = 1 - confidence, cost / costs.highest
    mean = found.mean(0)
    if ((labels >= 0).sum(1) <= 1).all() and costs.false_negative == costs.false_positive:
        values = p_values(mean, len(found), limit, binary=True)
    else:
        values = betting_p_values(found, limit, error)
    stands = passed(values, error)
    if not stands.any():
        return None
    cheapest = stands & (mean <= mean[stands].min() + EPSILON)
    near = np.flatnonzero(cheapest)
    return float(thresholds[near[np.argmin(np.abs(near - STEPS))]])


def lowest_cost(labels: np.ndarray, logits: np.ndarray, costs: Costs) -> float:
    """Mean cost per image and class of the cheapest of these thresholds, on these images.

    >>> lowest_cost(np.array([[0], [1]]), np.array([[2.0], [1.0]]), Costs(5.0, 1.0))
    0.5
    """
    thresholds = costs.threshold + STEP * np.arange(-STEPS, STEPS + 1)
    return float(costs_over_thresholds(labels, logits, thresholds, costs).mean(0).min())


def passed(values: np.ndarray, error: float) -> np.ndarray:
    """Which of a row of hypotheses are refused, none of them wrongly but with `error`.

    The middle one has half of the error, every eighth from it an equal part of the rest. Where such
    a one is refused, each of its sides has half of its part for the next, up to one that is not.

    Args:
        values: (2 n + 1,), p-values.
        error: of all together.

    >>> passed(np.array([0.5, 0.01, 0.01, 0.05, 0.04]), 0.1).tolist()
    [False, True, True, False, False]
    """
    middle = len(values) // 2
    found = np.full(len(values), False)
    others = [*range(middle % EVERY, len(values), EVERY)]
    others.remove(middle)
    parts = {middle: error / 2} | {start: error / 2 / len(others) for start in others}
    for start, part in parts.items():
        if values[start] > part:
            continue
        found[start] = True
        for side in (1, -1):
            following = values[start + side :: side] if start + side >= 0 else values[:0]
            fails = following > part / 2
            count = int(fails.argmax()) if fails.any() else len(following)
            found[start + side * np.arange(1, count + 1)] = True
    return found
