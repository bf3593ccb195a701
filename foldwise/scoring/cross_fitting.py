"""Cross-fitting: what is applied to a group of images was fitted on the other groups.

As scikit-learn's `cross_val_predict` with `PredefinedSplit`, for anything that is fitted.
"""

from collections.abc import Callable

import numpy as np

Apply = Callable[[np.ndarray], np.ndarray]
"""Logits (images, classes) to anything with a row per image."""
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Apply]
"""Labels, logits (images, classes) and groups (images,) to what can be applied to other logits."""

# A single hold-out has one fold; its images are parted for estimates.
PARTS_OF_HOLDOUT = 5


def with_several(groups: np.ndarray) -> np.ndarray:
    """(images,): the groups, or parts of equal size of a single one.

    Every fifth image belongs to one part, as images may lie in the order of their classes.

    >>> with_several(np.array([0, 0, 1])).tolist()
    [0, 0, 1]
    >>> with_several(np.array([0, 0, 0, 0, 0, 0, 0])).tolist()
    [0, 1, 2, 3, 4, 0, 1]
    """
    if len(np.unique(groups)) > 1:
        return groups
    return np.arange(len(groups)) % PARTS_OF_HOLDOUT


def halves(groups: np.ndarray) -> np.ndarray:
    """(images,): 0 or 1, for every second group, or for every second image of a single one.

    Two fits instead of one per group, each on half of the images.

    >>> halves(np.array([3, 3, 5, 9])).tolist(), halves(np.array([4, 4, 4])).tolist()
    ([0, 0, 1, 0], [0, 1, 0])
    """
    names, place = np.unique(groups, return_inverse=True)
    return (place if len(names) > 1 else np.arange(len(groups))) % 2


def cross_fit(labels: np.ndarray, logits: np.ndarray, groups: np.ndarray, fit: Fit) -> np.ndarray:
    """What comes out where each group's rows are left to a fit on all other groups.

    Args:
        labels: (images, classes).
        logits: (images, ...).
        groups: (images,) integers, at least two different ones: the folds.
        fit: sees the other groups alone.

    Returns:
        A row per image, of whatever `fit` returned gives.

    A fit that predicts the mean label gives each group that of the other one:

    >>> labels, groups = np.array([[1], [1], [0], [0]]), np.array([0, 0, 1, 1])
    >>> def fit(labels, logits, groups):
    ...     return lambda own: np.full(own.shape, labels.mean())
    >>> cross_fit(labels, np.zeros((4, 1)), groups, fit).tolist()
    [[0.0], [0.0], [1.0], [1.0]]
    """
    result: np.ndarray | None = None
    for group in np.unique(groups):
        own = groups == group
        applied = fit(labels[~own], logits[~own], groups[~own])(logits[own])
        if result is None:
            result = np.empty((len(logits), *applied.shape[1:]), applied.dtype)
        result[own] = applied
    assert result is not None
    return result
