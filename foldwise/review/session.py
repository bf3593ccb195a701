"""One review: the images that are asked about, what is known of each, and what was answered."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from foldwise.evaluation.predictions import Part
from foldwise.images.store import ImageStore
from foldwise.review.answer_file import AnswerFile, AnswerRow, last_answers
from foldwise.review.answering import (
    Answer,
    ReviewError,
    label_after,
    one_label_after,
    reason_of,
    said_by,
    since,
)
from foldwise.review.member_scores import FoldScores
from foldwise.review.suspects import Suspect, shown_probabilities

LISTED = 9
"""Classes that are shown of an image, beside those that are asked about or labelled: a key each."""
MOST_ALIKE = 8

Neighbours = Callable[[str], list[str]]
"""Of an image's id those of the nearest ones, nearest first."""


@dataclass
class ReviewSession:
    """What the page asks its server for; any number of threads at once."""

    title: str
    classes: Sequence[str]
    single: bool
    """Whether every image has one label."""
    parts: Mapping[str, Part]
    suspects: Sequence[Suspect]
    file: AnswerFile
    store: ImageStore
    scores: Sequence[FoldScores] = ()
    notes: Sequence[str] = ()
    """What the page leaves out, and why."""
    nearest: Neighbours | None = None
    heated: bool = False
    """Whether heat maps can be asked for."""
    again: bool = False
    """Whether what was answered before is asked anew."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _before: Counter[AnswerRow] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._numbers = {each.id: number for number, each in enumerate(self.suspects)}
        self._places = {
            str(id): (name, row)
            for name, part in self.parts.items()
            for row, id in enumerate(part.ids)
        }
        self._index = {name: index for index, name in enumerate(self.classes)}
        if self.again:
            self._before = Counter(self.file.rows())

    def start(self) -> dict[str, Any]:
        """What the page needs to begin."""
        return {
            "title": self.title,
            "single": self.single,
            "classes": list(self.classes),
            "total": len(self.suspects),
            "answered": self.answered(self.file.rows()),
            "file": str(self.file.path),
            "notes": list(self.notes),
            "heated": self.heated,
        }

    def answered(self, rows: Iterable[AnswerRow]) -> str:
        """A sign for every suspect: 1 if all that is asked of it is answered, else 0."""
        left = Counter(self._before)
        new = []
        for row in rows:
            if left[row]:
                left[row] -= 1
            else:
                new.append(row)
        known = last_answers(new)
        return "".join(str(int(self._is_answered(each, known))) for each in self.suspects)

    def _is_answered(self, suspect: Suspect, known: dict[str, dict[str, AnswerRow]]) -> bool:
        own = known.get(suspect.id, {})
        if self.single:
            return bool(own)
        return all(self.classes[index] in own for index in suspect.asked)

    def item(self, number: int, also: Sequence[int] = ()) -> dict[str, Any]:
        """All that is shown of a suspect but its picture.

        Args:
            number: of the suspect.
            also: indices of classes that are to be among those shown.
        """
        suspect = self._suspect(number)
        given = self.parts[suspect.part].labels[suspect.row]
        own = last_answers(self.file.rows()).get(suspect.id, {})
        label = self._labels(given, own)
        logits = self.parts[suspect.part].calibrated[suspect.row]
        p = shown_probabilities(logits.astype(np.float64), self.single)
        shown = self._shown(suspect, label, p, also)
        by = [(each, found) for each in self.scores if (found := each.of(suspect.id)) is not None]
        rows = [
            {
                "index": index,
                "name": self.classes[index],
                "given": int(given[index]),
                "label": int(label[index]),
                "p": round(float(p[index]), 4),
                "by": [round(float(found[index]), 3) for _, found in by],
                "asked": list(suspect.asked.get(index, ())),
                "answer": own[self.classes[index]].reason if self.classes[index] in own else "",
            }
            for index in shown
        ]
        alike, near = self._neighbours(suspect)
        return {
            "number": number,
            "id": suspect.id,
            "part": suspect.part,
            "quality": round(suspect.quality, 4),
            "why": [] if not self.single else list(next(iter(suspect.asked.values()), ())),
            "by": [{"member": each.member, "fold": each.fold} for each, _ in by],
            "classes": rows,
            "alike": alike,
            "near": near,
        }

    def _shown(
        self, suspect: Suspect, label: np.ndarray, p: np.ndarray, also: Sequence[int]
    ) -> list[int]:
        """Indices of classes: those asked about, the labels, then the likeliest of the rest."""
        first = [*suspect.asked, *also, *np.flatnonzero(label == 1).tolist()]
        rest = np.argsort(-p, kind="stable")[: LISTED + len(first)].tolist()
        kept = list(dict.fromkeys(each for each in first if 0 <= each < len(self.classes)))
        more = [each for each in rest if each not in kept]
        return kept + more[: max(0, LISTED - len(kept))]

    def _neighbours(self, suspect: Suspect) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        near = self.nearest(suspect.id) if self.nearest else []
        return (
            [self._neighbour(id) for id in suspect.alike[:MOST_ALIKE]],
            [self._neighbour(id) for id in near[:MOST_ALIKE] if id in self._places],
        )

    def _neighbour(self, id: str) -> dict[str, Any]:
        name, row = self._places[id]
        there = np.flatnonzero(self.parts[name].labels[row] == 1).tolist()
        return {"id": id, "labels": [self.classes[each] for each in there]}

    def knows(self, id: str) -> bool:
        """Whether an image may be looked at."""
        return id in self._places

    def _suspect(self, number: int) -> Suspect:
        if not 0 <= number < len(self.suspects):
            raise ReviewError(f"there is no image {number}")
        return self.suspects[number]

    def _labels(self, given: np.ndarray, own: Mapping[str, AnswerRow]) -> np.ndarray:
        """(classes,) labels after what was answered so far."""
        label = given.astype(int)
        for name, row in own.items():
            if name in self._index:
                label[self._index[name]] = int(row.label)
        return label

    def answer(
        self, number: int, answer: Answer, index: int, instead: int | None = None, note: str = ""
    ) -> dict[str, Any]:
        """Write down what the reviewer says; it is on the disk when this returns.

        Args:
            number: of the suspect.
            answer: `right`: the label is; `wrong`: it is the other one; `unsure`: nobody knows, it
                stays; `unknown`: likewise, and it is to be ignored.
            index: of the class; where images have one label it is not looked at.
            instead: of the class that the image is, where images have one label and it is wrong.
            note: free text.

        Raises:
            ReviewError: there is no such image or class, or the answer is none.
            UserError: the file is no table of answers.
        """
        suspect = self._suspect(number)
        for each in (index, instead):
            if each is not None and not 0 <= each < len(self.classes):
                raise ReviewError(f"there is no class {each}")
        given = self.parts[suspect.part].labels[suspect.row]
        with self.file.held() as rows:
            own = last_answers(rows).get(suspect.id, {})
            label = self._labels(given, own)
            if self.single:
                wanted = one_label_after(label, answer, instead)
            else:
                wanted = {index: label_after(int(label[index]), answer)}
            when = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            added = []
            for each, target in wanted.items():
                name = self.classes[each]
                # The label of the source: once corrections are applied, no other file has it.
                was = int(own[name].was) if name in own else int(given[each])
                why = reason_of(was, target, answer, note)
                added.append(AnswerRow(suspect.id, name, str(was), str(target), when, why))
            rows += added
            return {"rows": added, "answered": self.answered(rows)}

    def undo(self, wanted: Sequence[AnswerRow] | None) -> dict[str, Any]:
        """Take the rows of an answer out of the file.

        Args:
            wanted: the rows, or None for the last answer of any image that is asked about.

        Raises:
            ReviewError: there is nothing to undo, or the rows are not the last ones of their image
                and class any more.
        """
        with self.file.held() as rows:
            taken = list(wanted) if wanted is not None else self._last_answer(rows)
            if not taken:
                raise ReviewError("there is nothing to undo")
            known = last_answers(rows)
            for row in taken:
                if known.get(row.id, {}).get(row.class_name) != row:
                    raise ReviewError(f"{row.id} was answered anew elsewhere; nothing is undone")
            for row in reversed(taken):
                # The last of its like.
                place = len(rows) - 1 - rows[::-1].index(row)
                del rows[place]
            number = self._numbers.get(taken[-1].id)
            return {"number": number, "rows": taken, "answered": self.answered(rows)}

    def _last_answer(self, rows: Sequence[AnswerRow]) -> list[AnswerRow]:
        """The rows of the last answer; where images have one label, a change is several."""
        own = [row for row in rows if row.id in self._numbers]
        if not own or not self.single:
            return own[-1:]
        last = own[-1]
        taken: list[AnswerRow] = []
        for row in reversed(own):
            new = row.class_name not in {each.class_name for each in taken}
            if (row.id, row.when) != (last.id, last.when) or not new:
                break
            taken.insert(0, row)
        return taken

    def add(self, others: Iterable[AnswerRow]) -> int:
        """Take over answers that were given elsewhere, those that are there already apart.

        Returns:
            How many rows are new.
        """
        with self.file.held() as rows:
            known = {said_by(row) for row in rows}
            new = [row for row in others if said_by(row) not in known]
            last = last_answers(rows)
            for row in new:
                earlier = last.get(row.id, {}).get(row.class_name)
                # Who gave the answer may have seen labels that were corrected already.
                rows.append(since(row, earlier.was) if earlier else row)
            return len(new)
