"""Settings of how images are composed of glyphs."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.settings import IntRange, Number, Range, Settings

SMALLEST = 16
"""Height and width that a canvas has at least, in pixels."""
PRESETS: dict[str, dict[str, Any]] = {
    # DACON's dirty-MNIST, as its description and its images have it.
    "dirty_mnist": {
        "canvas": 256,
        "glyphs": [10, 14],
        "size": [22.0, 44.0],
        "angle": [-180.0, 180.0],
        "thickness": [0.15, 0.5],
        "ink": [0.7, 1.0],
        "overlap": 0.25,
        "distractors": [0, 2],
        "noise": [0.9, 1.0],
        "noise_from": 0.0,
    },
}


def _ordered(name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    if not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(f"{name} must be [low, high] with {low:g} <= low <= high <= {high:g}")


class Compose(Settings):
    """How one image is composed from single glyphs; nothing here knows which glyphs."""

    canvas: Annotated[int, Field(ge=SMALLEST, le=4096)] = 64
    """Height and width of the image, in pixels."""
    glyphs: IntRange = (2, 5)
    """How many different classes an image shows, smallest and largest number."""
    size: Range = (16.0, 26.0)
    """Side of a glyph's square on the canvas, in pixels."""
    angle: Range = (-20.0, 20.0)
    """Rotation of a glyph, in degrees."""
    thickness: Range = (0.35, 0.6)
    """Ink level (0-1) at which a glyph's outline is drawn: lower is bolder."""
    ink: Range = (0.6, 1.0)
    """Brightness of a glyph's strokes, 0-1."""
    sharp: Range = (1.0, 1.0)
    """How sharp a stroke's edge is: 1, a pixel wide; 0, as soft as the enlarged glyph's ink."""
    blend: Literal["max", "add"] = "max"
    """What crossing strokes make: the brighter of both, or their sum."""
    overlap: Annotated[Number, Field(ge=0, le=1)] = 1.0
    """Share of a glyph's square that another's may cover; where there is no such place left, the
    best of some that are tried is taken."""
    distractors: IntRange = (0, 0)
    """How many characters of no class an image shows, where a font has some."""
    noise: Range = (0.1, 0.4)
    """Amplitude (0-1) of an image's uniform noise; the amplitude itself is drawn per image."""
    noise_from: Annotated[Number, Field(ge=-1, le=0)] = -1.0
    """Lower end of the noise, in amplitudes: -1 darkens as much as it brightens, 0 only
    brightens."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ordered("glyphs", self.glyphs, 0, 1000)
        _ordered("size", self.size, 4, self.canvas)
        _ordered("angle", self.angle, -360, 360)
        _ordered("thickness", self.thickness, 0, 1)
        _ordered("ink", self.ink, 0, 1)
        _ordered("sharp", self.sharp, 0, 1)
        _ordered("distractors", self.distractors, 0, 1000)
        _ordered("noise", self.noise, 0, 1)
        return self

    def grown(self, share: float) -> Self:
        """Of a smaller canvas, as densely covered by glyphs of the same size.

        Args:
            share: of the canvas's side, from above 0 to 1.

        Raises:
            ValueError: the largest glyph would not fit.

        >>> whole = Compose(canvas=256, glyphs=(10, 14), size=(22, 44))
        >>> small = whole.grown(0.5)
        >>> small.canvas, small.glyphs, small.size
        (128, (2, 4), (22.0, 44.0))
        """
        canvas = round(self.canvas * share)
        if canvas < max(self.size[1], SMALLEST):
            raise ValueError(
                f"{share:g} of {self.canvas} pixels are fewer than its largest glyph has "
                f"({self.size[1]:g}), or than {SMALLEST}"
            )

        def fewer(counts: tuple[int, int], least: int) -> tuple[int, int]:
            low, high = (max(round(each * share**2), min(least, each)) for each in counts)
            return low, high

        return self.model_copy(
            update={
                "canvas": canvas,
                "glyphs": fewer(self.glyphs, 1),
                "distractors": fewer(self.distractors, 0),
            }
        )
