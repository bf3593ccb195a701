"""Average precision, in the three ways that papers compute it."""

from typing import Literal

import numpy as np

from foldwise.scoring.bootstrap import draw

Convention = Literal["area", "all_point", "11_point"]
Difficult = Literal["ignore", "count"]

CONVENTIONS: tuple[Convention, ...] = ("area", "all_point", "11_point")


def precision_recall_points(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True positives, and all that is predicted, at each distinct score, from the highest down.

    Images of equal scores come in together, so that their order does not matter.

    Args:
        truth: (images,) bool.
        scores: (images,).

    Returns:
        Both (distinct scores,) integers. Recall is the first over all positives, precision the
        first over the second.

    >>> truth, scores = np.array([True, False, True]), np.array([0.9, 0.8, 0.8])
    >>> found, predicted = precision_recall_points(truth, scores)
    >>> found.tolist(), predicted.tolist()
    ([1, 2], [1, 3])
    """
    order = np.argsort(-scores, kind="stable")
    ends = _group_ends(scores[order])
    return np.cumsum(truth[order])[ends], ends + 1


def _group_ends(sorted_scores: np.ndarray) -> np.ndarray:
    """Positions of the last of each run of equal scores."""
    return np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))


def average_precision(
    labels: np.ndarray,
    logits: np.ndarray,
    convention: Convention = "area",
    difficult: Difficult = "ignore",
) -> np.ndarray:
    """Average precision of every class, (classes,) float64; NaN for one with no positive label.

    `area`: sum of precision times gain in recall over all distinct scores, (R_n - R_n-1) P_n, as
    `average_precision_score` of scikit-learn.
    `all_point`: the same after each precision is replaced by the best at that recall or more
    (PASCAL VOC 2010 and later). `11_point`: the mean of that interpolated precision at recalls of
    0, 0.1, ..., 1 (VOC 2007; Everingham et al. 2010).

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).
        convention: how the curve becomes a number.
        difficult: what -1 stands for: `ignore` leaves such images out, as VOC does with those that
            show only "difficult" objects of the class; `count` takes the class as present.

    From the highest score down present, absent, present: precision is 1 up to a recall of 1/2,
    then 2/3.

    >>> labels, logits = np.array([[1], [0], [1]]), np.array([[3], [2], [1]])
    >>> average_precision(labels, logits).round(4).tolist()  # (1 + 2/3) / 2
    [0.8333]
    >>> average_precision(labels, logits, "11_point").round(4).tolist()  # (6 + 5 * 2/3) / 11
    [0.8485]
    """
    result = np.full(labels.shape[1], np.nan)
    for index, (column, scores) in enumerate(zip(labels.T, logits.T, strict=True)):
        used = column >= 0 if difficult == "ignore" else np.ones(len(column), bool)
        truth = column[used] != 0
        positives = int(truth.sum())
        if positives:
            found, predicted = precision_recall_points(truth, scores[used])
            result[index] = _area(found, predicted, positives, convention)
    return result


def _area(
    found: np.ndarray, predicted: np.ndarray, positives: int, convention: Convention
) -> float:
    precision = found / predicted
    if convention == "area":
        return float(precision @ np.diff(found, prepend=0)) / positives
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if convention == "all_point":
        return float(best @ np.diff(found, prepend=0)) / positives
    # In whole numbers: 3 of 10 has a recall of 0.3, whatever 3 * 0.1 is.
    at = np.searchsorted(10 * found, positives * np.arange(11))
    return float(best[at].mean())


def drawn_average_precision(labels: np.ndarray, logits: np.ndarray, draws: int) -> np.ndarray:
    """Average precision (`area`) of bootstrap draws of images, (draws, classes); NaN likewise.

    Every class is sorted once; a draw is a sum of weights over that order. Memory: 16 bytes per
    image and class, and 8 per draw and class.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).
        draws: how many; the images of each are those of every other score of this package.

    Where every positive image is above every negative one, every draw has an AP of 1:

    >>> labels, logits = np.array([[1], [1], [0]]), np.array([[3], [2], [1]])
    >>> drawn_average_precision(labels, logits, draws=3).tolist()
    [[1.0], [1.0], [1.0]]
    """
    orders = [_Order(column, scores) for column, scores in zip(labels.T, logits.T, strict=True)]
    drawn = [
        [order.drawn(weights) for order in orders]
        for chunk in draw(len(labels), draws)
        for weights in chunk
    ]
    return np.array(drawn, np.float64).reshape(draws, len(orders))


class _Order:
    """One class's images in the order of their scores, cut where a positive label ends a group."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray) -> None:
        used = np.flatnonzero(labels >= 0)
        order = used[np.argsort(-scores[used], kind="stable")]
        found = np.flatnonzero(labels[order] == 1)
        group_ends = _group_ends(scores[order])
        self._ends = np.unique(group_ends[np.searchsorted(group_ends, found)])
        self._positives = order[found]
        # What lies below the last positive label changes no precision that counts.
        self._images = order[: self._ends[-1] + 1] if len(found) else order[:0]
        self._last = np.searchsorted(found, self._ends, "right") - 1

    def drawn(self, weights: np.ndarray) -> float:
        """Of one draw: how often each image is in it, (images,) integers."""
        # One draw at a time: its weights and sums stay in the processor's cache.
        found = np.cumsum(weights[self._positives])[self._last]
        if not len(found) or not found[-1]:
            return np.nan
        predicted = np.cumsum(weights[self._images])[self._ends]
        # Nothing is gained where nothing is drawn yet, so that the quotient does not matter there.
        precision = found / np.maximum(predicted, 1)
        return float(precision @ np.diff(found, prepend=0)) / float(found[-1])
