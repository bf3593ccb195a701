"""Tables that people wrote: CSV, Parquet, JSON lines; every cell a string, nothing guessed."""

import codecs
import csv
import io
import json
from collections import Counter

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foldwise.core.errors import UserError
from foldwise.sources.names import has_controls, normal, printable
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16's, with which it begins.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BLANKS = " \t\r\n"
DELIMITERS = (",", ";", "\t")
SNIFFED = 2**20
"""Characters of a table that its delimiter is guessed from."""


class EncodingError(UserError):
    """A text is not in UTF-8, or not in what it is said to be in."""


class HeaderError(UserError):
    """The first row of a CSV file does not name the columns: a title, say."""


def read_table(
    tree: Tree,
    name: str,
    problems: Problems,
    may_be_empty: bool = False,
    encoding: str | None = None,
) -> pd.DataFrame:
    """A table of strings; its index holds what to call each row: "row 2", as an editor counts.

    CSV is UTF-8, or UTF-16 that says so, or of the code page `encoding`, with whichever of commas,
    semicolons and tabs divides it; the first row names the columns, and blanks around cells do not
    count, nor do rows and unnamed columns that hold nothing else. JSON lines (.jsonl) are an object
    each, whose lists of texts become cells with `;` between.

    Raises `UserError` for a file that is missing or no such table, or a header that no column may
    have (`HeaderError` where the first row seems to be none), or one without rows, unless it
    `may_be_empty`; notes ragged rows in `problems` and leaves them out.
    """
    content = tree.require(name)
    label = tree.label(name)
    if name.endswith(".parquet"):
        table = _parquet(content, label)
    elif name.endswith(".jsonl"):
        table = _json_lines(decoded(content, label, encoding), label, problems)
    else:
        text = decoded(content, label, encoding)
        table = _csv(text, label, "\t" if name.endswith(".tsv") else ",", problems)
    # Others, such as the narrow one of macOS's clock, are part of the names of files.
    table = table.map(lambda cell: cell.strip(BLANKS))
    table.columns = pd.Index([normal(name.strip()) for name in table.columns])
    # Spreadsheets write every row and column that was ever touched.
    filled = table != ""
    table = table.loc[filled.any(axis=1), (table.columns != "") | filled.any().to_numpy()]
    for column in table.columns[[has_controls(name) for name in table.columns]]:
        raise UserError(
            f"{label}: header '{printable(column)}' holds control characters; write it anew"
        )
    if (table.columns == "").sum() > 1:
        raise HeaderError(_no_header(label, "leaves columns without a name that hold something"))
    if table.columns.duplicated().any():
        column = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{label}: has two columns '{column}'; rename one")
    if table.empty and not (may_be_empty and len(table.columns)):
        problems.check()
        raise UserError(f"{label}: has no rows; is it the right file?")
    return table


