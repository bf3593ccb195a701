"""From classes and cells as people write them to labels."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.names import natural
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import UNLABELLED

CELLS = {"1": 1, "0": 0, "-1": -1, "1.0": 1, "0.0": 0, "-1.0": -1}


def class_order(
    wanted: Sequence[str] | None, found: Iterable[str], label: str, problems: Problems
) -> list[str]:
    """The classes in order: those wanted or, if nobody said, all found, sorted naturally.

    Notes a class that was found but not wanted, and one wanted that no image of the train part
    shows.
    """
    found = set(found)
    if wanted is None:
        if not found:
            problems.check()
            raise UserError(f"{label}: names no class; is it the right file?")
        return sorted(found, key=natural)
    for name in sorted(found - set(wanted), key=natural):
        problems.add(label, f"class '{name}' is not among data.classes; add it there or relabel")
    for name in wanted:
        if name not in found:
            problems.add(label, f"no image shows class '{name}' of data.classes; remove it there")
    return list(wanted)


def refuse_wanted(data: Data, what: str) -> None:
    """Raise `UserError` if `data.classes` names classes where the source has its own."""
    if data.classes is not None:
        raise UserError(f"params.yaml: data.classes: {what} has classes of its own; drop this key")


def one_hot(names: Sequence[Iterable[str]], classes: Sequence[str]) -> np.ndarray:
    """(images, classes) int8: 1 for each class that an image's names hold; others are left out."""
    position = {name: index for index, name in enumerate(classes)}
    labels = np.zeros((len(names), len(classes)), np.int8)
    for row, each in enumerate(names):
        labels[row, [position[name] for name in each if name in position]] = 1
    return labels


def indicators(
    table: pd.DataFrame, classes: Sequence[str], label: str, problems: Problems
) -> np.ndarray:
    """(rows, classes) int8 from one column of 0, 1 or -1 per class.

    Notes every other cell.
    """
    cells = table[list(classes)].map(lambda cell: CELLS.get(cell.strip(), UNLABELLED))
    labels = cells.to_numpy(np.int8)
    for row, column in np.argwhere(labels == UNLABELLED).tolist():
        problems.add(
            f"{label}: {table.index[row]}, column '{classes[column]}'",
            f"label {table[classes[column]].iat[row]!r} is not 0, 1 or -1; correct it",
        )
    return labels


def unlabelled(images: int, classes: Sequence[str]) -> np.ndarray:
    """(images, classes) int8: no labels at all."""
    return np.full((images, len(classes)), UNLABELLED)


def repeated(values: pd.Series, label: str, what: str, problems: Problems) -> pd.Series:
    """Which rows repeat an earlier row's value, (rows,) bool; each is noted."""
    again = values.duplicated()
    for row in values.index[again]:
        problems.add(f"{label}: {row}", f"{what} '{values[row]}' appears a second time; remove one")
    return again
