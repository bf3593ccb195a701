"""What `start` must find in a small data set, and what such are made of."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """What must be found."""

    source: str
    keys: dict[str, Any]
    """Of the source's own section."""
    train: int
    test: int
    classes: list[str]
    task: str = "multilabel"
    split: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of `data`."""


def numbered(folder: str, count: int, start: int = 0, suffix: str = ".png") -> dict[str, int]:
    return {f"{folder}{start + each}{suffix}": start + each for each in range(count)}


def rows_of_text(header: str, rows: list[str]) -> str:
    return "\n".join([header, *rows]) + "\n"