def decoded(content: bytes, label: str, encoding: str | None = None) -> str:
    """The text of a file in UTF-8, or in what its byte order mark or else `encoding` says.

    Raises:
        EncodingError: it is not.
    """
    marked = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    try:
        return content.decode(marked or encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if encoding is not None and marked is None:
            raise EncodingError(f"{label}: row {line}: is not {encoding}; name another") from None
        raise EncodingError(f"{label}: row {line}: is not UTF-8; save it as UTF-8") from None


def _csv(text: str, label: str, usual: str, problems: Problems) -> pd.DataFrame:
    delimiter = _delimiter(text, usual)
    # Blanks in front of a quote would make the quote one of the cell's characters.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    rows, numbers = [], []
    widths: Counter[int] = Counter()
    try:
        header = next(reader, [])
        for row in reader:
            widths[len(row)] += 1
            if len(row) == len(header):
                rows.append(row)
                numbers.append(f"row {reader.line_num}")
            elif row:
                problems.add(
                    f"{label}: row {reader.line_num}",
                    f"has {len(row)} cells where the header has {len(header)}; mend it",
                )
    except csv.Error as error:
        raise UserError(
            f"{label}: row {reader.line_num}: is no readable CSV ({error}); mend it"
        ) from None
    # A blank line has no cell.
    widths.pop(0, None)
    usual_width, count = max(widths.items(), key=lambda each: each[1], default=(len(header), 0))
    if usual_width != len(header) and 2 * count > widths.total() > 1:
        cells = "1 cell" if len(header) == 1 else f"{len(header)} cells"
        has = f"has {cells} where most rows have {usual_width}"
        raise HeaderError(_no_header(label, has))
    return pd.DataFrame(rows, columns=header, index=numbers, dtype=str)


def _no_header(label: str, what: str) -> str:
    return (
        f"{label}: row 1: {what}; the first row must name the columns, so name them all, and "
        "delete a title above them"
    )


def _delimiter(text: str, usual: str) -> str:
    """What divides a table: the usual, or the only other that divides its first rows alike."""
    lines = text[:SNIFFED].splitlines()[: -1 if len(text) > SNIFFED else None]
    cells = {}
    for sign in dict.fromkeys((usual, *DELIMITERS)):
        try:
            rows = list(csv.reader(lines, delimiter=sign, skipinitialspace=True))
        except csv.Error:
            continue
        cells[sign] = [len(row) for row in rows if row] or [0]
    divides = [sign for sign, counts in cells.items() if counts[0] > 1]
    alike = [sign for sign in divides if len(set(cells[sign])) == 1]
    for found in (alike, divides):
        if usual in found or len(found) == 1:
            return usual if usual in found else found[0]
    return usual


def _parquet(content: bytes, label: str) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        names = file.schema_arrow.names
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{label}: has two columns '{name}'; rename one")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise UserError(f"{label}: is no readable Parquet file; write it anew") from None
    columns = {name: _strings(table[name], f"{label}: column '{name}'") for name in names}
    return pd.DataFrame(columns, index=[f"row {row}" for row in range(1, table.num_rows + 1)])


def _json_lines(text: str, label: str, problems: Problems) -> pd.DataFrame:
    rows, numbers = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{label}: row {number}: is no readable JSON ({error})") from None
        cells = {key: _json_cell(each) for key, each in entry.items()} if _is_object(entry) else {}
        if not cells or None in cells.values():
            problems.add(
                f"{label}: row {number}",
                "is not an object of texts, numbers and lists of texts without `;`; correct it",
            )
            continue
        rows.append(cells)
        numbers.append(f"row {number}")
    return pd.DataFrame(rows, index=numbers).fillna("")


def _is_object(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(key, str) for key in entry)


def _json_cell(value: object) -> str | None:
    """A cell's text; None for what none can be made of."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        return str(int(value)) if isinstance(value, bool) else str(value)
    if isinstance(value, list):
        texts = [_json_cell(each) if not isinstance(each, list) else None for each in value]
        if all(text is not None and ";" not in text for text in texts):
            return ";".join(text or "" for text in texts)
    return None


def _strings(column: pa.ChunkedArray, label: str) -> list[str]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_floating(column.type):
        # 1.0 becomes "1".
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(pa.string()).fill_null("").to_pylist()
    except pa.ArrowException:
        raise UserError(f"{label}: holds {column.type}, not text or numbers; convert it") from None
    except UnicodeDecodeError:
        raise UserError(f"{label}: holds text that is not UTF-8; write it anew") from None


def require_columns(table: pd.DataFrame, label: str, columns: list[str], key: str) -> None:
    """Raise `UserError` for columns that a table lacks; `key` is the setting that names them."""
    lacking = [each for each in columns if each not in table.columns]
    if lacking:
        known = ", ".join(table.columns[:20])
        raise UserError(
            *(
                printable(f"{label}: has no column '{each}' (it has {known}); see {key}")
                for each in lacking
            )
        )
