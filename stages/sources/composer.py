"""How an image is composed of glyphs. It knows nothing of where the glyphs come from."""

from dataclasses import dataclass

import cv2
import numpy as np

from stages.settings.data import Compose
from stages.sources.glyph_sets import GlyphSet


@dataclass(frozen=True)
class Placed:
    """One glyph and how it is drawn."""

    glyph: int
    size: float
    angle: float
    thickness: float
    ink: float
    centre: tuple[float, float]
    """x and y on the canvas, in pixels."""


class Composer:
    """Composes images, each a function of (seed, stream, its index) and of nothing else."""

    def __init__(self, glyphs: GlyphSet, settings: Compose, seed: int, stream: int) -> None:
        self.glyphs = glyphs
        self.settings = settings
        self._key = (seed, stream)
        self._by_class = [
            np.flatnonzero(glyphs.labels == each) for each in range(len(glyphs.classes))
        ]

    def plan(self, index: int) -> tuple[list[Placed], np.random.Generator]:
        """What image `index` shows, and the generator that its noise is drawn from."""
        rng = np.random.default_rng((*self._key, index))
        settings = self.settings
        low, high = settings.glyphs
        count = int(rng.integers(low, high, endpoint=True))
        placed = []
        for each in rng.permutation(len(self._by_class))[:count]:
            size = rng.uniform(*settings.size)
            placed.append(
                Placed(
                    glyph=int(rng.choice(self._by_class[each])),
                    size=size,
                    angle=rng.uniform(*settings.angle),
                    thickness=rng.uniform(*settings.thickness),
                    ink=rng.uniform(*settings.ink),
                    centre=(
                        rng.uniform(size / 2, settings.canvas - size / 2),
                        rng.uniform(size / 2, settings.canvas - size / 2),
                    ),
                )
            )
        return placed, rng

    def labels(self, index: int) -> np.ndarray:
        """(classes,) int8: which classes image `index` shows."""
        labels = np.zeros(len(self.glyphs.classes), np.int8)
        for each in self.plan(index)[0]:
            labels[self.glyphs.labels[each.glyph]] = 1
        return labels

    def paint(self, index: int) -> np.ndarray:
        """(canvas, canvas) uint8: image `index`."""
        placed, rng = self.plan(index)
        side = self.settings.canvas
        canvas = np.zeros((side, side), np.float32)
        for each in placed:
            np.maximum(canvas, self._drawn(each), out=canvas)
        amplitude = rng.uniform(*self.settings.noise)
        canvas += amplitude * rng.uniform(-1, 1, canvas.shape).astype(np.float32)
        return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)

    def _drawn(self, placed: Placed) -> np.ndarray:
        """One glyph on an empty canvas, strokes from 0 to its ink."""
        glyph = self.glyphs.images[placed.glyph]
        height, width = glyph.shape
        scale = placed.size / max(height, width)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), placed.angle, scale)
        matrix[:, 2] += np.array(placed.centre) - 0.5 - ((width - 1) / 2, (height - 1) / 2)
        side = self.settings.canvas
        grey = cv2.warpAffine(glyph, matrix, (side, side), flags=cv2.INTER_CUBIC)
        # The enlarged glyph is a smooth hill of ink; the level at which it is cut sets how bold
        # the stroke is, and the slope keeps its edge about a pixel wide.
        slope = scale * 2
        return placed.ink * np.clip((grey - placed.thickness) * slope + 0.5, 0, 1)
