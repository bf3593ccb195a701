"""Single characters in grey, each with its class."""

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

    def _take(self, rows: np.ndarray) -> "GlyphSet":
        return GlyphSet(self.name, self.classes, self.images[rows], self.labels[rows])
