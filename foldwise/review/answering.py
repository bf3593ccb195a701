"""What an answer makes of labels, and what is written of it."""

from typing import Any, Literal

import numpy as np

from foldwise.review.answer_file import AnswerRow

Answer = Literal["right", "wrong", "unsure", "unknown"]


class ReviewError(Exception):
    """What was asked makes no sense, or no more; its text is for the reviewer."""


class AnsweredElsewhereError(ReviewError):
    """The labels are no longer those that the reviewer saw."""

    def __init__(self, item: dict[str, Any], answered: str) -> None:
        """
        Args:
            item: what is to be shown by now.
            answered: a sign for every suspect.
        """
        super().__init__("answered in another window; look at it again")
        self.present: dict[str, Any] = {"item": item, "answered": answered}


def label_after(label: int, answer: Answer, source: int) -> int:
    """The label of one class, where images have several.

    Args:
        label: as it is.
        answer: what was said of it.
        source: as it was before any answer.

    >>> [label_after(1, each, 1) for each in ("right", "wrong", "unsure", "unknown")]
    [1, 0, 1, -1]
    >>> label_after(-1, "wrong", 0), label_after(0, "unsure", 1)
    (1, 1)
    """
    if answer == "unknown":
        return -1
    if answer == "unsure":
        return source
    if answer != "wrong":
        return label
    return 0 if label == 1 else 1


def one_label_after(
    label: np.ndarray, answer: Answer, instead: int | None, source: np.ndarray
) -> dict[int, int]:
    """Of the classes that an answer is about the labels that they are to have, where images have
    one.

    Args:
        label: (classes,): 1, 0 or -1.
        answer: what was said of the class that is 1.
        instead: the class that it is instead, if that is wrong.
        source: (classes,) as they were before any answer.

    Raises:
        ReviewError: the answer makes no sense.

    >>> source = np.array([0, 1, 0])
    >>> one_label_after(source, "wrong", 2, source)
    {1: 0, 2: 1}
    >>> one_label_after(np.array([0, 0, 1]), "unsure", None, source)
    {1: 1, 2: 0}
    """
    there = np.flatnonzero(label == 1).tolist()
    if answer == "unknown":
        raise ReviewError("an image of one label cannot have an unknown one; say unsure")
    if answer == "unsure":
        back = np.flatnonzero((label == 1) | (source == 1)).tolist()
        return {each: int(source[each]) for each in back}
    if answer == "right":
        return dict.fromkeys(there, 1)
    if instead is None:
        raise ReviewError("say which class it is instead")
    if there == [instead]:
        raise ReviewError("it is labelled so; say that the label is right")
    return {each: 0 for each in there if each != instead} | {instead: 1}


def reason_of(was: int, label: int, answer: Answer, note: str = "") -> str:
    """The last cell of an answer's row; `right` and `wrong` are said of the source's label.

    Args:
        was: the source's label.
        label: what it is to be.
        answer: what was said of the label as it was shown, which may have been corrected before.
        note: free text, of any lines.

    >>> reason_of(1, 0, "wrong", "a fox"), reason_of(1, 0, "right"), reason_of(1, 1, "wrong")
    ('wrong: a fox', 'wrong', 'right')
    >>> reason_of(1, -1, "unknown"), reason_of(1, 1, "unsure")
    ('unsure', 'unsure')
    """
    unsure = answer in ("unsure", "unknown") and label in (was, -1)
    why = "unsure" if unsure else "right" if was == label else "wrong"
    text = " ".join(note.split())
    return f"{why}: {text}" if text else why


def said_by(row: AnswerRow) -> tuple[str, str, str, str]:
    """By which an answer is known again in another file.

    >>> said_by(AnswerRow("a", "cat", "1", "0", "2026-11-26T18:00:00Z", "wrong"))
    ('a', 'cat', '0', '2026-11-26T18:00:00Z')
    """
    return row.id, row.class_name, row.label, row.when


def since(row: AnswerRow, was: str) -> AnswerRow:
    """The row as if it had been given when the label was this.

    >>> since(AnswerRow("a", "cat", "0", "0", "2026-11-26T18:00:00Z", "right: sure"), "1").why
    'wrong: sure'
    """
    _, colon, text = row.why.partition(":")
    reason = row.reason
    if reason != "unsure" or row.label not in (was, "-1"):
        reason = "right" if row.label == was else "wrong"
    return row._replace(was=was, why=reason + colon + text)
