"""One image to label: what it is called, and where its bytes lie."""

from typing import NamedTuple


class Item(NamedTuple):
    """An image: a file, a stretch of a tar file, or a row of a Parquet file."""

    name: str
    """What the table calls it."""
    source: str
    """Path or address of the file that it is, or lies in."""
    start: int | None = None
    """Where its bytes begin in a tar file."""
    size: int | None = None
    """Of its bytes, where it is known."""
    row: int | None = None
    """Its number in a Parquet file that holds bytes."""
