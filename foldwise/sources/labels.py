"""From classes and cells as people write them to labels."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.names import natural, normal
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import UNLABELLED

SIGNS = (",", ";", "|", "/", "\t")
"""What people write between classes, beside blanks."""
FEW = 5
"""Rows of which each may be told by itself."""
CELLS = {"1": 1, "0": 0, "-1": -1, "1.0": 1, "0.0": 0, "-1.0": -1}


def class_order(
    wanted: Sequence[str] | None, found: Iterable[str], label: str, problems: Problems
) -> list[str]:
    """The classes in order: those wanted or, if nobody said, all found, sorted naturally.

    Notes a class that was found but not wanted, and one wanted that no image of the train part
    shows.
    """
    found = set(found)
    wanted = None if wanted is None else [normal(name.strip()) for name in wanted]
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


def refuse_leftovers(found: Iterable[str], separator: str, label: str) -> None:
    """Raise `UserError` for classes that still hold what separates classes.

    That is a sign at either end of one, or one between names of which another class is or holds
    one: `cough,` and `fever` came of `cough, fever`, `cough;fever` and `fever` of two in a cell.
    """
    found = sorted(set(found), key=natural)
    pieces = Counter(piece for name in found for sign in SIGNS for piece in _pieces(name, sign))
    lines = []
    for name in found:
        signs = [sign for sign in SIGNS if sign in name]
        kept = [
            sign
            for sign in signs
            if name.startswith(sign)
            or name.endswith(sign)
            or any(
                # Between names of folders, `/` says which class is a kind of which.
                piece in found or (sign != "/" and pieces[piece] > 1)
                for piece in _pieces(name, sign)
            )
        ]
        if kept:
            lines.append((name, kept[0]))
    problems = Problems()
    for name, sign in lines:
        problems.add(
            f"{label}: class '{name}'",
            f"holds {sign!r}, which seems to separate classes: data.table.separator is "
            f"{separator!r}; correct it, or list this class in data.classes if it is one",
        )
    problems.check()


def _pieces(name: str, sign: str) -> set[str]:
    return {piece.strip() for piece in name.split(sign)} - {""} if sign in name else set()


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
    wrong = labels == UNLABELLED
    for column in np.flatnonzero(wrong.all(0) & (len(wrong) > FEW)).tolist():
        wrong[:, column] = False
        problems.add(
            f"{label}: column '{classes[column]}'",
            f"no cell is 0, 1 or -1 ({table[classes[column]].iat[0]!r}, ...); remove the column, "
            "or name what it is in data.table",
        )
    for row, column in np.argwhere(wrong).tolist():
        problems.add(
            f"{label}: {table.index[row]}, column '{classes[column]}'",
            f"label {table[classes[column]].iat[row]!r} is not 0, 1 or -1; correct it",
        )
    return labels


def unlabelled(images: int, classes: Sequence[str]) -> np.ndarray:
    """(images, classes) int8: no labels at all."""
    return np.full((images, len(classes)), UNLABELLED)


def repeated(
    values: pd.Series, label: str, what: str, problems: Problems, shown: pd.Series | None = None
) -> pd.Series:
    """Which rows repeat an earlier row's value, (rows,) bool; each is noted.

    Args:
        values: (rows,).
        label: of the table.
        what: the values are.
        problems: notes them.
        shown: (rows,): how the table spells them, where that differs.
    """
    again = values.duplicated()
    spelled = values if shown is None else shown
    for row in values.index[again]:
        problems.add(
            f"{label}: {row}", f"{what} '{spelled[row]}' appears a second time; remove one"
        )
    return again
