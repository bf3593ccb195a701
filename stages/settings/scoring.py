"""Settings of `ensemble`, `threshold` and `evaluate`: from logits to labels."""

from typing import Annotated, Literal

from pydantic import Field

from stages.settings.base import Number, Settings
from stages.settings.views import Views

Merge = Literal["mean_probability", "mean_logit", "geometric_mean", "max"]
Objective = Literal["accuracy", "micro_f1"]


class Tta(Settings):
    """Test-time augmentation."""

    views: Views
    merge: Merge
    """How the views of one image become one."""


class Ensemble(Settings):
    """How folds (of the test part) and members become one."""

    weights: Literal["equal"] = "equal"
    folds: Merge
    members: Merge


class Threshold(Settings):
    """How a probability becomes a label."""

    objective: Objective
    scope: Literal["global"] = "global"
    fixed: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """A probability to decide at, instead of the one that is best for the objective."""


class Evaluate(Settings):
    """What `evaluate` writes."""

    submission: Annotated[str, Field(pattern=r"^[^/].*\.csv$")]
    """File of the test part's labels, in the form that the source asks for."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """How many images the picture of examples shows."""
