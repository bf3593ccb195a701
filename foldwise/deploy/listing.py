"""What is to be labelled, one image after the other, without holding them all."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from foldwise.core.errors import UserError
from foldwise.deploy.containers import parquet_items, tar_items
from foldwise.deploy.folders import folder_images, has_image_suffix, is_folder, would_list
from foldwise.deploy.items import Item
from foldwise.deploy.stores import asking, is_address, open_bytes, store_of, stored_below
from foldwise.sources.names import printable

CONTAINERS: dict[str, Callable[[str], Iterator[Item]]] = {
    ".parquet": parquet_items,
    ".tar": tar_items,
}


class _UncountedError(Exception):
    """Something lies in a store, where counting costs as much as reading."""


class Listing:
    """The images of all that is named, in its order; the same at every iteration.

    What is named may be an image, a folder, a text file of paths (.txt), a Parquet file or a tar
    file, each as a path or as an address. What two folders or files on the disk share comes once; a
    row of a list, of a Parquet file or of a tar file is an image, whatever other rows are.
    """

    def __init__(self, named: Sequence[str], lists: Sequence[str] = ()) -> None:
        """
        Args:
            named: paths and addresses.
            lists: text files of paths, whatever their suffix.
        """
        self._named, self._lists = list(named), list(lists)
        self._counting = False
        self.problems: list[str] = []
        """A line for all that is named and holds no images, as far as it was listed."""

    @property
    def digest(self) -> str:
        """Of what is named, not of what is found."""
        return hashlib.sha256(json.dumps([self._named, self._lists]).encode()).hexdigest()

    def __iter__(self) -> Iterator[Item]:
        self.problems = []
        before = _Before()
        for name in self._named:
            yield from self._told(name, self._of(name, before))
        for name in self._lists:
            yield from self._told(name, self._in_list(name))

    def count(self) -> int | None:
        """How many there are; None where something lies in a store."""
        fresh = copy.copy(self)
        fresh._counting = True
        try:
            return sum(1 for _ in fresh)
        except _UncountedError:
            return None

    def _told(self, name: str, items: Iterator[Item]) -> Iterator[Item]:
        none = True
        for item in items:
            none = False
            if item is not TWICE:
                yield item
        if none:
            self.problems.append(f"{printable(name)}: holds no images; it is left out")

    def _of(self, name: str, before: "_Before") -> Iterator[Item]:
        """The images of one name; `before` are those named before it, on the disk."""
        suffix = PurePosixPath(name).suffix.lower()
        if is_address(name):
            yield from self._stored(name, suffix)
            return
        path = Path(name)
        if is_folder(path):
            near = before.near(path)
            for found in folder_images(path):
                yield TWICE if near.has(found) else Item(found, found)
            before.folders.append(path)
        elif suffix == ".txt":
            yield from self._in_list(name)
        elif suffix in CONTAINERS:
            yield from CONTAINERS[suffix](name)
        else:
            yield TWICE if before.has(str(path)) else Item(str(path), str(path))
            before.files.add(str(path))

    def _stored(self, address: str, suffix: str) -> Iterator[Item]:
        if "*" in address:
            self._uncounted()
            fs, path = store_of(address)
            with asking(address):
                found = sorted(fs.glob(path))
            for each in map(fs.unstrip_protocol, found):
                yield from self._stored(each, PurePosixPath(each).suffix.lower())
        elif suffix == ".txt":
            yield from self._in_list(address)
        elif suffix in CONTAINERS:
            yield from self._contained(address, suffix)
        elif has_image_suffix(address) or not self._is_stored_folder(address):
            yield Item(address, address)
        else:
            for each, size in stored_below(address):
                if has_image_suffix(each):
                    yield Item(each, each, size=size)

    def _is_stored_folder(self, address: str) -> bool:
        self._uncounted()
        fs, path = store_of(address)
        with asking(address):
            return bool(fs.isdir(path))

    def _contained(self, name: str, suffix: str) -> Iterator[Item]:
        if is_address(name):
            self._uncounted()
        yield from CONTAINERS[suffix](name)

    def _in_list(self, name: str) -> Iterator[Item]:
        """A line is an image, a tar file or a Parquet file; empty ones are passed over."""
        try:
            with open_bytes(name) as file:
                for number, line in enumerate(file):
                    # Names need not be UTF-8; some editors put a mark before what is.
                    plain = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
                    text = plain.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
                    suffix = PurePosixPath(text).suffix.lower()
                    if suffix in CONTAINERS:
                        yield from self._contained(text, suffix)
                    elif text:
                        yield Item(text, text)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{printable(name)}: cannot be read ({reason})") from None

    def _uncounted(self) -> None:
        if self._counting:
            raise _UncountedError


TWICE = Item("", "")
"""In place of an image that came before."""


class _Before:
    """Files and folders on the disk that were named before."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: list[Path] = []

    def near(self, folder: Path) -> "_Before":
        """These, without the folders that can have nothing in common with one."""
        found = _Before()
        found.files = self.files
        found.folders = [
            each
            for each in self.folders
            if each.is_relative_to(folder) or folder.is_relative_to(each)
        ]
        return found

    def has(self, path: str) -> bool:
        """Whether an image of this path was listed."""
        return path in self.files or any(would_list(each, Path(path)) for each in self.folders)
