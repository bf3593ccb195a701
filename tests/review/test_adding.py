"""What is taken over from another file stands beside ours, and `fetch` accepts both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldwise.review.adding import TakenOver, taken_over
from foldwise.review.answer_file import AnswerRow, as_csv, last_answers
from foldwise.sources.corrections import corrected
from foldwise.sources.problems import Problems
from foldwise.sources.source import Source

CLASSES = ["cat", "dog", "hen"]
SEVERAL = pd.DataFrame([[1, 0, -1], [0, 1, 0]], ["a", "b"], CLASSES)
ONE = pd.DataFrame([[1, 0, 0], [0, 1, 0]], ["a", "b"], CLASSES)
EARLY, LATE, LATER = (f"2026-11-2{day}T18:00:00Z" for day in (4, 5, 6))


def row(id: str, name: str, was: int, label: int, when: str = LATE) -> AnswerRow:
    return AnswerRow(id, name, str(was), str(label), when, "right" if was == label else "wrong")


def added(
    folder: Path, ours: list[AnswerRow], theirs: list[AnswerRow], labels: pd.DataFrame
) -> TakenOver:
    """What is taken over; `fetch` must accept the file with it."""
    single = labels is ONE
    found = taken_over(ours, theirs, labels, single)
    path = folder / "corrections.csv"
    path.write_text(as_csv([*ours, *found.rows]), encoding="utf-8")
    problems = Problems()
    task = "multiclass" if single else "multilabel"
    values = labels.to_numpy(np.int8)
    source = Source("x", task, CLASSES, list(labels.index), ["train"] * 2, values,
                    lambda _: b"", str)  # fmt: skip
    better, _ = corrected(path, source, problems)
    problems.check()
    for id, said in last_answers(ours).items():
        for name, own in said.items():
            place = labels.index.get_loc(id), CLASSES.index(name)
            assert better.labels[place] == int(own.label)
    return found


def test_an_older_answer_that_differs_is_left_out(tmp_path: Path) -> None:
    ours = [row("a", "cat", 1, 0)]
    for when in (EARLY, LATER):
        found = added(tmp_path, ours, [row("a", "cat", 1, 1, when)], SEVERAL)
        assert found == ([], ["a, cat: is 1 there; ours, 0, stays"])
    # One that agrees stays, whenever it was given.
    theirs = [row("a", "cat", 1, 0, EARLY), row("b", "hen", 0, 1)]
    assert added(tmp_path, ours, theirs, SEVERAL) == (theirs, [])
    again = taken_over([*ours, *theirs], theirs, SEVERAL, False)
    assert again == ([], [])


def test_of_one_label_an_image_is_taken_over_as_a_whole(tmp_path: Path) -> None:
    ours = [row("a", "cat", 1, 0), row("a", "dog", 0, 1)]
    theirs = [row("a", "cat", 1, 0, LATER), row("a", "hen", 0, 1, LATER)]
    found = added(tmp_path, ours, theirs, ONE)
    assert found == ([], ["a: is 'hen' there; ours, 'dog', stays"])
    moved = [row("b", "dog", 1, 0), row("b", "cat", 0, 1)]
    assert added(tmp_path, ours, moved, ONE) == (moved, [])
    same = [each._replace(when=EARLY) for each in ours]
    assert added(tmp_path, ours, same, ONE) == (same, [])
    found = added(tmp_path, ours, moved[1:], ONE)
    assert found == ([], ["b: would be 'cat' and 'dog', where images have one label"])
    found = added(tmp_path, ours, moved[:1], ONE)
    assert found == ([], ["b: would be no class, where images have one label"])


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (row("c", "cat", 1, 0), "c, cat: there is no such image"),
        (row("a", "owl", 1, 0), "a, owl: there is no such class"),
        (row("a", "cat", 1, 0, "yesterday"),
         "a, cat: 'yesterday' is no time as 2026-11-26T18:00:00Z"),
        (row("a", "dog", 1, 0), "a, dog: was 1 there and is 0 here; look at it again"),
    ],
    ids=["image", "class", "time", "was"],
)  # fmt: skip
def test_what_fetch_would_refuse_is_left_out(tmp_path: Path, odd: AnswerRow, said: str) -> None:
    good = row("b", "hen", 0, 1)
    assert added(tmp_path, [], [odd, good], SEVERAL) == ([good], [said])


def test_an_image_without_labels(tmp_path: Path) -> None:
    labels = SEVERAL.astype("Int8")
    labels.loc["b"] = pd.NA
    found = taken_over([], [row("b", "cat", 0, 1)], labels, False)
    assert found == ([], ["b, cat: the image has no labels to correct"])


def test_was_becomes_the_label_of_the_source(tmp_path: Path) -> None:
    """A colleague saw what ours had made of it, or changed an answer of the same file."""
    seen = row("a", "cat", 0, 0, LATER)
    found = added(tmp_path, [row("a", "cat", 1, 0)], [seen], SEVERAL)
    assert found.rows == [row("a", "cat", 1, 0, LATER)]
    found = added(tmp_path, [], [row("a", "cat", 1, 0), row("a", "cat", 0, 1, LATER)], SEVERAL)
    assert found.rows == [row("a", "cat", 1, 1, LATER)]


@st.composite
def answers(draw: st.DrawFn, single: bool, first: str) -> list[AnswerRow]:
    """As a page writes them: in order of time, and of the source's label."""
    labels, found = ONE if single else SEVERAL, []
    current = labels.copy()
    for number in range(draw(st.integers(0, 5))):
        id, name = draw(st.sampled_from(["a", "b"])), draw(st.sampled_from(CLASSES))
        when = f"{first}{number}:00Z"
        if single:
            there = next(each for each in CLASSES if current.loc[id, each] == 1)
            targets = {there: 0, name: 1}
        else:
            targets = {name: draw(st.sampled_from([0, 1, -1]))}
        for each, target in targets.items():
            current.loc[id, each] = target
            found.append(row(id, each, int(labels.loc[id].to_dict()[each]), target, when))
    return found


@given(st.data(), st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_two_say_fetch_accepts_it(
    tmp_path: Path, data: st.DataObject, single: bool
) -> None:
    starts = st.sampled_from(["2026-11-24T18:0", "2026-11-25T18:0"])
    ours, theirs = (data.draw(answers(single, data.draw(starts))) for _ in range(2))
    labels = ONE if single else SEVERAL
    found = added(tmp_path, ours, theirs, labels)
    # Nothing is passed over in silence, and no second time is anything new.
    if theirs and not ours:
        assert last_answers(found.rows) == last_answers(theirs)
    assert taken_over([*ours, *found.rows], theirs, labels, single).rows == []
