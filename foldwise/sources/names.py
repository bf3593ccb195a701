"""Names of files and classes, however they are written."""

import re
import unicodedata

CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of what no name may hold: control characters, halves of surrogate pairs, and
separators of lines and paragraphs."""


def normal(name: str) -> str:
    """The name with its accents in one piece.

    macOS takes them apart in the names of files, and nobody does in tables.
    """
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sort key that puts `10` behind `9`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def has_controls(name: str) -> bool:
    """Whether a name holds what would break a line, a terminal or a file in two.

    >>> has_controls("a\\u2028b"), has_controls('"a", <b>')
    (True, False)
    """
    return not name.isprintable() and any(
        unicodedata.category(character) in CONTROLS for character in name
    )


def printable(text: str) -> str:
    """The text with escapes for what `has_controls` looks for.

    >>> printable("a\\x1bb")
    'a\\\\x1bb'
    """
    if not has_controls(text):
        return text
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in CONTROLS else character
        for character in text
    )
