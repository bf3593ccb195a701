"""A folder of predictions, a Parquet file per slice, that a second run completes.

`part-000012.parquet` has the rows of slice 12, `bad-000012.parquet` (`image`, `reason`) its images
that cannot be used, if there are any. A part takes its name once it is complete, the bad images
before it: a slice is done if its part is there, and says that it is of the same images. `run.json`
holds what all parts have in common; they are of one ensemble, one listing and one size of slices.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from foldwise.core import files
from foldwise.core.damage import UNREADABLE
from foldwise.core.errors import UserError
from foldwise.deploy.depths import DeepImages
from foldwise.deploy.slices import Done, Slice, Tally
from foldwise.sources.names import printable

RUN = "run.json"
KEY = b"foldwise"
"""Of what a file's metadata says of it."""
BAD = pa.schema([("image", pa.string()), ("reason", pa.string())])


class RunFile(BaseModel):
    """What all parts of a folder have in common."""

    ensemble: str
    """Digest of all that decides the values."""
    listing: str
    """Digest of what was named to be labelled."""
    slice: int
    """Images per slice."""


@dataclass(frozen=True)
class _About:
    """What a file says of itself."""

    ensemble: str
    slice: str
    """Digest of its images' names."""
    images: int
    """Of the slice."""
    bad: int
    deep: dict[str, Any]


class PartsFolder:
    """Writes slices; one process at a time, as a context manager."""

    def __init__(self, folder: Path, run: RunFile) -> None:
        """
        Args:
            folder: to write; it need not be there.
            run: what it must be of.
        """
        self._folder, self._run = folder, run
        self._said = f"{printable(str(folder))}/"
        self.tally = Tally()
        """Of all slices that are done, by this run or before."""
        self._count = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Raises `UserError` if the folder cannot be written to, or is of something else."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UserError(f"{self._said}: cannot be written ({error.strerror})") from None
        with ExitStack() as stack:
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self._said}: another run writes here; wait for its end"
                ) from None
            if not os.access(self._folder, os.W_OK):
                raise UserError(f"{self._said}: may not be written to; name another folder")
            self._check_run()
            for left in self._folder.glob(".*.partial"):
                left.unlink()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._open.close()

    def _check_run(self) -> None:
        path = self._folder / RUN
        if not path.exists():
            # Of a run that was killed at once, its note of itself may be half written.
            if any(each.name != f".{RUN}.partial" for each in self._folder.iterdir()):
                raise UserError(f"{self._said}: holds other things than predictions; name another")
            files.write_json(path, self._run.model_dump())
            return
        try:
            before = RunFile.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(
                f"{self._said}{RUN}: is damaged or none of `apply`; name another folder"
            ) from None
        if before.ensemble != self._run.ensemble:
            raise UserError(f"{self._said}: is of other models or settings; name another folder")
        if before.slice != self._run.slice:
            raise UserError(
                f"{self._said}: has slices of {before.slice} images, not of {self._run.slice}; "
                "give --slice and compute.batch_size as before, or name another folder"
            )
        if before.listing != self._run.listing:
            raise UserError(
                f"{self._said}: is of other images; name the same files and folders as before, or "
                "another folder to write"
            )

    def missing(self, slices: Iterable[Slice]) -> Iterator[Slice]:
        """Those that are still to be run; what is there of all others is counted."""
        for each in slices:
            self._count = each.number + 1
            there = self._done(each)
            if there is None:
                yield each
            else:
                self._add(there)

    def _add(self, about: _About) -> None:
        self.tally.add(about.images - about.bad, about.bad, DeepImages(**about.deep))

    def _done(self, slice: Slice) -> _About | None:
        found = _about(self._part(slice.number), True)
        wanted = self._run.ensemble, slice.digest, len(slice.items)
        if found is None or (found.ensemble, found.slice, found.images) != wanted:
            return None
        if found.bad and _about(self._bad(slice.number), False) != found:
            return None
        return found

    def write(self, done: Done) -> None:
        """Write what a slice gave, in place of what was there of it."""
        bad = len(done.bad)
        about = _About(
            self._run.ensemble, done.digest, len(done.table) + bad, bad, done.deep.as_json()
        )
        if bad:
            rows = [each._asdict() for each in done.bad]
            _write_part(self._bad(done.number), pa.Table.from_pylist(rows, BAD), about)
        else:
            self._bad(done.number).unlink(missing_ok=True)
        _write_part(self._part(done.number), done.table, about)
        self._add(about)

    def finish(self) -> None:
        """Take away what is there of slices behind the last: the listing was longer once."""
        for path in list(self._folder.iterdir()):
            named = re.fullmatch(r"(part|bad)-([0-9]{6,})\.parquet", path.name)
            if named and int(named[2]) >= self._count:
                path.unlink()

    def problems(self) -> list[str]:
        """A line if there are images that cannot be used."""
        if not self.tally.bad:
            return []
        return [
            f"{self._said}: {self.tally.bad} images cannot be used, bad-*.parquet say why; they "
            "are left out (without bad-*.parquet, the same command tries them again)"
        ]

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:06}.parquet"

    def _bad(self, number: int) -> Path:
        return self._folder / f"bad-{number:06}.parquet"


def _write_part(path: Path, table: pa.Table, about: _About) -> None:
    with files.replacing(path) as temporary:
        described = table.replace_schema_metadata({KEY: json.dumps(asdict(about))})
        pq.write_table(described, temporary, write_page_checksum=True)
        # A file of nothing that has its name already would count as done after a power cut.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def _about(path: Path, part: bool) -> _About | None:
    """What a file says of itself; None if it is not there, or not as it was written."""
    with suppress(OSError, *UNREADABLE):
        metadata = pq.read_metadata(path)
        found = _About(**json.loads(metadata.metadata[KEY]))
        if metadata.num_rows == (found.images - found.bad if part else found.bad):
            return found
    return None
