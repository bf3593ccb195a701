"""Corrected labels: a table with a row per answer about an image and class, checked and applied."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.core.corrected import CORRECTED_COLUMNS
from foldwise.core.errors import UserError
from foldwise.sources.csv_files import read_table, require_columns
from foldwise.sources.labels import CELLS
from foldwise.sources.names import normal, printable
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import UNLABELLED, Source
from foldwise.sources.tree import Folder, Tree

COLUMNS = ["id", "class", "was", "is", "when", "why"]
TIME = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ")
"""ISO 8601 in UTC: of texts of this form the earlier comes first in the alphabet too."""
HOW: dict[str, tuple[str, Callable[[int, int], bool]]] = {
    "right": ("changes nothing", lambda was, becomes: was == becomes),
    "wrong": ("changes the label", lambda was, becomes: was != becomes),
    "unsure": ("changes nothing or makes it -1", lambda was, becomes: becomes in (was, -1)),
}
"""What `why` may be, what a row then does, and whether it does."""


@dataclass(frozen=True)
class Answer:
    """A row of the table."""

    row: str
    """As an editor counts: "row 2"."""
    image: int
    """Position among the source's images."""
    column: int
    """Position of the class."""
    was: int
    becomes: int
    when: str
    why: str
    """right, wrong or unsure."""


def refuse_unseen(data: Data, seen: Path) -> None:
    """Raise `UserError` if the corrections lie where DVC does not look.

    Args:
        data: the settings.
        seen: a file that DVC looks at, beside `data.path` and `data.extra_path`.
    """
    if data.corrections is None:
        return
    path = Path(data.corrections)
    # What a link leads to counts to DVC, but not where that lies.
    place = path.parent.resolve() / path.name
    seen_places = [Path(each).resolve() for each in (data.path, data.extra_path)]
    seen_places.append(seen.parent.resolve() / seen.name)
    if not any(place.is_relative_to(each) for each in seen_places):
        raise UserError(
            printable(
                f"params.yaml: data.corrections: '{path}' is neither {seen} nor in data.path or "
                "data.extra_path, so that DVC would not see it change; move it there"
            )
        )
    if not path.is_file():
        raise UserError(
            printable(f"{path}: no such file; drop data.corrections where nothing is corrected")
        )


def has_answers(path: Path) -> bool:
    """Whether a file has more than a header.

    >>> has_answers(Path("no such file"))
    False
    """
    if not path.is_file():
        return False
    return len([line for line in path.read_bytes().splitlines() if line.strip()]) > 1


def corrected(path: Path, source: Source, problems: Problems) -> tuple[Source, pd.DataFrame]:
    """The source with its labels as the last answer about each has them.

    Args:
        path: of the table; its rows stand in the order in which they were given.
        source: whose labels they are about.
        problems: notes unknown ids and classes, impossible cells, labels that are no longer what
            they were when they were looked at, rows out of order that contradict each other, and
            images that would not show one class where all do.

    Returns:
        The source, and `CORRECTED_COLUMNS` of every label that was looked at, in the order of
        images and classes: `was` is the source's own label, `is` what it is now.

    Raises:
        UserError: the table cannot be read or lacks a column.
    """
    tree = Tree(str(path.parent), {path.name: (Folder(path.parent), path.name)})
    label = tree.label(path.name)
    table = read_table(tree, path.name, problems, may_be_empty=True)
    require_columns(table, label, COLUMNS, "docs/sources.md")
    answers: dict[tuple[int, int], list[Answer]] = {}
    broken: set[int] = set()
    for answer in _answers(table, label, source, broken, problems):
        answers.setdefault((answer.image, answer.column), []).append(answer)
    labels = source.labels.copy()
    for (image, column), rows in answers.items():
        if not _hold(rows, label, source, problems):
            broken.add(image)
        labels[image, column] = rows[-1].becomes
    if source.task == "multiclass":
        last = {image: rows[-1].row for (image, _), rows in answers.items()}
        for image in sorted(last.keys() - broken):
            _refuse_several(f"{label}: {last[image]}", image, labels[image], source, problems)
    told = []
    for (image, column), rows in sorted(answers.items()):
        said = (source.labels[image, column], rows[-1].becomes, rows[-1].why)
        told.append((source.ids[image], source.classes[column], *said))
    return replace(source, labels=labels), pd.DataFrame(told, columns=CORRECTED_COLUMNS)


