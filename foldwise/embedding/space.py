"""One space for the features of all folds, each of whose networks has one of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, orthogonal_procrustes
from threadpoolctl import threadpool_limits

LEAST_SHARED = 20
"""Test images below which no space is turned onto another: too few fix no rotation."""
MOST_DIMENSIONS = 128
NO_LENGTH = 1e-6
"""Of the longest axis' length."""
IMAGES_PER_DIMENSION = 4
"""Shared images that a dimension of the common space has at least."""


@dataclass(frozen=True)
class FoldFeatures:
    """What the network of one fold saw."""

    held_out: np.ndarray
    """Ids (images,) of those that it was not trained on."""
    held_out_features: np.ndarray
    """float16 (images, features)."""
    shared: np.ndarray
    """Ids (images,) of the test part, the same ones in every fold."""
    shared_features: np.ndarray
    """float16 (images, features)."""


@dataclass(frozen=True)
class FeatureSpace:
    """Images of all folds in one space, whose origin is the mean of the test part."""

    ids: np.ndarray
    """(images,)."""
    folds: np.ndarray
    """(images,): which one held it out; -1 of the test part."""
    points: np.ndarray
    """float32 (images, dimensions)."""
    turned: bool
    """Whether the folds' spaces were turned onto the first one's; else only its images are here."""

    def of(self, rows: np.ndarray) -> "FeatureSpace":
        """Some of the images, by indices or a mask.

        >>> ids = np.array(["a", "b"])
        >>> space = FeatureSpace(ids, np.array([0, 1]), np.zeros((2, 3), np.float32), True)
        >>> space.of(np.array([1])).ids.tolist()
        ['b']
        """
        return FeatureSpace(self.ids[rows], self.folds[rows], self.points[rows], self.turned)


def turned_onto(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation or reflection (dimensions, dimensions) that brings points nearest to others.

    Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem": the orthogonal
    R for which the sum of squares of `points @ R - target` is smallest.

    Args:
        points: (images, dimensions).
        target: the same images, in the same order and as many dimensions.

    >>> quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> points = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    >>> bool(np.allclose(turned_onto(points, points @ quarter), quarter))
    True
    """
    rotation: np.ndarray = orthogonal_procrustes(points, target)[0]
    return rotation


def common_space(folds: Mapping[int, FoldFeatures]) -> FeatureSpace | None:
    """All images in the space of the first fold; None where no features were kept.

    Every fold's network has seen the test part alike. A fold's features are centred by its mean,
    brought to its size, reduced to its principal components (those that so many images can fix),
    and turned onto the first fold's. A test image is where its mean over folds is.

    Where there are too few test images to say how one space lies to another, only the images that
    the first fold held out are in it.

    Args:
        folds: by their numbers, the first one first.

    Raises:
        ValueError: the folds are not of the same test images.

    >>> rng = np.random.default_rng(0)
    >>> shared, own = rng.normal(size=(40, 3)), rng.normal(size=(2, 3))
    >>> tests = np.arange(40).astype(str)
    >>> first = FoldFeatures(np.array(["a", "b"]), own, tests, shared)
    >>> mirrored = FoldFeatures(np.array(["c", "d"]), -2 * own, tests, -2 * shared)
    >>> found = common_space({0: first, 1: mirrored})
    >>> found.folds[:4].tolist(), len(found.ids)
    ([0, 0, 1, 1], 44)
    >>> bool(np.allclose(found.points[:2], found.points[2:4], atol=1e-5))
    True
    """
    kept = {fold: each for fold, each in folds.items() if each.held_out_features.size}
    if not kept:
        return None
    # The last bits of sums hang on the number of threads.
    with threadpool_limits(1):
        if len(next(iter(kept.values())).shared) < LEAST_SHARED:
            return _first_alone(kept)
        return _turned(kept)


def _first_alone(kept: Mapping[int, FoldFeatures]) -> FeatureSpace:
    fold, own = next(iter(kept.items()))
    features = own.held_out_features.astype(np.float64)
    reduce = _reduction(features, min(features.shape[1], MOST_DIMENSIONS))
    points = reduce(features).astype(np.float32)
    return FeatureSpace(own.held_out, np.full(len(points), fold), points, False)


def _turned(kept: Mapping[int, FoldFeatures]) -> FeatureSpace:
    first = next(iter(kept.values()))
    shared = first.shared
    most = max(1, min(len(shared) // IMAGES_PER_DIMENSION, MOST_DIMENSIONS))
    count = min(most, *(each.shared_features.shape[1] for each in kept.values()))
    target: np.ndarray | None = None
    tests, ids, numbers, points = [], [], [], []
    for fold, own in kept.items():
        if not np.array_equal(own.shared, shared):
            raise ValueError(f"fold {fold} has features of other test images than the first fold")
        reduce = _reduction(own.shared_features.astype(np.float64), count)
        seen = reduce(own.shared_features)
        target = seen if target is None else target
        rotation = turned_onto(seen, target)
        tests.append(seen @ rotation)
        points.append(reduce(own.held_out_features) @ rotation)
        ids.append(own.held_out)
        numbers.append(np.full(len(own.held_out), fold))
    points.append(np.mean(tests, 0))
    return FeatureSpace(
        np.concatenate([*ids, shared]),
        np.concatenate([*numbers, np.full(len(shared), -1)]),
        np.concatenate(points).astype(np.float32),
        True,
    )


class _Reduction:
    """Features to their first principal components, of a mean square of 1 in all."""

    def __init__(self, mean: np.ndarray, axes: np.ndarray, size: float) -> None:
        self._mean, self._axes, self._size = mean, axes, size

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features.astype(np.float64) - self._mean) @ self._axes.T / self._size


def _reduction(features: np.ndarray, count: int) -> _Reduction:
    mean = features.mean(0)
    centred = features - mean
    # By whichever is smaller, products of features or of images; the time is its size cubed.
    rows, width = centred.shape
    if width <= rows:
        axes = _leading(centred.T @ centred, count)
    else:
        spans = _leading(centred @ centred.T, min(count, rows)) @ centred
        lengths = np.linalg.norm(spans, axis=1, keepdims=True)
        # What centring leaves of no length is rounding, and lies anywhere.
        axes = spans / np.where(lengths > lengths[0] * NO_LENGTH, lengths, np.inf)
    size = float(np.sqrt(((centred @ axes.T) ** 2).sum(1).mean()))
    return _Reduction(mean, axes, size or 1.0)


def _leading(products: np.ndarray, count: int) -> np.ndarray:
    """Eigenvectors of the largest eigenvalues, (count, rows), the largest first."""
    size = len(products)
    _, vectors = eigh(products, subset_by_index=[size - count, size - 1])
    leading: np.ndarray = vectors[:, ::-1].T
    return leading
