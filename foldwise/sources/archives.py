"""Zip and tar files read in place, once it is sure that nothing in them is up to mischief."""

import bz2
import errno
import gzip
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from foldwise.core.errors import UserError
from foldwise.sources.problems import Problems

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DECOMPRESS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error)

# Images hardly compress; what unpacks to far more than itself was made to fill a disk.
MAX_RATIO = 200
SMALL = 100 * 2**20
"""Bytes that may be unpacked whatever the ratio: plain drawings compress well."""
COPIED = 2**20


def is_archive(name: str) -> str:
    """The name without an archive's suffix, or nothing if it has none."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return ""


def open_archive(path: Path) -> "Zip | Tar":
    """Open an archive to read from.

    Raises `UserError` with everything unsafe in it: absolute or `..` paths, links, devices,
    encrypted or repeated files, and contents out of proportion to its size.
    """
    try:
        return Zip(path) if path.name.lower().endswith(".zip") else Tar(path)
    except OSError as error:
        # bz2 and gzip raise it too, without a number, for what they cannot decompress.
        if error.errno == errno.ENOSPC:
            raise
        reason = error.strerror or "is damaged"
    except DAMAGED:
        reason = "is damaged, or is no such archive"
    raise UserError(f"{path}: {reason}; get it anew")


def _check_name(problems: Problems, label: str, name: str, taken: Iterable[str]) -> None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        problems.add(label, "has an absolute or a Windows path; pack it anew from its folder")
    elif ".." in parts:
        problems.add(label, "leads out of the archive ('..'); pack it anew from its folder")
    elif name in taken:
        problems.add(label, "is in the archive twice; remove one")


def _check_size(problems: Problems, path: Path, unpacked: int) -> None:
    if unpacked > SMALL and unpacked > MAX_RATIO * path.stat().st_size:
        problems.add(
            str(path),
            f"would unpack to {unpacked / 2**30:.1f} GiB, over {MAX_RATIO} times its size, as "
            "archives made to fill a disk do; unpack it yourself if you trust it",
        )


class Zip:
    """A zip file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        problems = Problems()
        for member in self._file.infolist():
            if member.is_dir():
                continue
            label = self.label(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check_name(problems, label, member.filename, self._members)
            if kind not in (0, stat.S_IFREG):
                problems.add(label, "is a link or a device; pack the file itself")
            if member.flag_bits & 1:
                problems.add(label, "is encrypted; unpack it and pack it without a password")
            self._members[member.filename] = member
        _check_size(problems, path, sum(each.file_size for each in self._members.values()))
        problems.check()

    def names(self) -> Iterable[str]:
        return self._members

    def read(self, name: str) -> bytes:
        try:
            return self._file.read(self._members[name])
        except (*DAMAGED, NotImplementedError, OSError) as error:
            raise ValueError(f"cannot be unpacked ({error})") from None

    def label(self, name: str) -> str:
        return f"{self.path}: {name}" if name else str(self.path)


class Tar:
    """A tar file; a compressed one is decompressed into a temporary file without a name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _decompressed(path)
        self._members: dict[str, tuple[int, int]] = {}
        problems = Problems()
        with tarfile.open(fileobj=self._file, mode="r:") as index:
            for member in index:
                name = member.name.removeprefix("./")
                label = self.label(name)
                if member.isdir():
                    continue
                _check_name(problems, label, name, self._members)
                if not member.isfile() or member.issparse():
                    problems.add(label, "is a link, a device or sparse; pack the file itself")
                self._members[name] = member.offset_data, member.size
            self._file.seek(index.offset)
            if self._file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                problems.add(str(path), "has no end mark, so it is cut off; get it anew")
        problems.check()

    def names(self) -> Iterable[str]:
        return self._members

    def read(self, name: str) -> bytes:
        start, size = self._members[name]
        # Unlike `seek` and `read`, safe in several threads at once.
        data = os.pread(self._file.fileno(), size, start)
        if len(data) < size:
            raise ValueError("is cut off; get the archive anew")
        return data

    def label(self, name: str) -> str:
        return f"{self.path}: {name}" if name else str(self.path)


def _decompressed(path: Path) -> IO[bytes]:
    opener = DECOMPRESS.get(path.suffix.lower())
    if opener is None:
        return path.open("rb")
    problems = Problems()
    # Beside the data, not in the system's temporary folder, which may be small.
    file = tempfile.TemporaryFile(dir=".")  # noqa: SIM115  (it lives as long as the archive)
    with opener(path) as compressed:
        while part := compressed.read(COPIED):
            file.write(part)
            _check_size(problems, path, file.tell())
            problems.check()
    file.flush()
    file.seek(0)
    return file
