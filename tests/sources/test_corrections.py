"""Corrected labels: what holds is applied, all that does not is told, however the table came by."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldwise.core.corrected import CORRECTED_COLUMNS, corrected_counts
from foldwise.core.errors import UserError
from foldwise.sources.corrections import (
    COLUMNS,
    HOW,
    corrected,
    has_answers,
    refuse_unseen,
)
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import UNLABELLED, Source

HEADER = ",".join(COLUMNS)
WHEN = "2026-11-26T18:00:00Z"
CLASSES = ["cat", "dog", "hen"]
LABELS = [[1, 0, -1], [0, 1, 0], [1, 1, 0], [int(UNLABELLED)] * 3]


def source_of(labels: Any = LABELS, task: str = "multilabel", ids: Any = None) -> Source:
    """Images a, b, ... with these labels."""
    array = np.array(labels, np.int8)
    ids = ids or [chr(97 + index) for index in range(len(array))]
    parts = ["train"] * len(array)
    return Source("made up", task, CLASSES, ids, parts, array, lambda _: b"", str)


def applied(folder: Path, content: str | bytes, source: Source) -> tuple[np.ndarray, pd.DataFrame]:
    """Labels and what is told; raises what is wrong."""
    path = folder / "corrections.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    problems = Problems()
    better, told = corrected(path, source, problems)
    problems.check()
    return better.labels, told


def refused(folder: Path, content: str | bytes, source: Source) -> list[str]:
    """The lines that are told, without the file's name, which each begins with."""
    with pytest.raises(UserError) as error:
        applied(folder, content, source)
    start = f"{folder}/corrections.csv: "
    assert all(line.startswith(start) and "\n" not in line for line in error.value.args)
    return [line.removeprefix(start) for line in error.value.args]


def table(*rows: str) -> str:
    return "\n".join([HEADER, *rows, ""])


@st.composite
def answered(draw: st.DrawFn) -> tuple[list[list[int]], list[tuple[int, int, int, int, str]]]:
    """Labels, and answers that hold: each of the source's label or of what an earlier one made."""
    labels = draw(
        st.lists(st.lists(st.sampled_from([0, 1, -1]), min_size=3, max_size=3), min_size=1)
    )
    reached: dict[tuple[int, int], list[int]] = {}
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        image, column = draw(st.integers(0, len(labels) - 1)), draw(st.integers(0, 2))
        before = reached.setdefault((image, column), [labels[image][column]])
        was, becomes = draw(st.sampled_from(before)), draw(st.sampled_from([0, 1, -1]))
        why = draw(
            st.sampled_from([name for name, (_, holds) in HOW.items() if holds(was, becomes)])
        )
        before.append(becomes)
        rows.append((image, column, was, becomes, why))
    return labels, rows


