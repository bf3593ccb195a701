"""Files that hold many images: tar shards, and Parquet files of paths or of bytes."""

import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from foldwise.core.errors import UserError
from foldwise.deploy.folders import has_image_suffix, is_hidden
from foldwise.deploy.items import Item
from foldwise.deploy.stores import is_address, open_bytes
from foldwise.sources.archive_checks import DAMAGED
from foldwise.sources.names import printable
from foldwise.sources.tar_archive import tar_members

BUFFER = 1 << 20
"""Bytes that are read of a Parquet file at a time, whatever the size of its row groups."""
ROWS = 16
"""Images that are read of a Parquet file at a time."""


@contextmanager
def _refusing(source: str) -> Iterator[None]:
    """One line for a file that is missing or makes no sense: it is more than one bad image."""
    name = printable(source)
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from None
    except DAMAGED as error:
        raise UserError(f"{name}: is damaged ({error}); get it anew, or leave it out") from None
    except Exception as error:
        # Packages of stores raise anything at all.
        if not is_address(source):
            raise
        raise UserError(f"{name}: cannot be read ({error}); run again to go on") from None


def tar_items(source: str) -> Iterator[Item]:
    """The images of a tar file, by their suffixes, in its order; it is not unpacked.

    Raises:
        UserError: it is missing, compressed, cut off, or no tar file.
    """
    with (
        _refusing(source),
        open_bytes(source) as file,
        tarfile.open(fileobj=file, mode="r:") as index,
    ):
        for member in tar_members(index):
            hidden = any(is_hidden(part) for part in member.name.split("/") if part != ".")
            plain = member.isreg() and not member.issparse()
            if plain and not hidden and has_image_suffix(member.name):
                name = f"{source}/{member.name.removeprefix('./')}"
                yield Item(name, source, start=member.offset_data, size=member.size)


class _Columns(NamedTuple):
    """What is read of a Parquet file; `image.bytes` is a field of a column that is a struct."""

    bytes: str | None
    path: str | None


def _columns(schema: Any, source: str) -> _Columns:
    kinds = {}
    for field in schema:
        inner = field.type if pa.types.is_struct(field.type) else []
        kinds[field.name] = field.type
        kinds |= {f"{field.name}.{each.name}": each.type for each in inner}
    binary = [name for name, kind in kinds.items() if _is_one_of(kind, "binary")]
    texts = [name for name, kind in kinds.items() if _is_one_of(kind, "string")]
    held = next((name for name in ("bytes", "image", "image.bytes") if name in binary), None)
    path = next((name for name in ("path", "image.path", "image") if name in texts), None)
    if held is None and path is None:
        raise UserError(
            f"{printable(source)}: has no column `bytes` or `image` of images and none `path` of "
            f"paths; it has {', '.join(map(printable, schema.names))}"
        )
    return _Columns(held, path)


def _is_one_of(kind: Any, what: str) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(inner).removeprefix("large_").removesuffix("_view") == what


def parquet_items(source: str) -> Iterator[Item]:
    """The images whose bytes, or whose paths, a Parquet file has in its rows.

    Raises:
        UserError: it is missing, damaged, or has no such column.
    """
    with _refusing(source), open_bytes(source) as file:
        table = pq.ParquetFile(file, buffer_size=BUFFER)
        columns = _columns(table.schema_arrow, source)
        names: Iterator[str | None] = repeat(None, table.metadata.num_rows)
        if columns.path is not None:
            names = _values(table.iter_batches(columns=[columns.path]), columns.path)
        for row, name in enumerate(names):
            label = name or f"{source}#{row}"
            if columns.bytes is None:
                yield Item(label, name or "")
            else:
                yield Item(label, source, row=row)


def _values(batches: Iterator[Any], column: str) -> Iterator[Any]:
    for batch in batches:
        found = batch.column(0)
        yield from (found.field(0) if "." in column else found).to_pylist()


class ParquetRows:
    """Bytes of rows, read forwards: of rows in order, none is read twice."""

    def __init__(self) -> None:
        self._source = ""
        self._file = ExitStack()
        self._ends: list[int] = []
        """Of every row group."""
        self._group, self._next = -1, 0
        self._values: Iterator[bytes | None] = iter(())

    def read(self, source: str, row: int) -> bytes | None:
        """One row's bytes, None where it has none.

        Raises:
            UserError: the file is missing, damaged, or has changed.
        """
        with _refusing(source):
            if source != self._source:
                self._open(source)
            if row >= self._ends[-1]:
                raise UserError(f"{printable(source)}: has fewer rows than before; run again")
            group = bisect_right(self._ends, row)
            if group != self._group or row < self._next:
                column = self._column
                batches = self._table.iter_batches(ROWS, row_groups=[group], columns=[column])
                self._values = _values(batches, column)
                self._group, self._next = group, self._ends[group - 1] if group else 0
            for _ in range(self._next, row):
                next(self._values)
            self._next = row + 1
            return next(self._values)

    def _open(self, source: str) -> None:
        self._source = ""
        self._file.close()
        file = self._file.enter_context(open_bytes(source))
        self._table = pq.ParquetFile(file, buffer_size=BUFFER)
        about = self._table.metadata
        groups = range(about.num_row_groups)
        self._ends = list(accumulate(about.row_group(each).num_rows for each in groups)) or [0]
        column = _columns(self._table.schema_arrow, source).bytes
        if column is None:
            raise UserError(f"{printable(source)}: has no images any more; run again")
        self._column = column
        self._group, self._source = -1, source
