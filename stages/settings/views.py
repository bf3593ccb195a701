"""Names of views: what `tta` and frozen backbones look at an image through."""

import re
from typing import Annotated

from pydantic import AfterValidator

from stages.settings.base import Many

FACTOR = (
    r"(identity|[hv]flip|rot(90|180|270)|rotate\(-?\d+(\.\d+)?\)|shift\(-?\d+, ?-?\d+\)"
    r"|scale\(0*(\d*\.\d*[1-9]\d*|[1-9]\d*)\))"
)
VIEW = re.compile(rf"{FACTOR}( ?\* ?{FACTOR})*")


def _known_view(name: str) -> str:
    if not VIEW.fullmatch(name):
        raise ValueError(
            f"there is no view '{name}'; use identity, hflip, vflip, rot90, rot180, rot270, "
            "rotate(degrees), scale(factor), shift(right, down) or a product, as in hflip * rot90"
        )
    return name


def _each_once(views: tuple[str, ...]) -> tuple[str, ...]:
    if not views:
        raise ValueError("at least one view is needed; write [identity] for the image as it is")
    if len(set(views)) < len(views):
        raise ValueError("every view may be named once")
    return views


Views = Annotated[Many[Annotated[str, AfterValidator(_known_view)]], AfterValidator(_each_once)]
"""identity, hflip, vflip, rot90, rot180, rot270, rotate(degrees), scale(factor),
shift(right, down), and products of them."""
