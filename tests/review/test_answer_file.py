"""corrections.csv: whatever is written is read again, and nobody's answer is lost."""

import csv
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.core.errors import UserError
from foldwise.review.answer_file import (
    HEADER,
    AnswerFile,
    AnswerRow,
    as_csv,
    last_answers,
    read_answers,
)
from tests.conftest import ROOT

WHEN = "2026-11-26T18:00:00Z"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
labels = st.sampled_from(["1", "0", "-1"])
reasons = st.sampled_from(["right", 'wrong: a "fox"\nhere', "unsure"])
rows = st.lists(st.builds(AnswerRow, texts, texts, labels, labels, st.just(WHEN), reasons))


@settings(max_examples=60, deadline=None)
@given(rows)
def test_rows_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[AnswerRow]
) -> None:
    path = tmp_path_factory.mktemp("answers") / "corrections.csv"
    file = AnswerFile(path)
    with file.held() as held:
        held += rows
    assert read_answers(path) == rows if rows else not path.exists()
    assert AnswerFile(path).rows() == rows


def test_another_program_reads_it_too(tmp_path: Path) -> None:
    row = AnswerRow("a,b.png", 'dog "or" wolf', "1", "0", WHEN, "wrong: a fox")
    path = tmp_path / "corrections.csv"
    path.write_text(as_csv([row]), encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [HEADER, list(row)]


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    row = AnswerRow("a", "cat", "1", "0", WHEN, "wrong")
    path.write_bytes(b"\xef\xbb\xbf" + as_csv([row]).replace("\n", "\r\n").encode())
    assert read_answers(path) == [row]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,class\n", "its first line must be id,class,was,is,when,why"),
        (b"", "its first line must be"),
        (b"id,class,was,is,when,why\na,b,1,0\n", "row 2: has 4 cells, not 6"),
        (b"id,class,was,is,when,why\na,b,1,2,x,right\n", "row 2: `was` and `is` must be 1, 0 or"),
        (b"id,class,was,is,when,why\na,b,1,0,x,right\na,b,1,0,x,no\n", "row 3: `why` is 'no'"),
        (b"id,class,was,is,when,why\n\xff\n", "is not UTF-8"),
        (b'id,class,was,is,when,why\n"a,b\n', "is no CSV file"),
    ],
)
def test_what_is_no_such_table_is_left_alone(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)), AnswerFile(path).held() as held:
        held.clear()
    assert path.read_bytes() == content


def test_a_change_from_outside_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    first, second = AnswerFile(path), AnswerFile(path)
    row = AnswerRow("a", "cat", "1", "0", WHEN, "wrong")
    with first.held() as held:
        held.append(row)
    with second.held() as held:
        held.append(row._replace(id="b"))
    assert [each.id for each in first.rows()] == ["a", "b"]


APPEND = """
import sys
from pathlib import Path
from foldwise.review.answer_file import AnswerFile, AnswerRow
for number in range(40):
    # Its own each time, as of a server that has just been started.
    with AnswerFile(Path(sys.argv[1])).held() as rows:
        rows.append(AnswerRow(sys.argv[2], str(number), "1", "1", "2026-11-26T18:00:00Z", "right"))
"""


def test_processes_and_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    started = [
        subprocess.Popen([sys.executable, "-c", APPEND, path, str(each)], cwd=ROOT)
        for each in range(3)
    ]
    file = AnswerFile(path)
    torn: list[AnswerRow] = []

    def answer(name: str) -> None:
        for number in range(40):
            with file.held() as held:
                held.append(AnswerRow(name, str(number), "1", "1", WHEN, "right"))
            # Who reads without the lock never sees half a file.
            if name == "a":
                torn.extend(each for each in read_answers(path) if each.why != "right")

    threads = [threading.Thread(target=answer, args=(name,)) for name in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.wait() for each in started] == [0, 0, 0]
    found = read_answers(path)
    assert len(found) == 5 * 40
    for name in ("0", "1", "2", "a", "b"):
        assert [each.class_name for each in found if each.id == name] == list(map(str, range(40)))
    assert torn == []
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*.partial"))


@settings(max_examples=60, deadline=None)
@given(rows)
def test_of_several_rows_the_last_counts(rows: list[AnswerRow]) -> None:
    found = last_answers(rows)
    for id, own in found.items():
        for name, row in own.items():
            same = [each for each in rows if (each.id, each.class_name) == (id, name)]
            assert row == same[-1]
    assert {(id, name) for id, own in found.items() for name in own} == {
        (each.id, each.class_name) for each in rows
    }
