"""The files of a data set by their names, in folders and archives alike; nothing is unpacked."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stages.errors import UserError
from stages.sources.archives import SUFFIXES, is_archive, open_archive

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
        seen: set[tuple[int, int]] = set()
        for folder, below, names in os.walk(self.path, followlinks=True):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                # A link that leads back up.
                below.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            start = Path(folder).relative_to(self.path)
            yield from ((start / name).as_posix() for name in names)

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
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


def open_tree(paths: list[Path]) -> Tree:
    """Everything in some folders, archives and single files, put together.

    An archive stands for a folder of its name without the suffix, as if it were unpacked there; a
    folder of that name beside it comes first. One that is a path of its own stands for that path.

    Raises `UserError` if a path does not exist, an archive is unsafe, or two files of the same name
    differ.
    """
    files: dict[str, tuple[Container, str]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; set data.path to where the data is")
        if path.is_dir():
            _add_folder(files, path)
        elif is_archive(path.name):
            _add(files, open_archive(path), "")
        elif len(paths) > 1:
            _add_one(files, path.name, Folder(path.parent), path.name)
        else:
            known = ", ".join(SUFFIXES)
            raise UserError(f"{path}: is neither a folder nor an archive ({known})")
    root = str(paths[0]) if len(paths) == 1 else os.path.commonpath(paths)
    return Tree(root, dict(sorted(files.items())))


def _add_folder(files: dict[str, tuple[Container, str]], path: Path) -> None:
    folder = Folder(path)
    names = list(folder.names())
    tops = {name.split("/")[0] for name in names if "/" in name}
    for name in names:
        stem = is_archive(name)
        if stem and "/" not in name:
            if stem not in tops:
                _add(files, open_archive(path / name), f"{stem}/")
        elif not _is_litter(name):
            _add_one(files, name, folder, name)


def _add(files: dict[str, tuple[Container, str]], container: Container, prefix: str) -> None:
    names = [name for name in container.names() if not _is_litter(name)]
    top = prefix or f"{is_archive(Path(container.label('')).name)}/"
    # Packed with or without its folder: both are common.
    packed = len(top) if names and all(name.startswith(top) for name in names) else 0
    for name in names:
        _add_one(files, prefix + name[packed:], container, name)


def _add_one(
    files: dict[str, tuple[Container, str]], name: str, container: Container, inner: str
) -> None:
    if not name.isprintable():
        raise UserError(f"{container.label(inner)!r}: its name is not valid UTF-8; rename it")
    if name in files:
        other, other_name = files[name]
        if other.read(other_name) != container.read(inner):
            raise UserError(
                f"{container.label(inner)}: differs from {other.label(other_name)}, which has the "
                "same name; remove one"
            )
    else:
        files[name] = container, inner


def _is_litter(name: str) -> bool:
    return any(part.startswith(".") or part in LITTER for part in name.split("/"))
