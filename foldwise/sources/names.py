"""Names of files and classes, however they are written."""

import re
import unicodedata


def normal(name: str) -> str:
    """The name with its accents in one piece.

    macOS takes them apart in the names of files, and nobody does in tables.
    """
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sort key that puts `10` behind `9`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]
