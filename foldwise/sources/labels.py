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

SIGNS = (",", ";", "|", "/", "\t", "\uff0c", "\uff1b", "\u3001")
"""What people write between classes, beside blanks; the last are commas and semicolons of East
Asia."""
NAMES_HOLD = ("+", "&", "\xa0", "\u3000")
"""What they write between classes and in names too: signs, and blanks that do not break a line or
are as wide as a letter of East Asia."""
FEW = 5
"""Rows of which each may be told by itself."""
CELLS = {"1": 1, "0": 0, "-1": -1, "1.0": 1, "0.0": 0, "-1.0": -1}
CELLS |= {"TRUE": 1, "FALSE": 0, "True": 1, "False": 0, "true": 1, "false": 0}
"""What spreadsheets and pandas write."""


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


def refuse_leftovers(found: Iterable[str], separator: str, label: str, chosen: bool) -> None:
    """Raise `UserError` for classes that still hold what separates classes, or are nothing else.

    That is a sign at either end of one, or one between names of which another class is or, where
    nobody chose the separator, holds one: `cough,` and `fever` came of `cough, fever`,
    `cough;fever` and `fever` of two in a cell. Signs that names hold too must divide other classes.

    Args:
        found: the classes.
        separator: that they were separated by.
        label: of the table.
        chosen: the separator was written in params.yaml.
    """
    found = set(found)
    shares = Counter(piece for name in found for sign in SIGNS for piece in _pieces(name, sign))
    problems = Problems()
    for name in sorted(found, key=natural):
        sign = _leftover(name, found, shares, chosen)
        if not any(character.isalnum() for character in name):
            holds = "no letter and no digit, so it"
        elif sign is not None:
            holds = f"{sign!r}, which"
        else:
            continue
        problems.add(
            f"{label}: class '{name}'",
            f"holds {holds} seems to separate classes: data.table.separator is "
            f"{separator!r}; correct it, or list this class in data.classes if it is one",
        )
    problems.check()


def _leftover(name: str, found: set[str], shares: Counter[str], chosen: bool) -> str | None:
    """The first sign in a class that seems to separate classes."""
    for sign in SIGNS:
        pieces = _pieces(name, sign)
        # Between names of folders, `/` says which class is a kind of which.
        shared = sign != "/" and not chosen and any(shares[piece] > 1 for piece in pieces)
        at_an_end = sign in (name[0], name[-1])
        if pieces and (at_an_end or shared or not found.isdisjoint(pieces)):
            return sign
    for sign in NAMES_HOLD:
        pieces = _pieces(name, sign)
        if len(pieces) > 1 and pieces <= found:
            return sign
    return None


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
