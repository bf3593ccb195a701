"""Files by their paths, and by addresses of object stores (`s3://bucket/a.png`), by fsspec."""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.registry import known_implementations

from foldwise.core.errors import UserError
from foldwise.sources.names import printable

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
OF_ONE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError)
"""What a store raises for a file; all else it raises is of the store, or of the way to it."""


def is_address(name: str) -> bool:
    """Whether a name is an address rather than a path.

    >>> is_address("gs://bucket/photos"), is_address("photos/1.png")
    (True, False)
    """
    return ADDRESS.match(name) is not None


def store_of(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Raises:
        UserError: no such kind of store is known, or its package is not installed.
    """
    protocol = address.partition("://")[0]
    try:
        # A listing that is kept grows with the number of images.
        fs, path = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
        said = printable(address)
        if package in ("", "fsspec"):
            raise UserError(f"{said}: cannot be read here ({error})") from None
        raise UserError(f"{said}: needs {package}; `pip install {package}`, then again") from None
    except ValueError as error:
        raise UserError(f"{printable(address)}: is no address of a store ({error})") from None
    return fs, path


@contextmanager
def asking(address: str) -> Iterator[None]:
    """What is wrong with a store, not with one file of it, ends the run in one line.

    Else an hour without a network would be a million bad images.
    """
    try:
        yield
    except (*OF_ONE_FILE, UserError):
        raise
    except Exception as error:
        told = (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
        raise UserError(
            f"{printable(address)}: its store does not answer ({told}); see to it, then run again"
        ) from None


@contextmanager
def open_bytes(source: str) -> Iterator[Any]:
    """A file of either kind, to read bytes of."""
    if not is_address(source):
        with Path(source).open("rb") as file:
            yield file
        return
    fs, path = store_of(source)
    with asking(source):
        remote = fs.open(path, "rb")
    with remote:
        yield remote


def stretch(source: str, start: int, size: int) -> bytes:
    """Some bytes of a file of either kind; fewer where it ends before."""
    if is_address(source):
        fs, path = store_of(source)
        with asking(source):
            return bytes(fs.cat_file(path, start=start, end=start + size)) if size else b""
    with Path(source).open("rb") as file:
        file.seek(start)
        return file.read(size)


def stored_below(address: str) -> Iterator[tuple[str, int | None]]:
    """Addresses and sizes of all files below a folder of a store, sorted; hidden ones left out.

    The names of one folder are held at a time: no store lists them in pieces.
    """
    fs, path = store_of(address)
    yield from _stored_in(fs, path.rstrip("/"), address)


def _stored_in(fs: Any, folder: str, address: str) -> Iterator[tuple[str, int | None]]:
    with asking(address):
        entries = fs.ls(folder, detail=True)
    named = sorted((posixpath.basename(each["name"].rstrip("/")), each) for each in entries)
    for name, entry in named:
        # Stores without folders keep empty objects in their place.
        itself = entry["name"].rstrip("/") == folder
        if itself or not name or name.startswith(".") or name == "__MACOSX":
            continue
        if entry["type"] != "directory":
            yield fs.unstrip_protocol(entry["name"]), entry.get("size")
        elif not entry.get("islink"):
            yield from _stored_in(fs, entry["name"].rstrip("/"), address)
