"""Tail accuracy: how right the most confident predictions of a class are.

Tailacc(t) = sum_i I(f(x_i) = y_i) I(f(x_i) > t) / sum_i I(f(x_i) > t), as a course on PASCAL VOC
has it: of the images whose score is beyond t, the share that has the class. From t = 0.5 on, all of
them are predicted to have it.
"""

import numpy as np

from foldwise.scoring.objective import safe_divide

POINTS = 20


def tail_accuracy(
    labels: np.ndarray, scores: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tail accuracy, and the number of images beyond t, each (thresholds, classes).

    Labels of -1 take no part; NaN where no image lies beyond t.

    Args:
        labels: (images, classes): 1, 0 or -1.
        scores: (images, classes): probabilities.
        thresholds: (thresholds, classes).

    >>> labels, scores = np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.6]])
    >>> share, beyond = tail_accuracy(labels, scores, np.array([[0.5], [0.7]]))
    >>> share.round(3).tolist(), beyond.tolist()
    ([[0.667], [0.5]], [[3.0], [2.0]])
    """
    right, beyond = (np.empty(thresholds.shape) for _ in range(2))
    for index, (column, score) in enumerate(zip(labels.T, scores.T, strict=True)):
        for counts, used in ((right, column == 1), (beyond, column >= 0)):
            ordered = np.sort(score[used])
            counts[:, index] = len(ordered) - np.searchsorted(
                ordered, thresholds[:, index], "right"
            )
    return np.where(beyond > 0, safe_divide(right, beyond), np.nan), beyond


def tail_curve(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Tail accuracy at 20 thresholds from 0.5 towards each class's largest score.

    The thresholds are the first 20 of 21 evenly spaced ones: beyond the largest score there is
    nothing. NaN for a class whose scores end at 0.5.

    Args:
        labels: (images, classes): 1, 0 or -1.
        scores: (images, classes): probabilities.

    Returns:
        Thresholds and tail accuracies, (20, classes); and the mean over classes, (20,) each: the
        thresholds then run to the largest score of all; classes with none beyond t are left out.

    >>> labels, scores = np.array([[1], [0]]), np.array([[0.9], [0.6]])
    >>> thresholds, accuracies, _ = tail_curve(labels, scores)
    >>> thresholds[[0, 10], 0].tolist(), accuracies[[0, 10], 0].tolist()
    ([0.5, 0.7], [0.5, 1.0])
    """
    steps = np.arange(POINTS)[:, None] / POINTS
    known = np.where(labels >= 0, scores, -np.inf)
    largest = known.max(0)
    thresholds = 0.5 + steps * (largest - 0.5).clip(0)
    accuracies, _ = tail_accuracy(labels, scores, thresholds)
    common = 0.5 + steps[:, 0] * max(float(largest.max()) - 0.5, 0.0)
    each, _ = tail_accuracy(labels, scores, np.repeat(common[:, None], labels.shape[1], 1))
    return thresholds, accuracies, (common, _mean(each))


def last_tail_accuracy(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The figure that the PASCAL system printed: the mean over classes at one threshold.

    It is 19/20 of the way from 0 to the largest score of the first class, the last of the points of
    that system's curve. None if no class has an image beyond it.

    Args:
        labels: (images, classes): 1, 0 or -1.
        scores: (images, classes): probabilities.

    >>> labels, scores = np.array([[1], [0], [1]]), np.array([[1.0], [0.97], [0.5]])
    >>> last_tail_accuracy(labels, scores)  # of the two beyond 0.95
    0.5
    """
    # Of all images, as that system had it; which of them count is the next step's.
    threshold = scores[:, 0].max() * (POINTS - 1) / POINTS
    each, _ = tail_accuracy(labels, scores, np.full((1, labels.shape[1]), threshold))
    mean = float(_mean(each)[0])
    return None if np.isnan(mean) else mean


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that have a value, NaN if none has."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(-1)
    return np.where(known.any(-1), safe_divide(total, known.sum(-1)), np.nan)
