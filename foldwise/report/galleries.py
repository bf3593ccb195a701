"""Which images a report shows, and what it says under each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from foldwise.evaluation.predictions import Part
from foldwise.report.label_errors import reasons_of
from foldwise.scoring.probability import sigmoid

EACH = 5
"""Images of a class with the highest score, and with the lowest."""
ERRORS = 12
"""Most confident errors of either kind."""
SUSPECTS_TITLE = "Suspected label errors"
MOST_LABELS = 8
"""Labels that are named under an image."""

Kind = Literal["right", "missed", "added", "ignored"]


@dataclass(frozen=True)
class Card:
    """An image with its labels, each a class's index, probability and what became of it."""

    id: str
    says: str
    """Why it is shown."""
    kind: Kind
    """Whether that is right."""
    probability: float
    """Of the class that it is shown for."""
    class_index: int
    labels: list[tuple[int, float, Kind]]
    """That of this class comes first, then what is wrong; what is surer before the rest."""
    more: int
    """Labels that are not named."""


@dataclass(frozen=True)
class Gallery:
    """Rows of images, each under a title."""

    title: str
    rows: dict[str, list[Card]]
    class_index: int | None = None
    """Of the class that it is about, if it is about one."""

    @property
    def cards(self) -> list[Card]:
        """Of all rows."""
        return [card for row in self.rows.values() for card in row]


def shown_pairs(galleries: Iterable[Gallery]) -> list[tuple[str, int]]:
    """Every image and class that a card is about, once."""
    pairs = [(card.id, card.class_index) for gallery in galleries for card in gallery.cards]
    return list(dict.fromkeys(pairs))


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Rows of the lowest scores, the lowest first; of equal ones the first row.

    Only the few that can be among them are sorted.
    """
    count = min(count, len(scores))
    if not count:
        return np.empty(0, np.intp)
    bound = np.partition(scores, count - 1)[count - 1]
    rows = np.flatnonzero(scores <= bound)
    return rows[np.argsort(scores[rows], kind="stable")[:count]]


def class_gallery(part: Part, index: int, title: str, each: int = EACH) -> Gallery:
    """A class's images with the highest and with the lowest score, as PASCAL VOC shows them."""
    scores = np.ascontiguousarray(part.calibrated[:, index])
    best, worst = lowest(-scores, each), lowest(scores, each)
    rows = {"Highest scores": best, "Lowest scores": worst}
    return Gallery(
        title,
        {name: [_shown(part, row, index) for row in found] for name, found in rows.items()},
        index,
    )


def confident_errors(part: Part, each: int = ERRORS) -> Gallery:
    """Labels that were missed at the lowest, and wrongly added at the highest probability.

    An image is shown once per kind of error, for its worst.
    """
    missed = (part.labels == 1) & (part.predicted == 0)
    added = (part.labels == 0) & (part.predicted == 1)
    found = {}
    for name, errors, sign in (("Missed", missed, 1.0), ("Wrongly added", added, -1.0)):
        worst = np.where(errors, sign * part.calibrated, np.inf)
        column = worst.argmin(1) if len(worst) else np.empty(0, np.intp)
        score = worst[np.arange(len(worst)), column]
        rows = [row for row in lowest(score, each) if np.isfinite(score[row])]
        found[name] = [_shown(part, row, int(column[row])) for row in rows]
    return Gallery("Most confident errors", found)


def suspects_gallery(part: Part, suspects: pd.DataFrame) -> Gallery:
    """Labels that are likely wrong themselves, the likeliest first.

    Args:
        part: the out-of-fold images.
        suspects: as `suspected_errors` gives them.
    """
    cards = []
    for each in suspects.to_dict("records"):
        kind: Kind = "missed" if each["given"] else "added"
        says = "; ".join(reasons_of(each["quality"], each["around"]))
        cards.append(_card(part, each["row"], each["class_index"], says, kind))
    rows = {
        "Labelled so, but hardly there": [card for card in cards if card.kind == "missed"],
        "Not labelled so, but likely there": [card for card in cards if card.kind == "added"],
    }
    return Gallery(SUSPECTS_TITLE, rows)


def _shown(part: Part, row: int, index: int) -> Card:
    """An image that is shown for its score of a class."""
    kind = _kind(part, row, index)
    there = {1: "is there", 0: "is not there", -1: "is ignored here"}
    says = {"missed": "missed", "added": "wrongly added"}.get(
        kind, there[int(part.labels[row, index])]
    )
    return _card(part, row, index, says, kind)


def _card(part: Part, row: int, index: int, says: str, kind: Kind) -> Card:
    logits, order = part.calibrated[row], {"added": 0, "missed": 1, "right": 2, "ignored": 3}
    named = np.flatnonzero((part.labels[row] == 1) | (part.predicted[row] == 1)).tolist()
    labels = [(each, _probability(logits[each]), _kind(part, row, each)) for each in named]
    labels.sort(key=lambda label: (label[0] != index, order[label[2]], -abs(label[1] - 0.5)))
    return Card(
        str(part.ids[row]),
        says,
        kind,
        _probability(logits[index]),
        index,
        labels[:MOST_LABELS],
        len(labels[MOST_LABELS:]),
    )


def _kind(part: Part, row: int, index: int) -> Kind:
    truth, guess = int(part.labels[row, index]), int(part.predicted[row, index])
    if truth < 0:
        return "ignored"
    if truth == guess:
        return "right"
    return "missed" if truth else "added"


def _probability(logit: float) -> float:
    return round(float(sigmoid(np.array(logit))), 4)
