"""A data set's division into test part and folds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.folds.assign import ALWAYS_TRAINED, Assigner, listed_folds
from foldwise.folds.duplicates import Duplicates, equal_pairs, joined, straddling
from foldwise.folds.settings import Split

SHOWN = 5
"""Examples of what leaks."""


@dataclass(frozen=True)
class Division:
    """Where every image belongs."""

    test: np.ndarray
    """(images,) bool."""
    fold: np.ndarray
    """(images,) int: the fold that holds the image out, or `ALWAYS_TRAINED`."""

    def sets(self, folds: int) -> dict[str, np.ndarray]:
        """The images (bool) of every part and fold that has some, by name."""
        named = {"train": ~self.test, "test": self.test} | self.folds(folds)
        return {name: rows for name, rows in named.items() if rows.any()}

    def folds(self, folds: int) -> dict[str, np.ndarray]:
        """The images (bool) that every fold holds out, by name."""
        return {f"fold {each}": self.fold == each for each in range(folds)}


def divide(
    table: pd.DataFrame,
    labels: np.ndarray,
    single: bool,
    pictures: np.ndarray,
    split: Split,
    folds: int,
    seed: int,
) -> Division:
    """Divide a data set as `split` says.

    Args:
        table: `part`, and `group` and `fold` where the source has them.
        labels: (images, classes): 1, 0 or -1.
        single: every image has exactly one class.
        pictures: (images,) int: units of images that look the same.
        split: how to divide.
        folds: how many.
        seed: of the shuffling.

    Raises:
        UserError: `split` asks for what the source does not have, or for an empty side.
    """
    units = _units(table, pictures, split)
    test = (table["part"] == "test").to_numpy()
    fold = np.full(len(table), ALWAYS_TRAINED)

    def assigner() -> Assigner:
        return Assigner(labels[~test], pd.factorize(units[~test])[0], single, split, seed)

    if not test.any() and split.test > 0:
        test = assigner().hold_out(split.test, True, "split.test")
    if split.method == "list":
        if "fold" not in table:
            raise UserError(
                "params.yaml: split.method: list: the source lists no folds; name its validation "
                "list or column of folds, or take another method"
            )
        fold[~test] = listed_folds(table["fold"].to_numpy()[~test], folds)
    elif split.method == "holdout":
        held_out = assigner().hold_out(split.fraction, split.shuffle, "split.fraction")
        fold[~test] = np.where(held_out, 0, ALWAYS_TRAINED)
    else:
        fold[~test] = assigner().kfold(folds)
    return Division(test, fold)


def _units(table: pd.DataFrame, pictures: np.ndarray, split: Split) -> np.ndarray:
    """(images,) int: units of images that stay together."""
    pairs = [np.empty((0, 2), np.int64)]
    if split.duplicates == "together":
        pairs.append(equal_pairs(pictures))
    if split.group:
        if "group" not in table:
            raise UserError(
                "params.yaml: split.group: the source has no groups; name its column in "
                "data.table.group, or set this to false"
            )
        # An image without a group is a group of its own.
        named = np.flatnonzero(table["group"] != "")
        pairs.append(named[equal_pairs(pd.factorize(table["group"].to_numpy()[named])[0])])
    return joined(len(table), np.concatenate(pairs))


def leaks(
    duplicates: Duplicates, division: Division, table: pd.DataFrame, grouped: bool
) -> list[str]:
    """What is on both sides, where the source has divided and nobody else could; a line each.

    Args:
        duplicates: which pictures are alike.
        division: of the images.
        table: `id`, and `group` where the source has groups.
        grouped: whether groups are to stay together.
    """
    in_test = pd.Series(division.test)
    sides = {
        "pictures are in the train and in the test part, so the test score flatters": (
            in_test,
            duplicates.pictures,
        ),
        "pictures are in several folds, so out-of-fold scores flatter": (
            pd.Series(division.fold).mask(division.test),
            duplicates.pictures,
        ),
    }
    if grouped:
        sides["groups are in the train and in the test part, so the test score flatters"] = (
            in_test,
            table["group"].mask(table["group"] == "").to_numpy(),
        )
    found = []
    for what, (side, unit) in sides.items():
        shared = straddling(side, unit)
        if shared:
            examples = [" = ".join(table["id"].iloc[rows[:3]]) for rows in shared[:SHOWN]]
            more = ["..."] if len(shared) > SHOWN else []
            found.append(f"{len(shared)} {what}: {'; '.join(examples + more)}")
    return found
