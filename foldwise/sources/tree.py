"""The files of a data set by their names, in folders and archives alike; nothing is unpacked."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foldwise.core.errors import UserError


class Container(Protocol):
    """A folder or an archive."""

    def names(self) -> Iterable[str]:
        """Every file's name, its parts separated by '/'."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises `ValueError` that says why it cannot be read."""

    def label(self, name: str) -> str:
        """How a person finds the file."""


class Folder:
    """A folder on disk, with all that is below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> Iterable[str]:
        return self._below("", frozenset())

    def _below(self, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        path = self.path / folder
        try:
            status = path.stat()
            entries = list(os.scandir(path))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); see to it") from None
        here = (status.st_dev, status.st_ino)
        # A link may lead to a folder beside it, but one that leads back up has no end.
        if here not in above:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    yield from self._below(name, above | {here})
                else:
                    yield name

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            if path.exists() and not path.is_file():
                raise ValueError("is a device or a pipe, not a file")
            return path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from None

    def label(self, name: str) -> str:
        return str(self.path / name)


@dataclass(frozen=True)
class Tree:
    """Files by name, in the order of their names."""

    root: str
    """Where they all lie, for messages."""
    files: dict[str, tuple[Container, str]]
    """Each file's container, and its name in there."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises `ValueError` that says why it cannot be read."""
        container, inner = self.files[name]
        return container.read(inner)

    def require(self, name: str) -> bytes:
        """The content of a file that the data set cannot do without, or `UserError`."""
        if name not in self.files:
            raise UserError(f"{self.root}/{name}: no such file; is data.path what you meant?")
        try:
            return self.read(name)
        except ValueError as error:
            raise UserError(f"{self.label(name)}: {error}; replace it") from None

    def label(self, name: str) -> str:
        """How a person finds the file, whether it exists or not."""
        if name not in self.files:
            return f"{self.root}/{name}"
        container, inner = self.files[name]
        return container.label(inner)

    def below(self, folder: str) -> list[str]:
        """Names of all files in a folder (`""`: in all), at any depth."""
        start = f"{folder.strip('/')}/" if folder.strip("/.") else ""
        return [name for name in self.files if name.startswith(start)]
