"""Answers that were given elsewhere: those that can stand beside ours, and why others cannot."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from foldwise.review.answer_file import AnswerRow, last_answers
from foldwise.review.answering import said_by, since
from foldwise.sources.corrections import TIME


class TakenOver(NamedTuple):
    """What becomes of another file's answers."""

    rows: list[AnswerRow]
    """That are new, `was` the source's label."""
    left_out: list[str]
    """A line for each answer that cannot be taken over."""


def taken_over(
    ours: Sequence[AnswerRow], theirs: Sequence[AnswerRow], labels: pd.DataFrame, single: bool
) -> TakenOver:
    """The answers of another file that `fetch` accepts below ours.

    Of their answers about a label the last counts, and it alone is taken over. One that contradicts
    an answer of ours is left out, where images have one label with all that is said of the image.

    Args:
        ours: the rows that are there.
        theirs: of the other file.
        labels: of the source, ids as index, a column per class; null where there are none.
        single: whether every image has one label.

    >>> labels = pd.DataFrame({"cat": [1, 1]}, index=["a.png", "b.png"])
    >>> ours = [AnswerRow("a.png", "cat", "1", "0", "2026-11-26T18:00:00Z", "wrong")]
    >>> right = AnswerRow("a.png", "cat", "1", "1", "2026-11-25T18:00:00Z", "right")
    >>> found = taken_over(ours, [right, right._replace(id="b.png")], labels, single=False)
    >>> [row.id for row in found.rows], found.left_out
    (['b.png'], ['a.png, cat: is 1 there; ours, 0, stays'])
    """
    known = {said_by(row) for row in ours}
    mine = last_answers(ours)
    found = TakenOver([], [])
    sound = []
    reached = {(row.id, row.class_name, row.label) for row in [*ours, *theirs]}
    for row in theirs:
        fault = None if said_by(row) in known else _fault(row, labels, reached)
        if fault:
            found.left_out.append(f"{row.id}, {row.class_name}: {fault}")
        else:
            sound.append(row)
    for id, said in last_answers(sound).items():
        if all(said_by(row) in known for row in said.values()):
            continue
        own = mine.get(id, {})
        given: dict[str, Any] = {str(name): label for name, label in labels.loc[id].items()}
        if single and (refused := _one_label_refused(given, said, own)):
            found.left_out.append(f"{id}: {refused}")
            continue
        for name, row in said.items():
            if said_by(row) in known:
                continue
            if name in own and own[name].label != row.label:
                stays = f"is {row.label} there; ours, {own[name].label}, stays"
                found.left_out.append(f"{id}, {name}: {stays}")
            else:
                # Who gave the answer may have seen labels that were corrected already.
                found.rows.append(since(row, str(int(given[name]))))
    return found


def _fault(row: AnswerRow, labels: pd.DataFrame, reached: set[tuple[str, str, str]]) -> str | None:
    """Why `fetch` would refuse a row whatever else the file holds."""
    if row.id not in labels.index:
        return "there is no such image"
    if row.class_name not in labels.columns:
        return "there is no such class"
    if not TIME.fullmatch(row.when):
        return f"{row.when!r} is no time as 2026-11-26T18:00:00Z"
    given: Any = labels.at[row.id, row.class_name]
    if pd.isna(given):
        return "the image has no labels to correct"
    if row.was != str(int(given)) and (row.id, row.class_name, row.was) not in reached:
        return f"was {row.was} there and is {int(given)} here; look at it again"
    return None


def _one_label_refused(
    given: dict[str, int], theirs: dict[str, AnswerRow], ours: dict[str, AnswerRow]
) -> str | None:
    """Why an image's answers are left out where images have one label, if they are."""
    there, here = _classes_said(given, theirs), _classes_said(given, ours)
    if ours and there != here:
        return f"is {_joined_names(there)} there; ours, {_joined_names(here)}, stays"
    if len(there) != 1:
        return f"would be {_joined_names(there)}, where images have one label"
    return None


def _classes_said(given: dict[str, int], said: dict[str, AnswerRow]) -> list[str]:
    """The classes that are 1 after some answers."""
    answers = {name: int(row.label) for name, row in said.items()}
    return [name for name, label in given.items() if answers.get(name, label) == 1]


def _joined_names(names: list[str]) -> str:
    return " and ".join(f"'{each}'" for each in names) or "no class"
