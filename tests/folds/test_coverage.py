"""Classes that a division leaves nothing to learn from."""

import numpy as np
import pytest

from foldwise.core.errors import UserError
from foldwise.folds.coverage import SHOWN, coverage_warnings, refuse_lost_classes
from foldwise.folds.divide import Division

CLASSES = ["a", "rare"]


def division(test: list[int], fold: list[int]) -> Division:
    return Division(np.array(test, bool), np.array(fold))


def test_a_class_that_only_the_test_part_shows_is_refused() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [1, -1]])
    with pytest.raises(UserError, match=r"split\.test: .* shows 'rare'; set split\.stratify"):
        refuse_lost_classes(labels, division([0, 0, 1, 0], [0, 1, -1, 0]), CLASSES)
    refuse_lost_classes(labels, division([1, 0, 0, 0], [-1, 1, 0, 0]), CLASSES)


def test_folds_are_told_by_what_they_train_on() -> None:
    """Compared with a count per fold and class, in plain loops."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = (rng.random((9, 3)) < 0.2).astype(int) - (rng.random((9, 3)) < 0.1)
        test, fold = rng.random(9) < 0.2, rng.integers(-1, 3, 9)
        said = coverage_warnings(labels, division(list(test), list(fold)), list("xyz"), 3)
        wanted = []
        for each in range(3):
            trained = [row for row in range(9) if not test[row] and fold[row] != each]
            lacking = [
                n for k, n in enumerate("xyz") if not any(labels[r, k] == 1 for r in trained)
            ]
            if lacking:
                names = ", ".join(f"'{name}'" for name in lacking)
                wanted.append(f"fold {each} trains on no image that shows {names}")
        assert [line for line in said if "trains" in line] == wanted


def test_classes_that_nothing_held_out_shows_are_told() -> None:
    labels = np.array([[1, 0], [1, 1], [1, 1]])
    (line,) = coverage_warnings(labels, division([0, 0, 0], [0, -1, -1]), CLASSES, 1)
    assert line.startswith("no image that is held out shows 'rare'")


def test_lines_stay_short_whatever_the_number_of_classes() -> None:
    classes = [f"class {index}" for index in range(1000)]
    said = coverage_warnings(np.zeros((4, 1000)), division([0] * 4, [0, 1, 0, 1]), classes, 2)
    assert len(said) == 3
    assert all(line.count("class ") == SHOWN and "995 more classes" in line for line in said)
