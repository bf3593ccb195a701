"""Settings of `ensemble`, `threshold` and `evaluate`: from logits to labels."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from stages.settings.base import Many, Settings

Merge = Literal["mean_probability", "mean_logit", "geometric_mean", "max"]
Objective = Literal["accuracy", "micro_f1"]
VIEW = re.compile(
    r"identity|[hv]flip|rot(90|180|270)|rotate\(-?\d+(\.\d+)?\)|shift\(-?\d+, ?-?\d+\)"
)


def _known_view(name: str) -> str:
    if not VIEW.fullmatch(name):
        raise ValueError(
            f"there is no view '{name}'; use identity, hflip, vflip, rot90, rot180, rot270, "
            "rotate(degrees) or shift(right, down)"
        )
    return name


View = Annotated[str, AfterValidator(_known_view)]


class Tta(Settings):
    """Test-time augmentation."""

    views: Annotated[Many[View], Field(min_length=1)]
    """identity, hflip, vflip, rot90, rot180, rot270, rotate(degrees), shift(right, down)."""
    merge: Merge
    """How the views of one image become one."""

    @field_validator("views")
    @classmethod
    def _each_once(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(views)) < len(views):
            raise ValueError("every view may be named once")
        return views


class Ensemble(Settings):
    """How folds (of the test part) and members become one."""

    weights: Literal["equal"] = "equal"
    folds: Merge
    members: Merge


class Threshold(Settings):
    """How a probability becomes a label."""

    objective: Objective
    scope: Literal["global"] = "global"


class Evaluate(Settings):
    """What `evaluate` writes."""

    submission: Annotated[str, Field(pattern=r"^[^/].*\.csv$")]
    """File of the test part's labels, in the form that the source asks for."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """How many images the picture of examples shows."""
