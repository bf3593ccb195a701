"""Settings of `evaluate`: what it writes."""

from typing import Annotated

from pydantic import Field

from foldwise.core.settings import Settings


class Evaluate(Settings):
    """What `evaluate` writes."""

    submission: Annotated[str, Field(pattern=r"^[^/].*\.csv$")]
    """File of the test part's labels, in the form that the source asks for."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """How many images the picture of examples shows."""
    heatmaps: bool = False
    """Whether the report shows where in an image the first member sees a class (Grad-CAM)."""
