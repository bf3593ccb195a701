"""Which galleries a page has room for, and how large their pictures may be."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.report.galleries import Gallery
from foldwise.report.thumbnails import Key, Thumbnails, fitting

LIMIT = 5_000_000
"""Bytes of a page."""


@dataclass(frozen=True)
class Pictured:
    """Galleries as a page takes them: cards by the numbers of their pictures."""

    galleries: list[dict[str, Any]]
    thumbnails: Thumbnails

    @property
    def size(self) -> int:
        """Bytes in a page."""
        return len(as_json(self.galleries).encode()) + self.thumbnails.size


def as_json(content: Any) -> str:
    """Compact JSON that may stand in a page's <script>: it can neither end nor comment it out."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def picture_keys(galleries: Iterable[Gallery], heated: Iterable[tuple[str, int]]) -> list[Key]:
    """Every picture that galleries need, once: images, and images under a heat map."""
    found: dict[Key, None] = {}
    known = set(heated)
    for gallery in galleries:
        for card in gallery.cards:
            found[card.id, None] = None
            if (card.id, card.class_index) in known:
                found[card.id, card.class_index] = None
    return list(found)


def pictured(
    galleries: list[Gallery],
    images: Mapping[Key, np.ndarray],
    room: int,
) -> tuple[Pictured, int]:
    """As many galleries as fit, from the first, with pictures as large as then fit.

    Args:
        galleries: the most important first.
        images: of every key that they need, (height, width, 3) BGR of uint8.
        room: bytes.

    Returns:
        What fits, and how many galleries that is.
    """

    def tried(count: int) -> Pictured:
        kept = galleries[:count]
        keys = [key for key in picture_keys(kept, _heated(images)) if key in images]
        numbers = {key: number for number, key in enumerate(keys)}
        listed = [_gallery(each, numbers) for each in kept]
        left = room - len(as_json(listed).encode())
        return Pictured(listed, fitting([images[key] for key in keys], left))

    count = len(galleries)
    found = tried(count)
    while found.size > room and count:
        # In proportion to what is too much, and always fewer: few rounds.
        count = min(count - 1, int(count * room / found.size))
        found = tried(max(0, count))
    return found, max(0, count)


def _heated(images: Mapping[Key, np.ndarray]) -> list[tuple[str, int]]:
    return [(id, index) for id, index in images if index is not None]


def _gallery(gallery: Gallery, numbers: dict[Key, int]) -> dict[str, Any]:
    rows = []
    for title, cards in gallery.rows.items():
        listed = []
        for card in cards:
            one = {
                "id": card.id,
                "picture": numbers[card.id, None],
                "says": card.says,
                "kind": card.kind,
                "class": card.class_index,
                "p": card.probability,
                "labels": card.labels,
                "more": card.more,
            }
            heat = numbers.get((card.id, card.class_index))
            listed.append(one if heat is None else one | {"heat": heat})
        rows.append({"title": title, "cards": listed})
    return {"title": gallery.title, "class": gallery.class_index, "rows": rows}
