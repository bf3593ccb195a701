"""The bytes of images, and what is wrong with those that cannot be used."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from foldwise.deploy.containers import ParquetRows
from foldwise.deploy.items import Item
from foldwise.deploy.stores import asking, is_address, store_of, stretch
from foldwise.images.decode import check
from foldwise.model.geometry import resized_shape
from foldwise.model.settings import Model
from foldwise.sources.archive_checks import LARGEST, too_large

RESIZED_PIXELS = 50_000_000
"""To how many pixels an image may be resized, whatever `data.max_pixels` says of images."""


class ReadImage(NamedTuple):
    """An image file that all members can take."""

    data: bytes
    largest: int | None
    """Its largest sample, as `Checked` has it."""


def read_image(path: Path, max_pixels: int, models: Sequence[Model]) -> ReadImage | str:
    """An image file, or what is wrong with it for these models."""
    return _checked(_taken(Item(str(path), str(path)), None), max_pixels, models)


class ImageSource(Protocol):
    """Gives each image's bytes, or what is wrong with it."""

    def __call__(self, items: Sequence[Item], /) -> list[bytes | str]: ...


class ImageFiles:
    """Reads bytes of images of all kinds, several at a time: from this machine, and from stores."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._rows = pool, ParquetRows()

    def __call__(self, items: Sequence[Item]) -> list[bytes | str]:
        """As `ImageSource` has it.

        Raises:
            UserError: a store does not answer; a file of many images cannot be read.
        """
        # Rows of a file come one after the other, whatever reads them.
        rows = [None if item.row is None else self._rows.read(item.source, item.row) or b""
                for item in items]  # fmt: skip
        return list(self._pool.map(_taken, items, rows))


class ImageReader:
    """Reads images, and says of each whether members can take it."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        max_pixels: int,
        models: Sequence[Model],
        source: ImageSource | None = None,
    ) -> None:
        """
        Args:
            pool: looks at several at a time.
            max_pixels: beyond, an image is bad.
            models: that are to take them.
            source: of their bytes; None: this machine's files, and stores.
        """
        self._pool, self._max_pixels, self._models = pool, max_pixels, models
        self._source = ImageFiles(pool) if source is None else source

    def read(self, items: Sequence[Item]) -> list[ReadImage | str]:
        """Each image, or what is wrong with it; raises as its source does."""
        found = self._source(items)
        return list(
            self._pool.map(lambda data: _checked(data, self._max_pixels, self._models), found)
        )


def _taken(item: Item, row: bytes | None) -> bytes | str:
    """An image's bytes, or what is wrong with it.

    Args:
        item: where they lie.
        row: they themselves, where they are known.
    """
    try:
        if row is None:
            return _bytes_of(item)
        _refuse_large(len(row))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        return str(error)
    return row


def _checked(data: bytes | str, max_pixels: int, models: Sequence[Model]) -> ReadImage | str:
    """An image, or what is wrong with it."""
    if isinstance(data, str):
        return data
    try:
        seen = check(data, max_pixels)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        return str(error)
    for model in models:
        # Of a strip, the shorter side may be resized to what makes the longer one endless.
        rows, columns = resized_shape(seen.height, seen.width, model)
        if rows * columns > max(max_pixels, RESIZED_PIXELS):
            return f"has to be resized to {rows} x {columns} pixels, more than memory is spent on"
    return ReadImage(data, seen.largest)


def _bytes_of(item: Item) -> bytes:
    """All bytes of an image. Raises `ValueError` and `OSError` with what is wrong with it."""
    if item.start is not None and item.size is not None:
        _refuse_large(item.size)
        data = stretch(item.source, item.start, item.size)
        if len(data) < item.size:
            raise ValueError("is cut off; get the archive anew")
        return data
    if is_address(item.source):
        fs, path = store_of(item.source)
        with asking(item.source):
            size = item.size if item.size is not None else fs.size(path)
        _refuse_large(size or 0)
        with asking(item.source):
            return bytes(fs.cat_file(path))
    file = Path(item.source)
    if file.exists() and not file.is_file():
        raise ValueError("is no file")
    _refuse_large(file.stat().st_size)
    return file.read_bytes()


def _refuse_large(size: int) -> None:
    if size > LARGEST:
        raise ValueError(too_large(size))
