"""What an answer does to the file, to the labels that are shown, and to what is asked next."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.core.corrected import CORRECTED_COLUMNS
from foldwise.review.answer_file import AnswerRow, read_answers
from foldwise.review.answering import Answer, AnsweredElsewhereError, ReviewError
from foldwise.review.session import ReviewSession
from tests.review.made import CLASSES, made_run, session_of

WHEN = "2026-11-26T18:00:00Z"


@pytest.fixture(params=[False, True], ids=["several labels", "one label"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> ReviewSession:
    return session_of(made_run(tmp_path / "run", request.param))


@pytest.fixture
def several(tmp_path: Path) -> ReviewSession:
    return session_of(made_run(tmp_path / "several", False))


@pytest.fixture
def one(tmp_path: Path) -> ReviewSession:
    return session_of(made_run(tmp_path / "one", True))


def wrong(session: ReviewSession, number: int) -> list[AnswerRow]:
    """Say that the first doubted label of an image is wrong, of one label the likeliest other."""
    rows = session.item(number)["classes"]
    first = next(each for each in rows if each["asked"])
    other = max((each for each in rows if each["label"] != 1), key=lambda each: each["p"])
    instead = other["index"] if session.single else None
    found: list[AnswerRow] = session.answer(number, "wrong", first["index"], instead)["rows"]
    return found


def labels_of(session: ReviewSession, number: int) -> dict[str, int]:
    also = list(range(len(CLASSES)))
    return {each["name"]: each["label"] for each in session.item(number, also)["classes"]}


def answered(session: ReviewSession) -> list[int]:
    signs = session.answered(session.file.rows())
    return [number for number, each in enumerate(signs) if each == "1"]


def test_wrong_changes_a_label_and_says_from_what_to_what(several: ReviewSession) -> None:
    before = labels_of(several, 0)
    several.clock = lambda: datetime(2026, 11, 26, 18, 0, 0, tzinfo=UTC)
    first = next(iter(several.suspects[0].asked))
    several.answer(0, "wrong", first, note=" a\nfox ")
    (row,) = read_answers(several.file.path)
    was = before[CLASSES[first]]
    assert row == (several.suspects[0].id, CLASSES[first], str(was), str(1 - was), WHEN,
                   "wrong: a fox")  # fmt: skip
    assert labels_of(several, 0) == before | {CLASSES[first]: 1 - was}


def test_of_one_label_two_rows_say_what_it_is_instead(one: ReviewSession) -> None:
    before = labels_of(one, 0)
    (old,) = [name for name, label in before.items() if label == 1]
    rows = wrong(one, 0)
    assert [(each.class_name, each.was, each.label) for each in rows[:1]] == [(old, "1", "0")]
    assert [(each.was, each.label) for each in rows[1:]] == [("0", "1")]
    assert rows[0].when == rows[1].when
    after = labels_of(one, 0)
    assert sum(after.values()) == 1
    assert after[rows[1].class_name] == 1


def test_right_and_unsure_leave_the_label(session: ReviewSession) -> None:
    said: list[Answer] = ["right", "unsure"]
    for number, answer in enumerate(said):
        before = labels_of(session, number)
        index = next(iter(session.suspects[number].asked))
        (row,) = session.answer(number, answer, index)["rows"]
        assert row.was == row.label == str(before[CLASSES[index]])
        assert row.why == answer
        assert labels_of(session, number) == before


def test_what_nobody_can_know_is_ignored(several: ReviewSession, one: ReviewSession) -> None:
    index = next(iter(several.suspects[0].asked))
    (row,) = several.answer(0, "unknown", index)["rows"]
    assert (row.label, row.why) == ("-1", "unsure")
    with pytest.raises(ReviewError, match="say unsure"):
        one.answer(0, "unknown", 0)


def test_an_image_is_answered_when_all_that_is_asked_is(several: ReviewSession) -> None:
    number = next(n for n, each in enumerate(several.suspects) if len(each.asked) > 1)
    *others, last = several.suspects[number].asked
    for index in others:
        several.answer(number, "right", index)
        assert answered(several) == []
    several.answer(number, "unsure", last)
    assert answered(several) == [number]


def test_was_stays_the_label_of_the_source(session: ReviewSession) -> None:
    """Answered again, and again after `fetch` has applied the first answer."""
    rows = wrong(session, 0)
    # What labels.parquet holds then.
    labels = session.parts["oof"].labels.copy()
    place = np.flatnonzero(session.parts["oof"].ids == rows[0].id)
    for row in rows:
        labels[place, CLASSES.index(row.class_name)] = int(row.label)
    session.parts = {"oof": replace(session.parts["oof"], labels=labels)}
    back = CLASSES.index(rows[0].class_name)
    added = session.answer(0, "wrong", back, back if session.single else None)["rows"]
    sources = {each.class_name: each.was for each in rows}
    assert {each.class_name: each.was for each in added} == sources
    assert {each.class_name: each.label for each in added} == sources
    assert {each.why for each in added} == {"right"}


def test_undo_takes_the_rows_out_and_asks_anew(session: ReviewSession) -> None:
    before = labels_of(session, 0)
    first = wrong(session, 0)
    content = session.file.path.read_bytes()
    second = wrong(session, 1)
    done = session.undo(second)
    assert done["number"] == 1
    assert session.file.path.read_bytes() == content
    assert session.undo(first)["number"] == 0
    assert session.file.rows() == []
    assert labels_of(session, 0) == before
    assert answered(session) == []


def test_undo_takes_back_only_what_was_answered_here(session: ReviewSession) -> None:
    """Of any window of this server, but nothing of another one or of a colleague."""
    other = session_of(session.file.path.parent)
    first, second = wrong(session, 0), wrong(session, 1)
    with session.file.held() as rows:
        rows.append(AnswerRow("elsewhere", CLASSES[0], "1", "1", WHEN, "right"))
    content = session.file.path.read_bytes()
    for wanted in (None, second):
        with pytest.raises(ReviewError, match="nothing to undo of what was answered since"):
            other.undo(wanted)
    assert session.file.path.read_bytes() == content
    theirs = wrong(other, 2)
    assert session.undo(None)["rows"] == second
    assert session.undo(None)["rows"] == first
    with pytest.raises(ReviewError, match="nothing to undo"):
        session.undo(None)
    assert session.file.rows()[1:] == theirs


def test_an_answer_that_was_given_anew_is_not_undone(session: ReviewSession) -> None:
    first = wrong(session, 0)
    other = session_of(session.file.path.parent)
    numbers = count()
    other.clock = lambda: datetime(2027, 1, 1, 0, 0, next(numbers), tzinfo=UTC)
    name = first[0].class_name
    other.answer(0, "unsure", CLASSES.index(name))
    content = session.file.path.read_bytes()
    with pytest.raises(ReviewError, match="answered anew elsewhere"):
        session.undo(first)
    assert session.file.path.read_bytes() == content


def test_nothing_to_undo(session: ReviewSession) -> None:
    with pytest.raises(ReviewError, match="nothing to undo"):
        session.undo(None)
    assert not session.file.path.exists()


def test_resumed_and_asked_again(session: ReviewSession) -> None:
    folder = session.file.path.parent
    for index in session.suspects[2].asked:
        session.answer(2, "right", index)
    assert answered(session_of(folder)) == [2]
    again = session_of(folder, again=True)
    assert answered(again) == []
    for index in again.suspects[2].asked:
        again.answer(2, "right", index)
    assert answered(again) == [2]


@pytest.mark.parametrize("wanted", [(-1, 0), (10**6, 0), (0, -1), (0, len(CLASSES))])
def test_what_there_is_not_is_refused(session: ReviewSession, wanted: tuple[int, int]) -> None:
    with pytest.raises(ReviewError, match="there is no"):
        session.answer(wanted[0], "right", wanted[1])
    assert not session.file.path.exists()


def test_an_answer_to_what_is_shown_no_longer_is_refused(session: ReviewSession) -> None:
    """Two who agree do not cancel each other."""
    other = session_of(session.file.path.parent)
    item = session.item(0)
    first = next(each for each in item["classes"] if each["asked"])
    seen = [each for each in item["classes"] if session.single or each is first]
    shown = [(each["index"], each["label"]) for each in seen]
    instead = next(each["index"] for each in seen if each["label"] != 1) if session.single else None
    rows = session.answer(0, "wrong", first["index"], instead, shown=shown)["rows"]
    for answer in ("wrong", "right", "unsure"):
        with pytest.raises(AnsweredElsewhereError, match="answered in another window") as refused:
            other.answer(0, answer, first["index"], instead, shown=shown)
        assert other.file.rows() == rows
        item = refused.value.present["item"]
        there = {each["index"]: each["label"] for each in item["classes"]}
        now = [(each, there[each]) for each, _ in shown]
    other.answer(0, "right", first["index"], shown=now)
    assert len(other.file.rows()) == len(rows) + 1


def test_unsure_is_the_label_before_any_answer(session: ReviewSession) -> None:
    before = labels_of(session, 0)
    first = wrong(session, 0)
    assert labels_of(session, 0) != before
    index = CLASSES.index(first[0].class_name)
    rows = session.answer(0, "unsure", index)["rows"]
    assert {(each.label == each.was, each.why) for each in rows} == {(True, "unsure")}
    assert {each.class_name for each in rows} == {each.class_name for each in first}
    assert labels_of(session, 0) == before
    shown = session.item(0)["classes"]
    assert all(each["label"] == each["given"] for each in shown)


def test_after_undo_of_an_applied_answer_the_label_is_the_sources(session: ReviewSession) -> None:
    folder = session.file.path.parent
    before = labels_of(session, 0)
    rows = wrong(session, 0)
    id = rows[0].id
    # What `fetch` writes then.
    told = [(each.id, each.class_name, each.was, each.label, "wrong") for each in rows]
    table = pd.DataFrame(told, columns=CORRECTED_COLUMNS)
    table.to_csv(folder / "data/corrected.csv", index=False)
    labels = pd.read_parquet(folder / "data/labels.parquet")
    for each in rows:
        labels.loc[labels["id"] == id, each.class_name] = int(each.label)
    labels.to_parquet(folder / "data/labels.parquet")
    session.file.path.unlink()
    fresh = session_of(folder, most=40)
    number = next(n for n, each in enumerate(fresh.suspects) if each.id == id)
    assert labels_of(fresh, number) == before
    again = CLASSES.index(rows[-1].class_name)
    added = fresh.answer(number, "wrong", again, again if fresh.single else None)["rows"]
    assert [each[1:4] for each in added] == [each[1:4] for each in rows]


def test_asked_again_nothing_is_said_to_be_answered(session: ReviewSession) -> None:
    for index in session.suspects[0].asked:
        session.answer(0, "right", index)
    again = session_of(session.file.path.parent, again=True)
    assert {each["answer"] for each in again.item(0)["classes"]} == {""}
    index = next(iter(again.suspects[0].asked))
    again.answer(0, "right", index)
    said = {each["index"]: each["answer"] for each in again.item(0)["classes"] if each["answer"]}
    assert set(said.values()) == {"right"}
    assert len(said) == 1


def test_the_test_part_is_asked_about_where_it_is_wanted(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", False)
    assert {each.part for each in session_of(folder).suspects} == {"oof"}
    assert {each.part for each in session_of(folder, test=True).suspects} == {"oof", "test"}


def test_the_nearest_images_are_shown(session: ReviewSession) -> None:
    folder = session.store.folder.parents[1]
    spaces = [np.load(folder / f"data/features/cnn/{fold}.npz") for fold in (0, 1)]
    labels = session.parts["oof"].labels
    own = dict(zip(session.parts["oof"].ids.tolist(), labels.tolist(), strict=True))
    assert not session.notes or not any("nearest" in each for each in session.notes)
    alike, shown = [], set()
    for number, suspect in enumerate(session.suspects):
        near = session.item(number)["near"]
        assert len(near) == 8
        # Of both folds' images; neither itself nor the test part, which is not asked about.
        assert suspect.id not in [each["id"] for each in near]
        assert {each["id"] for each in near} <= {*own}
        for each in near:
            assert each["labels"] == [
                name for name, there in zip(CLASSES, own[each["id"]], strict=True) if there
            ]
        alike.append(own[near[0]["id"]] == own[suspect.id])
        shown |= {each["id"] for each in near}
    assert np.mean(alike) > 0.8
    assert all(shown & {*each["oof_id"].tolist()} for each in spaces)


def test_without_features_no_image_is_near_and_a_line_says_so(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", False)
    (folder / "data/features/cnn/0.npz").unlink()
    found = session_of(folder)
    assert found.item(0)["near"] == []
    assert any("nearest images are left out: data/features/cnn/0.npz" in each
               for each in found.notes)  # fmt: skip
