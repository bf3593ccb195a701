"""Single characters in grey, each with its class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GlyphSet:
    """Images of single characters, bright strokes on black."""

    name: str
    classes: list[str]
    images: np.ndarray
    """(glyphs, height, width), ink as float32 from 0 to 1 or as uint8 from 0 to 255."""
    labels: np.ndarray
    """(glyphs,) int64: index into `classes`."""

    def divide(self, share: float, seed: int) -> tuple["GlyphSet", "GlyphSet"]:
        """Two disjoint sets: `share` of every class's glyphs, drawn at random, and the others."""
        rng = np.random.default_rng(seed)
        chosen = np.zeros(len(self.labels), bool)
        for each in range(len(self.classes)):
            members = rng.permutation(np.flatnonzero(self.labels == each))
            # Both sets need every class.
            count = min(max(1, round(share * len(members))), len(members) - 1)
            chosen[members[:count]] = True
        return self._take(chosen), self._take(~chosen)

    def without(self, others: "GlyphSet") -> "GlyphSet":
        """The glyphs that are not among others, pixel by pixel; of its classes those with any."""
        taken = {image.tobytes() for image in others.images}
        rows = np.array([image.tobytes() not in taken for image in self.images], bool)
        return self._take(rows).called({name: name for name in self.classes})

    def called(self, names: Mapping[str, str]) -> "GlyphSet":
        """The glyphs of some classes by other names; classes that are called alike become one.

        Args:
            names: of each class that stays, its new name; a class without a glyph goes.
        """
        new = [names.get(self.classes[label]) for label in self.labels]
        kept = np.array([each is not None for each in new], bool)
        found = {each for each in new if each is not None}
        ordered = (names[each] for each in self.classes if each in names)
        classes = list(dict.fromkeys(each for each in ordered if each in found))
        labels = np.array([classes.index(each) for each in new if each is not None], np.int64)
        return GlyphSet(self.name, classes, self.images[kept], labels)

    def _take(self, rows: np.ndarray) -> "GlyphSet":
        return GlyphSet(self.name, self.classes, self.images[rows], self.labels[rows])
