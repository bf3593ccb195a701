"""Tables that people wrote: CSV and Parquet, every cell a string, nothing guessed."""

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foldwise.core.errors import UserError
from foldwise.sources.names import normal
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree


def read_table(tree: Tree, name: str, problems: Problems) -> pd.DataFrame:
    """A table of strings; its index holds what to call each row: "row 2", as an editor counts.

    CSV is UTF-8 with commas, or tabs in a `.tsv` file; the first row names the columns.

    Raises `UserError` for a file that is missing or no such table; notes ragged rows in `problems`
    and leaves them out.
    """
    content = tree.require(name)
    label = tree.label(name)
    if name.endswith(".parquet"):
        table = _parquet(content, label)
    else:
        table = _csv(content, label, "\t" if name.endswith(".tsv") else ",", problems)
    table.columns = pd.Index([normal(name.strip()) for name in table.columns])
    if table.columns.duplicated().any():
        column = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{label}: has two columns '{column}'; rename one")
    if table.empty:
        problems.check()
        raise UserError(f"{label}: has no rows; is it the right file?")
    return table


def _csv(content: bytes, label: str, delimiter: str, problems: Problems) -> pd.DataFrame:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{label}: row {line}: is not UTF-8; save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, numbers = [], []
    try:
        header = next(reader, [])
        for row in reader:
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
    return pd.DataFrame(rows, columns=header, index=numbers, dtype=str)


def _parquet(content: bytes, label: str) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        names = file.schema_arrow.names
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{label}: has two columns '{name}'; rename one")
        table = file.read()
    except (pa.ArrowInvalid, OSError):
        raise UserError(f"{label}: is no readable Parquet file; write it anew") from None
    columns = {name: _strings(table[name], f"{label}: column '{name}'") for name in names}
    return pd.DataFrame(columns, index=[f"row {row}" for row in range(1, table.num_rows + 1)])


def _strings(column: pa.ChunkedArray, label: str) -> list[str]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_floating(column.type):
        # 1.0 becomes "1".
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        strings = column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise UserError(f"{label}: holds {column.type}, not text or numbers; convert it") from None
    return strings.fill_null("").to_pylist()


def require_columns(table: pd.DataFrame, label: str, columns: list[str], key: str) -> None:
    """Raise `UserError` for columns that a table lacks; `key` is the setting that names them."""
    lacking = [each for each in columns if each not in table.columns]
    if lacking:
        known = ", ".join(table.columns[:20])
        raise UserError(
            *(f"{label}: has no column '{each}' (it has {known}); see {key}" for each in lacking)
        )