@given(answered(), st.sampled_from(["", ": a, \"b\"; 'c'"]), st.sampled_from(["\n", "\r\n"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_of_each_label_the_last_answer_counts(
    tmp_path: Path, made: tuple[Any, Any], text: str, ending: str
) -> None:
    labels, rows = made
    source = source_of(labels, ids=[f'{place}, "x".png' for place in range(len(labels))])
    said = io.StringIO()
    writer = csv.writer(said, lineterminator=ending)
    writer.writerow(COLUMNS)
    for second, (image, column, was, becomes, why) in enumerate(rows):
        when = f"2026-11-26T18:00:{second:02}Z"
        writer.writerow([source.ids[image], CLASSES[column], was, becomes, when, why + text])
    found, told = applied(tmp_path, said.getvalue(), source)
    wanted, last = np.array(labels, np.int8).reshape(-1, 3), {}
    for image, column, _, becomes, why in rows:
        wanted[image, column] = becomes
        was = labels[image][column]
        last[image, column] = (source.ids[image], CLASSES[column], was, becomes, why)
    assert found.tolist() == wanted.tolist()
    assert [tuple(each) for each in told.to_numpy().tolist()] == [last[at] for at in sorted(last)]
    assert list(told) == CORRECTED_COLUMNS
    counts = corrected_counts(told)
    changed = wanted != np.array(labels).reshape(-1, 3)
    assert counts["labels"] == changed.sum()
    assert counts["images"] == changed.any(1).sum()
    assert counts["unknown"] == (changed & (wanted == -1)).sum()
    assert counts["confirmed"] + counts["unsure"] == len(last) - changed.sum()
    # What the source says stays what it says.
    assert source.labels.tolist() == np.array(labels, np.int8).reshape(-1, 3).tolist()


GOOD = (f"a,cat,1,0,{WHEN},wrong", f"b,cat,0,0,{WHEN},right: seen")
WROTE: dict[str, str | bytes] = {
    "plain": table(*GOOD),
    "a byte order mark": b"\xef\xbb\xbf" + table(*GOOD).encode(),
    "UTF-16": table(*GOOD).encode("utf-16"),
    "CRLF": table(*GOOD).replace("\n", "\r\n"),
    "every cell quoted": table(*GOOD).replace(",", '","').replace("\n", '"\n"').join('""')[:-2],
    "semicolons": table(*GOOD).replace(",", ";"),
    "blanks and empty lines": table(*GOOD).replace(",", " , ") + "\n\n",
    "pandas with a gap": table(*GOOD).replace(",1,0,", ",1.0,0.0,"),
    "columns in another order, and one more": "who,why,when,is,was,class,id\n"
    f"me,wrong,{WHEN},0,1,cat,a\nme,right,{WHEN},0,0,cat,b\n",
    "no line end": table(*GOOD).rstrip("\n"),
}


@pytest.mark.parametrize("content", WROTE.values(), ids=WROTE)
def test_whatever_program_wrote_it(tmp_path: Path, content: str | bytes) -> None:
    found, told = applied(tmp_path, content, source_of())
    assert found[0].tolist() == [0, 0, -1]
    assert np.array_equal(found[1:], source_of().labels[1:])
    assert told["why"].tolist() == ["wrong", "right"]


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_header_alone_changes_nothing(tmp_path: Path, ending: str) -> None:
    found, told = applied(tmp_path, HEADER + ending, source_of())
    assert np.array_equal(found, source_of().labels)
    assert told.empty
    assert not any(corrected_counts(told).values())


NO_TABLE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "has no rows; is it the right file?"),
    "a duplicate header": (table() .replace("why", "was"), "has two columns 'was'; rename one"),
    "a missing column": (table(*GOOD).replace("when", "at"), "has no column 'when' (it has id, "),
    "Latin-1": (table(f"\xe4,cat,1,0,{WHEN},wrong").encode("latin-1"), "row 2: is not UTF-8"),
    "an open quote": (table('a,"cat,1,0,x,wrong'), "row 2: is no readable CSV"),
    "no text": (b"\x89PNG\r\n\x1a\n" + bytes(40), "row 1: is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line"), NO_TABLE.values(), ids=NO_TABLE)
def test_what_is_no_such_table(tmp_path: Path, content: str | bytes, line: str) -> None:
    (said,) = refused(tmp_path, content, source_of())
    assert said.startswith(line)


WRONG = {
    f"x,cat,1,0,{WHEN},wrong": ["no image is called 'x'"],
    f"a,cow,1,0,{WHEN},wrong": ["no class is called 'cow'"],
    f"x,cow,1,0,{WHEN},wrong": ["no image is called 'x'", "no class is called 'cow'"],
    f"a,cat,yes,0,{WHEN},wrong": ["column 'was': 'yes' is not 0, 1 or -1"],
    f"a,cat,1,2,{WHEN},wrong": ["column 'is': '2' is not 0, 1 or -1"],
    f"a,cat,1,,{WHEN},wrong": ["column 'is': '' is not 0, 1 or -1"],
    "a,cat,1,0,2026-11-26 18:00,wrong": ["column 'when': '2026-11-26 18:00' is no time"],
    "a,cat,1,0,2026-13-26T18:00:00Z,wrong": ["column 'when'"],
    f"a,cat,1,0,{WHEN},perhaps": ["column 'why': 'perhaps' does not begin with right, wrong or"],
    f"a,cat,1,0,{WHEN},right": ["says 'right', which changes nothing, but `was` is 1 and `is` 0"],
    f"a,cat,1,1,{WHEN},wrong": ["says 'wrong', which changes the label"],
    f"a,cat,1,0,{WHEN},unsure": ["says 'unsure', which changes nothing or makes it -1"],
    f"a,cat,0,1,{WHEN},wrong": ["class 'cat' of image 'a' was 0 and is 1 in the data; look at it"],
    f"d,cat,0,1,{WHEN},wrong": ["class 'cat' of image 'd' was 0 and has no labels to correct"],
    f"a,cat,1,0,{WHEN}": ["has 5 cells where the header has 6"],
    f"\x1b[31m,cat,1,0,{WHEN},wrong": ["no image is called '\\x1b[31m'"],
}


def test_every_wrong_row_is_told_at_once(tmp_path: Path) -> None:
    """A line each, by the number that an editor gives the row; right rows between are no matter."""
    rows = [row for wrong in WRONG for row in (wrong, f"b,dog,1,1,{WHEN},right")]
    said = refused(tmp_path, table(*rows), source_of())
    wanted = [
        (f"row {2 * number + 2}: ", line) for number, lines in enumerate(WRONG.values())
        for line in lines
    ]  # fmt: skip
    assert len(said) == len(wanted)
    for row, line in wanted:
        (found,) = [each for each in said if each.startswith(row + line)]
        assert ";" in found
    assert not [each for each in said if "\x1b" in each]


def test_of_rows_out_of_order_that_differ_nobody_knows_the_last(tmp_path: Path) -> None:
    late, early = "2026-11-26T18:00:00Z", "2026-11-26T09:00:00Z"
    rows = (f"a,cat,1,0,{late},wrong", f"a,cat,1,1,{early},right")
    (said,) = refused(tmp_path, table(*rows), source_of())
    assert said == (
        "row 3: contradicts row 2, which is above it but of a later time, about class 'cat' of "
        "image 'a'; remove one"
    )
    # In order, of one moment, or of one mind, they do not.
    assert applied(tmp_path, table(*rows[::-1]), source_of())[0][0, 0] == 0
    assert applied(tmp_path, table(*rows).replace(early, late), source_of())[0][0, 0] == 1
    agreeing = (rows[0], rows[0].replace(late, early))
    assert applied(tmp_path, table(*agreeing), source_of())[0][0, 0] == 0


def test_a_label_that_the_source_has_mended_is_looked_at_again(tmp_path: Path) -> None:
    mended = source_of([[0, 0, -1], *LABELS[1:]])
    stale = f"a,cat,1,0,{WHEN},wrong"
    assert "is 0 in the data" in refused(tmp_path, table(stale), mended)[0]
    # Once it was, the answer before it is no matter.
    found, told = applied(tmp_path, table(stale, f"a,cat,0,0,{WHEN},right"), mended)
    assert found[0, 0] == 0
    assert told.iloc[0].tolist() == ["a", "cat", 0, 0, "right"]
    # A corrected label that was confirmed later is still a corrected one.
    _, told = applied(tmp_path, table(stale, f"a,cat,0,0,{WHEN},right"), source_of())
    assert corrected_counts(told)["labels"] == 1
    assert corrected_counts(told)["confirmed"] == 0


SINGLE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
TO_DOG = (f"a,cat,1,0,{WHEN},wrong", f"a,dog,0,1,{WHEN},wrong")


def test_images_of_one_class_keep_one(tmp_path: Path) -> None:
    source = source_of(SINGLE, "multiclass")
    found, _ = applied(tmp_path, table(*TO_DOG, f"b,dog,1,1,{WHEN},right"), source)
    assert found.tolist() == [[0, 1, 0], *SINGLE[1:]]
    back = [f"a,dog,1,0,{WHEN},wrong", f"a,cat,0,1,{WHEN},wrong"]
    assert applied(tmp_path, table(*TO_DOG, *back), source)[0].tolist() == SINGLE
    # A class that an image hardly shows may be unknown, if another is known.
    found, _ = applied(tmp_path, table(f"a,hen,0,-1,{WHEN},unsure"), source)
    assert found[0].tolist() == [1, 0, -1]
    said = refused(
        tmp_path,
        table(TO_DOG[0], f"b,hen,0,1,{WHEN},wrong", f"c,hen,1,-1,{WHEN},unsure"),
        source,
    )
    assert said == [
        "row 2: image 'a' would show no class, where images show one; add the row that makes the "
        "right class 1",
        "row 3: image 'b' would show 'dog' and 'hen', where images show one; add the row that "
        "makes the other 0",
        "row 4: image 'c' would show no class, where images show one; add the row that makes the "
        "right class 1",
    ]
    # Of an image with a row that is wrong itself, nothing follows.
    assert len(refused(tmp_path, table(TO_DOG[0], f"a,dgo,0,1,{WHEN},wrong"), source)) == 1


def test_ids_count_however_accents_and_blanks_are_written(tmp_path: Path) -> None:
    source = source_of(LABELS[:3], ids=["e\u0301/1.png", "\xfc.png", "7"])
    rows = (f"\xe9/1.png,cat,1,0,{WHEN},wrong", f"u\u0308.png,dog,1,0,{WHEN},wrong")
    found, told = applied(tmp_path, table(*rows), source)
    assert found[:2, :2].tolist() == [[0, 0], [0, 0]]
    assert told["id"].tolist() == source.ids[:2]
    assert "no image is called '7.0'" in refused(
        tmp_path, table(f"7.0,cat,1,0,{WHEN},wrong"), source
    )[0]  # fmt: skip


def test_a_file_that_dvc_does_not_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = Path("corrections.csv")
    for folder in ("in", "more/below", "other"):
        (tmp_path / folder).mkdir(parents=True)

    def check(path: str | None) -> None:
        settings = {"source": "folder", "path": "in", "extra_path": "more", "corrections": path}
        refuse_unseen(Data.model_validate(settings), seen)

    check(None)
    for path in ("corrections.csv", "in/a.csv", "more/below/a.csv", f"{tmp_path}/in/b.csv"):
        with pytest.raises(UserError, match=r"\.csv: no such file; drop data\.corrections"):
            check(path)
        (tmp_path / path).write_text(HEADER)
        check(path)
    (tmp_path / "other/a.csv").write_text(HEADER)
    (tmp_path / "out").symlink_to("other")
    for path in ("other/a.csv", "in/../other/a.csv", "out/a.csv", "a.csv", "../a.csv"):
        with pytest.raises(UserError, match=r"is neither corrections\.csv nor in data\.path or"):
            check(path)
    # Behind a link to a file DVC looks.
    (tmp_path / "more/link.csv").symlink_to("../other/a.csv")
    check("more/link.csv")
    with pytest.raises(UserError, match="no such file"):
        check("in")


def test_a_header_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    for content, wanted in ((b"", False), (b"id,class\r\n\r\n", False), (b"id\n1\n", True)):
        path.write_bytes(content)
        assert has_answers(path) is wanted
    path.write_bytes(os.urandom(100) + b"\n\x80\n")
    assert has_answers(path)
