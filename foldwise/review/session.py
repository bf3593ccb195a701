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
    AnsweredElsewhereError,
    ReviewError,
    label_after,
    one_label_after,
    reason_of,
)
from foldwise.review.member_scores import FoldScores
from foldwise.review.source_labels import SourceLabels
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
    sources: SourceLabels = field(default_factory=dict)
    """Labels before corrections were applied, of images to which some were."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _before: Counter[AnswerRow] = field(default_factory=Counter)
    _written: list[list[AnswerRow]] = field(default_factory=list)
    """The rows of every answer that was given here and is not undone, the last one last."""

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
        known = last_answers(self._asked_for(rows))
        return "".join(str(int(self._is_answered(each, known))) for each in self.suspects)

    def _asked_for(self, rows: Iterable[AnswerRow]) -> list[AnswerRow]:
        """The rows that count as answers: not those of before where that is asked anew."""
        left = Counter(self._before)
        new = []
        for row in rows:
            if left[row]:
                left[row] -= 1
            else:
                new.append(row)
        return new

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
        rows = self.file.rows()
        source, label = self._labels(suspect, rows)
        said = last_answers(self._asked_for(rows)).get(suspect.id, {})
        logits = self.parts[suspect.part].calibrated[suspect.row]
        p = shown_probabilities(logits.astype(np.float64), self.single)
        shown = self._shown(suspect, (source == 1) | (label == 1), p, also)
        by = [(each, found) for each in self.scores if (found := each.of(suspect.id)) is not None]
        classes = [
            {
                "index": index,
                "name": self.classes[index],
                "given": int(source[index]),
                "label": int(label[index]),
                "p": round(float(p[index]), 4),
                "by": [round(float(found[index]), 3) for _, found in by],
                "asked": list(suspect.asked.get(index, ())),
                "answer": said[self.classes[index]].reason if self.classes[index] in said else "",
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
            "classes": classes,
            "alike": alike,
            "near": near,
        }

    def _shown(
        self, suspect: Suspect, there: np.ndarray, p: np.ndarray, also: Sequence[int]
    ) -> list[int]:
        """Indices of classes: those asked about, those there, then the likeliest of the rest."""
        first = [*suspect.asked, *also, *np.flatnonzero(there).tolist()]
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

    def _labels(self, suspect: Suspect, rows: Iterable[AnswerRow]) -> tuple[np.ndarray, np.ndarray]:
        """(classes,) labels of the source, and what was made of them by the answers so far.

        Once corrections are applied, labels.parquet has the source's own no more; and an answer
        that is undone then leaves the source's label, not the one that it had made.
        """
        own = last_answers(rows).get(suspect.id, {})
        source = self.parts[suspect.part].labels[suspect.row].astype(int)
        before = {name: int(row.was) for name, row in own.items()}
        for name, was in (before | dict(self.sources.get(suspect.id, {}))).items():
            if name in self._index:
                source[self._index[name]] = was
        label = source.copy()
        for name, row in own.items():
            if name in self._index:
                label[self._index[name]] = int(row.label)
        return source, label

    def answer(
        self,
        number: int,
        answer: Answer,
        index: int,
        instead: int | None = None,
        note: str = "",
        shown: Sequence[tuple[int, int]] = (),
    ) -> dict[str, Any]:
        """Write down what the reviewer says; it is on the disk when this returns.

        Args:
            number: of the suspect.
            answer: `right`: the label is; `wrong`: it is the other one; `unsure`: nobody knows, it
                is as it was before any answer; `unknown`: nobody can, and it is to be ignored.
            index: of the class; where images have one label it is not looked at.
            instead: of the class that the image is, where images have one label and it is wrong.
            note: free text.
            shown: indices of classes, and their labels as the reviewer saw them.

        Raises:
            AnsweredElsewhereError: the labels are not those that were shown.
            ReviewError: there is no such image or class, or the answer is none.
            UserError: the file is no table of answers.
        """
        suspect = self._suspect(number)
        for each in (index, instead, *(place for place, _ in shown)):
            if each is not None and not 0 <= each < len(self.classes):
                raise ReviewError(f"there is no class {each}")
        with self.file.held() as rows:
            source, label = self._labels(suspect, rows)
            if any(label[each] != seen for each, seen in shown):
                also = [each for each, _ in shown]
                raise AnsweredElsewhereError(self.item(number, also), self.answered(rows))
            if self.single:
                wanted = one_label_after(label, answer, instead, source)
            else:
                wanted = {index: label_after(int(label[index]), answer, int(source[index]))}
            when = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            added = []
            for each, target in wanted.items():
                was = int(source[each])
                why = reason_of(was, target, answer, note)
                name = self.classes[each]
                added.append(AnswerRow(suspect.id, name, str(was), str(target), when, why))
            rows += added
            now = self.answered(rows)
        if added:
            self._written.append(added)
        return {"rows": added, "answered": now}

    def undo(self, wanted: Sequence[AnswerRow] | None) -> dict[str, Any]:
        """Take the rows of an answer out of the file, if it was given here: nobody else's.

        Args:
            wanted: the rows, or None for the last answer.

        Raises:
            ReviewError: there is nothing to undo, or the rows are not the last ones of their image
                and class any more.
        """
        with self.file.held() as rows:
            own = [each for each in self._written if wanted is None or each == list(wanted)]
            if not own:
                raise ReviewError("there is nothing to undo of what was answered since the start")
            taken = own[-1]
            known = last_answers(rows)
            for row in taken:
                if known.get(row.id, {}).get(row.class_name) != row:
                    self._written.remove(taken)
                    raise ReviewError(f"{row.id} was answered anew elsewhere; nothing is undone")
            for row in reversed(taken):
                # The last of its like.
                place = len(rows) - 1 - rows[::-1].index(row)
                del rows[place]
            now = self.answered(rows)
        self._written.remove(taken)
        return {"number": self._numbers[taken[-1].id], "rows": taken, "answered": now}
