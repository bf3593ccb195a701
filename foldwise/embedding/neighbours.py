"""The nearest images in the space of features, and labels that they contradict."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from foldwise.embedding.space import FeatureSpace

AT_ONCE = 256
"""Images whose neighbours are sought together."""
MOST_SOUGHT = 50_000
"""Images among which neighbours are sought; of more a sample, as time goes with their square."""
MIDST = 0.8
"""Share of its neighbours that an image lies in the midst of if they have the same label."""
COMMON = 0.5
"""Share of all images from which on a class is around every image."""
DIGITS = 5
"""Of a similarity that count: equal images stay equal however their features were computed."""
COLUMNS = ("row", "class_index", "agree", "share", "other")


def nearest_rows(points: np.ndarray, rows: np.ndarray, count: int, among: np.ndarray) -> np.ndarray:
    """The images most similar to some, by the cosine of their features, the most similar first.

    Of equally similar ones the one that stands first in `among` comes first; none is its own.

    Args:
        points: (images, dimensions).
        rows: of the images whose neighbours are sought.
        count: how many neighbours; fewer where there are not so many.
        among: rows that may be neighbours.

    Returns:
        Rows (len(rows), count); -1 where there is none.

    >>> points = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> nearest_rows(points, np.array([0, 3]), 1, np.arange(4)).tolist()
    [[1], [2]]
    """
    found = np.full((len(rows), count), -1)
    if not len(among):
        return found
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(length > 0, length, 1)
    place = np.full(len(points), -1)
    place[among] = np.arange(len(among))
    sought = np.ascontiguousarray(unit[among].T)
    kept = min(count, len(among))
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        similar = np.round(unit[some] @ sought, DIGITS)
        itself = place[some]
        similar[np.flatnonzero(itself >= 0), itself[itself >= 0]] = -np.inf
        best = _largest(similar, kept)
        value = np.take_along_axis(similar, best, 1)
        found[start : start + len(some), :kept] = np.where(value > -np.inf, among[best], -1)
    return found


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the largest values of every row, the largest first; of equal ones the first."""
    if count >= values.shape[1]:
        return np.argsort(-values, axis=1, kind="stable")
    bound = -np.partition(-values, count - 1, axis=1)[:, count - 1]
    found = np.empty((len(values), count), np.intp)
    for row, (own, least) in enumerate(zip(values, bound, strict=True)):
        columns = np.flatnonzero(own >= least)
        found[row] = columns[np.argsort(-own[columns], kind="stable")[:count]]
    return found


def neighbours_of(space: FeatureSpace, count: int) -> Callable[[str], list[str]]:
    """What gives the ids of an image's nearest ones, the nearest first; none of an unknown image.

    Args:
        space: of all images.
        count: how many.

    >>> points = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]], np.float32)
    >>> space = FeatureSpace(np.array(["a", "b", "c"]), np.zeros(3, int), points, True)
    >>> neighbours_of(space, 2)("a")
    ['b', 'c']
    """
    places = {str(id): row for row, id in enumerate(space.ids)}
    every = np.arange(len(space.ids))

    def nearest(id: str) -> list[str]:
        if id not in places:
            return []
        rows = nearest_rows(space.points, np.array([places[id]]), count, every)[0]
        return [str(space.ids[row]) for row in rows if row >= 0]

    return nearest


def in_the_midst(
    space: FeatureSpace, labels: np.ndarray, ids: np.ndarray, single: bool, count: int, seed: int
) -> pd.DataFrame:
    """Labels of images that lie in the midst of images with another one.

    Where images have one label: an image of one class of whose neighbours `MIDST` or more are of
    one other class.

    Where they have several: a class that is said not to be there, where `MIDST` or more of the
    neighbours have it, and fewer than `COMMON` of all images. A class that is said to be there is
    never doubted: of a rare one no image has many near it.

    Neighbours are sought among images whose labels are given, by label: what is unknown says
    nothing.

    Args:
        space: of all images.
        labels: (images, classes) of 1, 0 or -1.
        ids: of those images.
        single: whether every image has one label.
        count: neighbours.
        seed: of the sample that neighbours are sought among where images are too many.

    Returns:
        `row` (of labels), `class_index`, `agree` (share of its neighbours that have the label that
        it is given), `share` (of those that have the other) and `other` (the class of most
        neighbours where images have one label; else `class_index`). By row, then class.

    >>> points = np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [0, 1], [0.1, 1]], np.float32)
    >>> ids = np.array(list("abcdef"))
    >>> labels = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    >>> space = FeatureSpace(ids, np.zeros(6, int), points, True)
    >>> in_the_midst(space, labels, ids, single=True, count=3, seed=0).values.tolist()
    [[3.0, 1.0, 0.0, 1.0, 0.0]]
    """
    places = pd.Index(space.ids).get_indexer(pd.Index(ids))
    own = np.flatnonzero((places >= 0) & ((labels == 1).any(1) if single else True))
    if not len(own):
        return _doubted(*(np.empty(0, int) for _ in COLUMNS))
    among = own
    if len(own) > MOST_SOUGHT:
        among = np.sort(np.random.default_rng(seed).choice(own, MOST_SOUGHT, replace=False))
    with threadpool_limits(1):
        near = nearest_rows(space.points[places], own, count, among)
    return (_of_one_label if single else _of_several)(labels, own, near)


def _of_one_label(labels: np.ndarray, own: np.ndarray, near: np.ndarray) -> pd.DataFrame:
    classes = labels.argmax(1)
    around = np.where(near >= 0, classes[near], -1)
    known = np.maximum((near >= 0).sum(1), 1)
    given = classes[own]
    agree = (around == given[:, None]).sum(1) / known
    other, share = given.copy(), np.zeros(len(own))
    for index in np.unique(around[around >= 0]):
        found = np.where(given == index, 0, (around == index).sum(1) / known)
        better = found > share
        other[better], share[better] = index, found[better]
    doubted = share >= MIDST
    return _doubted(own[doubted], given[doubted], agree[doubted], share[doubted], other[doubted])


def _of_several(labels: np.ndarray, own: np.ndarray, near: np.ndarray) -> pd.DataFrame:
    rows, columns, shares = [], [], []
    for index in range(labels.shape[1]):
        column = labels[:, index]
        known = column[column >= 0]
        if not len(known) or (known == 1).mean() >= COMMON:
            continue
        around = np.where(near >= 0, column[near], -1)
        there = (around == 1).sum(1) / np.maximum((around >= 0).sum(1), 1)
        doubted = (column[own] == 0) & (there >= MIDST)
        rows.append(own[doubted])
        columns.append(np.full(doubted.sum(), index))
        shares.append(there[doubted])
    if not rows:
        return _doubted(*(np.empty(0, int) for _ in COLUMNS))
    row, column, share = np.concatenate(rows), np.concatenate(columns), np.concatenate(shares)
    order = np.lexsort((column, row))
    row, column, share = row[order], column[order], share[order]
    return _doubted(row, column, 1 - share, share, column)


def _doubted(*columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), columns=list(COLUMNS))
