"""Classes that a division leaves nothing to learn from, or nothing to measure by."""

from collections.abc import Sequence

import numpy as np

from foldwise.core.errors import UserError
from foldwise.folds.divide import Division

SHOWN = 5
"""Classes that a line names."""


def refuse_lost_classes(labels: np.ndarray, division: Division, classes: Sequence[str]) -> None:
    """Refuse a test part that has taken all images of a class with it.

    Args:
        labels: (images, classes): 1, 0 or -1.
        division: of the images.
        classes: their names.

    Raises:
        UserError: names the classes that no image of the train part shows.
    """
    lost = _lacking(labels, ~division.test, classes)
    if lost:
        share = division.test.mean()
        raise UserError(
            f"params.yaml: split.test: the {share:.0%} of images that are held out leave none in "
            f"the train part that shows {_named(lost)}; set split.stratify: true, take another "
            "share or seed, or add images of it"
        )


def coverage_warnings(
    labels: np.ndarray, division: Division, classes: Sequence[str], folds: int
) -> list[str]:
    """A line for each fold that trains on no image of some class, and one for classes that no fold
    holds an image of out.

    Args:
        labels: (images, classes): 1, 0 or -1.
        division: of the images.
        classes: their names.
        folds: how many.
    """
    found = []
    held_out = division.folds(folds)
    for name, rows in held_out.items():
        lacking = _lacking(labels, ~division.test & ~rows, classes)
        if lacking:
            found.append(f"{name} trains on no image that shows {_named(lacking)}")
    measured = np.any(list(held_out.values()), axis=0)
    lacking = _lacking(labels, measured, classes)
    if lacking:
        found.append(
            f"no image that is held out shows {_named(lacking)}, so its scores and its threshold "
            "rest on nothing"
        )
    return found


def _lacking(labels: np.ndarray, rows: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Classes that none of these images (bool) shows."""
    shown = (labels[rows] == 1).any(axis=0)
    return [name for name, there in zip(classes, shown, strict=True) if not there]


def _named(classes: Sequence[str]) -> str:
    """The first classes, and how many more there are.

    >>> _named(["a", "b", "c", "d", "e", "f", "g"])
    "'a', 'b', 'c', 'd', 'e' and 2 more classes"
    """
    names = ", ".join(f"'{each}'" for each in classes[:SHOWN])
    more = len(classes) - SHOWN
    return f"{names} and {more} more classes" if more > 0 else names
