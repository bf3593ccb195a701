"""All predictions in one file, CSV or Parquet, written slice by slice."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.deploy.slices import Done, Tally
from foldwise.sources.names import printable

NAMED = 1000
"""Bad images that are named; the rest are counted."""


class TableFile:
    """Writes slices in order, as a context manager; the file is there once all went well.

    Without any row there is none.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UserError` if it cannot be written."""
        self._path = path
        self._open = ExitStack()
        self._file: Any = None
        self._bad: list[str] = []
        self.tally = Tally()
        name = printable(str(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{name}: cannot be written ({error.strerror})") from None
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"{name}: its folder may not be written to; name another file")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def write(self, done: Done) -> None:
        """Write the next slice."""
        self.tally.add(len(done.table), len(done.bad), done.deep)
        for each in done.bad[: NAMED - len(self._bad)]:
            self._bad.append(f"{printable(each.image)}: {each.reason}; it is left out")
        if not len(done.table):
            return
        first = self._file is None
        parquet = self._path.suffix.lower() == ".parquet"
        if first:
            self._file = self._opened(done, parquet)
        if parquet:
            self._file.write_table(done.table)
        else:
            table = done.table.to_pandas()
            table.to_csv(self._file, header=first, index=False, lineterminator="\n")

    def _opened(self, done: Done, parquet: bool) -> Any:
        temporary = self._open.enter_context(files.replacing(self._path))
        if parquet:
            writer = pq.ParquetWriter(temporary, done.table.schema, write_page_checksum=True)
            return self._open.enter_context(writer)
        return self._open.enter_context(temporary.open("w", encoding="utf-8", newline=""))

    def problems(self) -> list[str]:
        """A line for each image that cannot be used, or as many as anybody reads."""
        more = self.tally.bad - len(self._bad)
        said = f"{printable(str(self._path))}: {more} more images cannot be used; "
        return self._bad + ([f"{said}with --out folder/ all are listed there"] if more else [])
