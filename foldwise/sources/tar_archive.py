"""Tar files, read in place."""

import bz2
import errno
import gzip
import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from foldwise.core.errors import UserError
from foldwise.sources.archive_checks import (
    Clipped,
    check_member_size,
    check_unpacked_size,
    checked_name,
    member_label,
)
from foldwise.sources.problems import Problems

DECOMPRESS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
COPIED = 2**20


def tar_members(index: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file in its order, of which none is kept.

    Raises:
        tarfile.ReadError: one leads back to where the index has been; and as `tarfile` itself.
    """
    before = -1
    while member := index.next():
        # Negative sizes lead back for ever.
        if member.size < 0 or index.offset <= before:
            raise tarfile.ReadError("goes in circles")
        before = index.offset
        # Else it keeps them all.
        index.members.clear()  # type: ignore[attr-defined]  # left out of its stubs
        yield member


class Tar:
    """A tar file; a compressed one is decompressed into a temporary file without a name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _decompressed(path)
        self._members: dict[str, tuple[int, int]] = {}
        problems = Problems()
        with tarfile.open(fileobj=self._file, mode="r:") as index:
            for member in tar_members(index):
                if not member.isdir():
                    self._add(member, problems)
            self._file.seek(min(index.offset, self._file.size))
            if self._file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                problems.add(str(path), "has no end mark, so it is cut off; get it anew")
        problems.check()

    def _add(self, member: tarfile.TarInfo, problems: Problems) -> None:
        name = checked_name(problems, self.path, member.name, self._members)
        label = self.label(name)
        if not member.isfile() or member.issparse():
            problems.add(label, "is a link, a device or sparse; pack the file itself")
        check_member_size(problems, label, member.size)
        self._members[name] = member.offset_data, member.size

    def names(self) -> Iterable[str]:
        return self._members

    def read(self, name: str) -> bytes:
        start, size = self._members[name]
        if start + size > self._file.size:
            raise ValueError("is cut off; get the archive anew")
        # Unlike `seek` and `read`, safe in several threads at once.
        return os.pread(self._file.fileno(), size, start)

    def label(self, name: str) -> str:
        return member_label(self.path, name)


def _decompressed(path: Path) -> Clipped:
    opener = DECOMPRESS.get(path.suffix.lower())
    if opener is None:
        return Clipped(path)
    problems = Problems()
    with opener(path) as compressed, _scratch(path) as file:
        while part := compressed.read(COPIED):
            file.write(part)
            check_unpacked_size(problems, path, file.tell())
            problems.check()
        file.flush()
        # The file lives as long as a descriptor of it.
        return Clipped(os.dup(file.fileno()))


def _scratch(path: Path) -> IO[bytes]:
    """A file without a name, beside the data: the system's folder for such may be small."""
    try:
        return tempfile.TemporaryFile(dir=".")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(
            f"{Path.cwd()}: cannot be written ({error.strerror}), and {path} is unpacked here; "
            "see to it, or unpack it yourself"
        ) from None
