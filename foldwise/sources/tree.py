"""The files of a data set by their names, in folders and archives alike; nothing is unpacked."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foldwise.core.errors import UserError
from foldwise.sources.archive_checks import LARGEST, too_large
from foldwise.sources.names import printable
from foldwise.sources.problems import Problems

# What operating systems leave in folders and archives.
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


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
        """Every file's name. Raises `UserError` that names each link to a folder.

        DVC hashes what `path` itself and links to files lead to, but nothing behind links to
        folders below it: whatever changed there, `fetch` would not run again.
        """
        problems = Problems()
        names = list(self._below("", problems))
        problems.check()
        return names

    def _below(self, folder: str, problems: Problems) -> Iterator[str]:
        path = self.path / folder
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            problems.add(str(path), f"cannot be read ({error.strerror}); see to it")
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if is_litter(entry.name):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as error:
                # A link to itself, for one.
                problems.add(f"{self.path / name}", f"cannot be read ({error.strerror}); see to it")
                continue
            if is_folder and entry.is_symlink():
                problems.add(
                    f"{self.path / name}",
                    "is a link to a folder, and DVC looks at nothing behind it, so that changed "
                    "images would not count; set data.path to the folder itself, or put one in "
                    "the link's place by `cp -al` or a bind mount",
                )
            elif is_folder:
                yield from self._below(name, problems)
            else:
                yield name

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            if path.exists() and not path.is_file():
                raise ValueError("is a device or a pipe, not a file")
            size = path.stat().st_size
            if size > LARGEST:
                raise ValueError(too_large(size))
            with path.open("rb") as file:
                return file.read(size)
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
            raise UserError(f"{self.label(name)}: no such file; is data.path what you meant?")
        try:
            return self.read(name)
        except ValueError as error:
            raise UserError(f"{self.label(name)}: {error}; replace it") from None

    def label(self, name: str) -> str:
        """How a person finds the file, whether it exists or not."""
        if name not in self.files:
            return printable(f"{self.root}/{name}")
        container, inner = self.files[name]
        return printable(container.label(inner))

    def below(self, folder: str) -> list[str]:
        """Names of all files in a folder (`""`: in all), at any depth."""
        start = f"{folder.strip('/')}/" if folder.strip("/.") else ""
        return [name for name in self.files if name.startswith(start)]


def is_litter(name: str) -> bool:
    """Whether a file, or a folder above it, is hidden or left by an operating system."""
    return any(part.startswith(".") or part in LITTER for part in name.split("/"))
