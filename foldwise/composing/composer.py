"""How an image is composed of glyphs. It knows nothing of where the glyphs come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import Compose

# Places tried for a glyph before the one that it shares the least of is taken.
TRIES = 30


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
    distractor: bool = False
    """The glyph is one of the distractors, not of the classes."""
    sharp: float = 1.0


class Composer:
    """Composes images, each a function of (seed, stream, its index) and of nothing else."""

    def __init__(
        self,
        glyphs: GlyphSet,
        settings: Compose,
        seed: int,
        stream: int | Sequence[int],
        distractors: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            glyphs: what images are composed of.
            settings: how.
            seed: of the data set.
            stream: of the part, or of the epoch, so that two of one seed share no image.
            distractors: (characters, height, width) like the glyphs, or None.
        """
        self.glyphs = glyphs
        self.settings = settings
        self._key = (seed, *([stream] if isinstance(stream, int) else stream))
        self._by_class = [
            np.flatnonzero(glyphs.labels == each) for each in range(len(glyphs.classes))
        ]
        self._distractors = np.empty((0, 0, 0)) if distractors is None else distractors

    def plan(self, index: int) -> tuple[list[Placed], np.random.Generator]:
        """What image `index` shows, and the generator that its noise is drawn from."""
        rng = np.random.default_rng((*self._key, index))
        low, high = self.settings.glyphs
        count = int(rng.integers(low, high, endpoint=True))
        placed: list[Placed] = []
        for each in rng.permutation(len(self._by_class))[:count]:
            self._place(rng, placed, self._by_class[each], distractor=False)
        low, high = self.settings.distractors
        if high and len(self._distractors):
            for _ in range(int(rng.integers(low, high, endpoint=True))):
                self._place(rng, placed, np.arange(len(self._distractors)), distractor=True)
        return placed, rng

    def _place(
        self, rng: np.random.Generator, placed: list[Placed], among: np.ndarray, distractor: bool
    ) -> None:
        settings = self.settings
        size = rng.uniform(*settings.size)
        chosen = int(rng.choice(among))
        angle = rng.uniform(*settings.angle)
        thickness = rng.uniform(*settings.thickness)
        ink = rng.uniform(*settings.ink)
        # Drawn only where it differs: images composed without it stay what they are.
        sharp = 1.0 if settings.sharp == (1.0, 1.0) else rng.uniform(*settings.sharp)
        best, least = (0.0, 0.0), np.inf
        for _ in range(TRIES):
            centre = (
                rng.uniform(size / 2, settings.canvas - size / 2),
                rng.uniform(size / 2, settings.canvas - size / 2),
            )
            shared = max((_shared(centre, size, other) for other in placed), default=0.0)
            if shared < least:
                best, least = centre, shared
            if shared <= settings.overlap:
                break
        placed.append(Placed(chosen, size, angle, thickness, ink, best, distractor, sharp))

    def labels(self, index: int) -> np.ndarray:
        """(classes,) int8: which classes image `index` shows."""
        return self._shown(self.plan(index)[0])

    def _shown(self, placed: list[Placed]) -> np.ndarray:
        labels = np.zeros(len(self.glyphs.classes), np.int8)
        for each in placed:
            if not each.distractor:
                labels[self.glyphs.labels[each.glyph]] = 1
        return labels

    def paint(self, index: int) -> np.ndarray:
        """(canvas, canvas) uint8: image `index`."""
        return self.compose(index)[0]

    def compose(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image `index`, and its labels: what `paint` and `labels` give, planned once."""
        placed, rng = self.plan(index)
        side = self.settings.canvas
        canvas = np.zeros((side, side), np.float32)
        for each in placed:
            self._draw(canvas, each)
        amplitude = rng.uniform(*self.settings.noise)
        noise = rng.uniform(self.settings.noise_from, 1, canvas.shape).astype(np.float32)
        canvas += np.float32(amplitude) * noise
        return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8), self._shown(placed)

    def _draw(self, canvas: np.ndarray, placed: Placed) -> None:
        """Lay one glyph over the canvas, strokes from 0 to its ink."""
        source = self._distractors if placed.distractor else self.glyphs.images
        glyph = source[placed.glyph]
        if glyph.dtype == np.uint8:
            glyph = glyph.astype(np.float32) / 255
        height, width = glyph.shape
        scale = placed.size / max(height, width)
        # Only the square that the turned glyph can reach is drawn.
        reach = placed.size / np.sqrt(2) + 2
        (left, top), (right, bottom) = (
            [int(np.clip(at + sign * reach, 0, len(canvas))) for at in placed.centre]
            for sign in (-1, 1)
        )
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), placed.angle, scale)
        matrix[:, 2] += np.array(placed.centre) - 0.5 - ((width - 1) / 2, (height - 1) / 2)
        matrix[:, 2] -= (left, top)
        grey = cv2.warpAffine(glyph, matrix, (right - left, bottom - top), flags=cv2.INTER_CUBIC)
        # The enlarged glyph is a smooth hill of ink; the level at which it is cut sets how bold
        # the stroke is, and the slope keeps its edge about a pixel wide, and the ground at 0.
        slope = 1 + placed.sharp * (scale * 2 - 1)
        slope = max(slope, 0.5 / max(placed.thickness, 0.01))
        drawn = placed.ink * np.clip((grey - placed.thickness) * slope + 0.5, 0, 1)
        region = canvas[top:bottom, left:right]
        join = np.add if self.settings.blend == "add" else np.maximum
        join(region, drawn, out=region)


def _shared(centre: tuple[float, float], size: float, other: Placed) -> float:
    """Share of the smaller of two squares that the other covers."""
    reach = (size + other.size) / 2
    sides = [
        min(max(reach - abs(here - there), 0.0), size, other.size)
        for here, there in zip(centre, other.centre, strict=True)
    ]
    return sides[0] * sides[1] / min(size, other.size) ** 2
