"""corrections.csv: every answer of a reviewer, written before the next question is asked."""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from foldwise.core.errors import UserError
from foldwise.core.files import replacing

HEADER = ["id", "class", "was", "is", "when", "why"]
LABELS = ("1", "0", "-1")
REASONS = ("right", "wrong", "unsure")


class AnswerRow(NamedTuple):
    """What was said of one image and class, as the file's line has it.

    >>> AnswerRow("a.png", "cat", "1", "0", "2026-11-26T18:00:00Z", "wrong: a fox").reason
    'wrong'
    """

    id: str
    class_name: str
    was: str
    """The label of the source: 1, 0 or -1 (unknown)."""
    label: str
    """What it is to be; equal if it is confirmed."""
    when: str
    """ISO 8601, in UTC, with seconds."""
    why: str
    """right, wrong or unsure; free text may follow after a colon."""

    @property
    def reason(self) -> str:
        """`why` without what follows."""
        return self.why.partition(":")[0].strip()


class AnswerFile:
    """The file, which several processes may read and change at once.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = AnswerFile(Path(folder.name) / "corrections.csv")
    >>> row = AnswerRow("a.png", "cat", "1", "0", "2026-11-26T18:00:00Z", "wrong")
    >>> with file.held() as rows:
    ...     rows.append(row)
    >>> file.rows() == [row]
    True
    >>> folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path.with_name(f".{path.name}.lock")
        self._known: tuple[tuple[int, int, int] | None, tuple[AnswerRow, ...]] = (None, ())

    def rows(self) -> list[AnswerRow]:
        """All rows, in the order in which they were given; none where there is no file.

        Raises:
            UserError: it is no such table.
        """
        stamp = self._stamp()
        known, rows = self._known
        if stamp is None or stamp != known:
            rows = tuple(read_answers(self.path)) if stamp else ()
            self._known = stamp, rows
        return list(rows)

    @contextmanager
    def held(self) -> Iterator[list[AnswerRow]]:
        """The rows, to be changed in place while nobody else may; written at the end, at once.

        A row is on the disk when this ends: the whole file is written beside, and takes its place.

        Raises:
            UserError: it is no such table.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One of its own for every call: threads are to wait for each other as processes do.
        with FileLock(self._lock):
            rows = self.rows()
            before = list(rows)
            yield rows
            if rows != before:
                self._write(rows)

    def _write(self, rows: Iterable[AnswerRow]) -> None:
        with (
            replacing(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(as_csv(rows))
            file.flush()
            os.fsync(file.fileno())
        self._known = self._stamp(), tuple(rows)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What differs when somebody has written the file; None where there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def as_csv(rows: Iterable[AnswerRow]) -> str:
    """The whole file's content.

    >>> as_csv([AnswerRow("a,b", "cat", "1", "1", "2026-11-26T18:00:00Z", "right")])
    'id,class,was,is,when,why\\n"a,b",cat,1,1,2026-11-26T18:00:00Z,right\\n'
    """
    lines = [HEADER, *rows]
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(text: str) -> str:
    # Python 3.11's csv leaves a carriage return unquoted, which readers take for a line's end.
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def read_answers(path: Path) -> list[AnswerRow]:
    """All rows of such a file, whoever wrote it.

    Raises:
        UserError: it is missing or no such table: one line that names the first wrong row.
    """
    try:
        # A spreadsheet may have put a mark at its beginning.
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; save it as CSV in UTF-8") from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: is no CSV file: {error}") from None
    if not lines or lines[0] != HEADER:
        raise UserError(f"{path}: its first line must be {','.join(HEADER)}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(HEADER):
            raise UserError(f"{path}: row {number}: has {len(line)} cells, not {len(HEADER)}")
        row = AnswerRow(*line)
        if row.was not in LABELS or row.label not in LABELS:
            raise UserError(f"{path}: row {number}: `was` and `is` must be 1, 0 or -1")
        if row.reason not in REASONS:
            raise UserError(
                f"{path}: row {number}: `why` is '{row.why}'; it must begin with "
                + ", ".join(REASONS)
            )
        rows.append(row)
    return rows


def last_answers(rows: Iterable[AnswerRow]) -> dict[str, dict[str, AnswerRow]]:
    """Of every image and class the row that counts: the last.

    >>> first = AnswerRow("a", "cat", "1", "0", "2026-11-26T18:00:00Z", "wrong")
    >>> last_answers([first, first._replace(label="1", why="right")])["a"]["cat"].why
    'right'
    """
    found: dict[str, dict[str, AnswerRow]] = {}
    for row in rows:
        found.setdefault(row.id, {})[row.class_name] = row
    return found
