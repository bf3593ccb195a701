"""Files and folders that travel to a node, each named by the hash of what it holds."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foldwise.core.damage import file_sum, recorded_sums, run_by_dvc
from foldwise.core.errors import UserError

PIECE = 8 * 2**20
"""Bytes that travel at once: the smallest object store takes several."""


@dataclass(frozen=True)
class Content:
    """A file or a folder of the project."""

    path: str
    """From the project's root, with slashes."""
    key: str
    """Names what it holds: two of one key hold the same."""
    files: tuple[tuple[str, int], ...]
    """Relative path and size in bytes of every file; of a file itself, its path is ''."""

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, size in self.files)


def _files(path: Path) -> tuple[tuple[str, int], ...]:
    if path.is_file():
        return (("", path.stat().st_size),)
    found = (each for each in path.rglob("*") if each.is_file())
    listed = ((each.relative_to(path).as_posix(), each.stat().st_size) for each in found)
    return tuple(sorted(listed))


def _content_digest(path: Path, files: Iterable[tuple[str, int]]) -> str:
    digest = hashlib.sha256()
    for name, _ in files:
        digest.update(f"{name}\0{file_sum(path / name)}\n".encode())
    return digest.hexdigest()


def contents(paths: Iterable[str]) -> list[Content]:
    """What travels of the project that lies here.

    While DVC runs a stage, dvc.lock has the hash of all that stages before it put out, and has just
    been compared with it; anything else is read once, for a hash of our own.

    Args:
        paths: from the project's root, with slashes.

    Raises:
        UserError: one is not there.
    """
    known = recorded_sums() if run_by_dvc() else {}
    made = []
    for name in paths:
        path = Path(name)
        if not path.exists():
            raise UserError(f"{name}: is not there; run `dvc repro`")
        files = _files(path)
        _, recorded = known.get(name, ("", ""))
        key = f"md5-{recorded}" if recorded else f"sha256-{_content_digest(path, files)}"
        made.append(Content(name, key, files))
    return made


def read_piece(path: Path, offset: int) -> bytes:
    """Up to `PIECE` bytes of a file; fewer at its end."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE)


def put_piece(path: Path, offset: int, data: bytes) -> None:
    """Write a piece where it belongs; the first makes the file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if offset == 0 else 0)
    with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        file.seek(offset)
        file.write(data)
