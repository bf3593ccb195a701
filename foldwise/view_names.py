"""Names of views: what `tta` and frozen backbones look at an image through."""

import re
from typing import Annotated

from pydantic import AfterValidator

from foldwise.core.settings import Many

FACTOR = (
    r"(identity|[hv]flip|rot(90|180|270)|(anti)?transpose"
    r"|rotate\(-?\d+(\.\d+)?\)|shift\(-?\d+, ?-?\d+\)"
    r"|scale\(0*(\d*\.\d*[1-9]\d*|[1-9]\d*)\))"
)
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
FIRST = rf"({FACTOR}|{'|'.join(CORNERS)}|five_crop|ten_crop)"
VIEW = re.compile(rf"({FACTOR} ?\* ?)*{FIRST}")


def _known_view(name: str) -> str:
    if not VIEW.fullmatch(name):
        raise ValueError(
            f"there is no view '{name}'; use identity, hflip, vflip, rot90, rot180, rot270, "
            "transpose, antitranspose, rotate(degrees), scale(factor), shift(right, down), "
            "five_crop, ten_crop or a product, as in hflip * rot90 (a crop comes last)"
        )
    return name


def corner_of(name: str) -> str | None:
    """Which corner a view cuts from the image, before all else; None: the centre."""
    first = name.split("*")[-1].strip()
    return first if first in CORNERS else None


def _expanded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Every five_crop as the four corners and the centre, ten_crop as these and their mirrors."""
    found: list[str] = []
    for name in names:
        *factors, first = [each.strip() for each in name.split("*")]
        if first not in ("five_crop", "ten_crop"):
            found.append(name)
            continue
        for mirrored in ([], ["hflip"])[: 1 + (first == "ten_crop")]:
            before = [*factors, *mirrored]
            found += [" * ".join([*before, corner]) for corner in CORNERS]
            found.append(" * ".join(before) or "identity")
    return tuple(found)


NOTHING = ("rotate(0)", "shift(0, 0)", "scale(1)")
"""Factors that leave an image as it is, when their numbers are written plainly."""


def _plain(name: str) -> str:
    """A view's name in the one way that it is written here, without factors that do nothing."""
    factors = []
    for each in name.split("*"):
        head, bracket, numbers = each.replace(" ", "").partition("(")
        if bracket:
            plain = ", ".join(f"{float(n) + 0:g}" for n in numbers.rstrip(")").split(","))
            head = f"{head}({plain})"
        factors.append(head)
    kept = [each for each in factors if each not in ("identity", *NOTHING)]
    return " * ".join(kept) or "identity"


def _each_once(views: tuple[str, ...]) -> tuple[str, ...]:
    if not views:
        raise ValueError("at least one view is needed; write [identity] for the image as it is")
    views = tuple(map(_plain, views))
    if len(set(views)) < len(views):
        raise ValueError("every view may be named once, in whatever way it is written")
    return views


Views = Annotated[
    Many[Annotated[str, AfterValidator(_known_view)]],
    AfterValidator(_expanded),
    AfterValidator(_each_once),
]
"""identity, hflip, vflip, rot90, rot180, rot270, transpose, antitranspose, rotate(degrees),
scale(factor), shift(right, down), and products of them; five_crop and ten_crop, alone or as the
last factor, which stand for the views that top_left, ..., and identity (the centre) name."""