def _answers(
    table: pd.DataFrame, label: str, source: Source, broken: set[int], problems: Problems
) -> Iterator[Answer]:
    """The rows without a fault; positions of other rows' images, where known, join `broken`."""
    # Blanks around cells do not count, nor in how many pieces an accent is written.
    images = {normal(id.strip()): place for place, id in enumerate(source.ids)}
    images |= {id: place for place, id in enumerate(source.ids)}
    columns = {name: place for place, name in enumerate(source.classes)}
    for row, id, name, *cells, when, why in table[COLUMNS].itertuples(name=None):
        image, column = images.get(id, images.get(normal(id))), columns.get(normal(name))
        faults = []
        if image is None:
            faults.append(f"no image is called '{id}'; correct it, or remove the row")
        if column is None:
            faults.append(f"no class is called '{name}'; correct it, or remove the row")
        was, becomes = (CELLS.get(cell) for cell in cells)
        for key, cell in zip(("was", "is"), cells, strict=True):
            if cell not in CELLS:
                faults.append(f"column '{key}': {cell!r} is not 0, 1 or -1; correct it")
        if not TIME.fullmatch(when):
            faults.append(f"column 'when': {when!r} is no time as 2026-11-26T18:00:00Z; correct it")
        how = why.partition(":")[0].strip()
        faults += _wrong_why(why, how, was, becomes)
        for fault in faults:
            problems.add(f"{label}: {row}", fault)
        if faults and image is not None:
            broken.add(image)
        if not faults:
            assert image is not None
            assert column is not None
            assert was is not None
            assert becomes is not None
            yield Answer(row, image, column, was, becomes, when, how)


def _wrong_why(why: str, how: str, was: int | None, becomes: int | None) -> list[str]:
    """What is wrong with a row's `why`, if anything; of unknown labels, None, it says nothing."""
    if how not in HOW:
        return [f"column 'why': {why!r} does not begin with right, wrong or unsure; correct it"]
    does, holds = HOW[how]
    if was is not None and becomes is not None and not holds(was, becomes):
        return [f"says '{how}', which {does}, but `was` is {was} and `is` {becomes}; correct it"]
    return []


def _hold(rows: list[Answer], label: str, source: Source, problems: Problems) -> bool:
    """Whether the answers about one label hold; notes the last if it is of another label than now.

    An answer may be about what an earlier one made of the label. Which is the last, the order says;
    where times say otherwise of answers that differ, nobody knows.
    """
    image, column = rows[0].image, rows[0].column
    about = f"class '{source.classes[column]}' of image '{source.ids[image]}'"
    given = int(source.labels[image, column])
    reached, latest, holds = {given}, rows[0], True
    for answer in rows:
        stale = answer.was not in reached
        if not stale:
            reached.add(answer.becomes)
        if answer.when >= latest.when:
            latest = answer
        elif answer.becomes != latest.becomes:
            holds = False
            problems.add(
                f"{label}: {answer.row}",
                f"contradicts {latest.row}, which is above it but of a later time, about {about}; "
                "remove one",
            )
    if stale:
        says = "has no labels to correct" if given == UNLABELLED else f"is {given} in the data"
        problems.add(
            f"{label}: {rows[-1].row}",
            f"{about} was {rows[-1].was} and {says}; look at it again, or remove the row",
        )
    return holds and not stale


def _refuse_several(
    culprit: str, image: int, labels: np.ndarray, source: Source, problems: Problems
) -> None:
    shown = [source.classes[column] for column in np.flatnonzero(labels == 1)]
    if len(shown) != 1:
        named = " and ".join(f"'{each}'" for each in shown[:3]) if shown else "no class"
        problems.add(
            culprit,
            f"image '{source.ids[image]}' would show {named}, where images show one; add the row "
            f"that makes the {'right class 1' if not shown else 'other 0'}",
        )
