"""Settings of `fetch` and `split`: where images come from and how they are divided."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.settings.base import (
    Count,
    Fraction,
    IntRange,
    Number,
    Range,
    Settings,
)


def _ordered(name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    if not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(f"{name} must be [low, high] with {low:g} <= low <= high <= {high:g}")


class Compose(Settings):
    """How one image is composed from single glyphs; nothing here knows which glyphs."""

    canvas: Annotated[int, Field(ge=16, le=4096)] = 64
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
    noise: Range = (0.1, 0.4)
    """Amplitude (0-1) of an image's uniform noise; the amplitude itself is drawn per image."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ordered("glyphs", self.glyphs, 0, 1000)
        _ordered("size", self.size, 4, self.canvas)
        _ordered("angle", self.angle, -360, 360)
        _ordered("thickness", self.thickness, 0, 1)
        _ordered("ink", self.ink, 0, 1)
        _ordered("noise", self.noise, 0, 1)
        return self


class Images(Settings):
    """How many images are composed."""

    train: Count = 3600
    test: Annotated[int, Field(ge=0)] = 1200


class Glyphs(Settings):
    """The embedded source: images composed from real handwriting."""

    glyphs_from: Literal["digits"] = Field(default="digits", alias="from")
    images: Images = Images()
    test_glyphs: Annotated[Number, Field(gt=0, lt=1)] = 0.25
    """Share of every class's glyphs that only test images are composed from."""
    compose: Compose = Compose()
    seed: Annotated[int, Field(ge=0)] = 0


class Data(Settings):
    """Where labelled images come from."""

    source: Literal["glyphs", "dacon"]
    path: Annotated[str, Field(min_length=1)]
    """Folder that holds the source's files; `glyphs` needs none."""
    glyphs: Glyphs = Glyphs()


class Split(Settings):
    """How the train part is divided into folds."""

    method: Literal["kfold", "holdout"]
    shuffle: bool = True
    """False: contiguous folds, in the order of the labels."""
    fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """`holdout` only: share of the train part that is held out."""
    test: Fraction = 0.2
    """Share kept apart as test part, where the source brings none of its own."""
