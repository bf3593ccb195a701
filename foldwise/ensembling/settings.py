"""Settings of `ensemble`, `threshold` and `evaluate`: from logits to labels."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from foldwise.core.settings import Count, Many, Number, Settings
from foldwise.scoring.objective_settings import ObjectiveField
from foldwise.view_names import Views

POWER_MEAN = re.compile(r"power_mean\((\d+(?:\.\d+)?)\)")
MERGES = ("mean_probability", "mean_logit", "geometric_mean", "max", "median")


def _known_merge(name: str) -> str:
    found = POWER_MEAN.fullmatch(name)
    if name not in MERGES and not (found and float(found[1]) > 0):
        raise ValueError(
            f"there is no merge '{name}'; use {', '.join(MERGES)} or power_mean(exponent)"
        )
    return name


Merge = Annotated[str, AfterValidator(_known_merge)]
"""mean_probability, mean_logit, geometric_mean (of probabilities), max, median, or
power_mean(exponent) of probabilities, which lies between the mean (1) and the maximum."""


class Tta(Settings):
    """Test-time augmentation."""

    views: Views
    merge: Merge
    """How the views of one image become one."""
    select: Literal["all", "audit"] = "all"
    """`audit` leaves out the views that make held-out predictions worse beyond noise."""


class Ensemble(Settings):
    """How folds (of the test part) and members become one."""

    weights: Literal["equal", "greedy", "simplex"] = "equal"
    """Of members: alike, or fitted on held-out predictions: `greedy` takes one member after the
    other, again and again; `simplex` is least squares. Alike if that is no better beyond noise."""
    folds: Merge
    members: Merge
    include: Many[str] = ()
    """Commits (hashes or tags) whose members join this ensemble, as they were predicted there."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fits = {"greedy": ("mean_probability", "mean_logit"), "simplex": ("mean_probability",)}
        if self.members not in fits.get(self.weights, (self.members,)):
            raise ValueError(
                f"weights: {self.weights} is not for `members: {self.members}`; "
                f"write `members: {' or '.join(fits[self.weights])}`"
            )
        if len(set(self.include)) < len(self.include):
            raise ValueError("include: every commit may be named once")
        return self


Calibration = Literal["none", "temperature", "class_temperature", "platt", "isotonic"]
Scope = Literal["global", "per_class", "shrunk"]
Decode = Literal["auto", "threshold", "count_prior", "count_prior_mode", "top_k"]


class Threshold(Settings):
    """How a logit becomes a probability, and a probability a label."""

    objective: ObjectiveField
    calibration: Calibration = "none"
    """`temperature` divides all logits by one number, `class_temperature` by one per class; `platt`
    is a line per class, `isotonic` a rising step function per class."""
    scope: Scope = "global"
    """One threshold for all classes, one per class, or one per class that is drawn to the common
    one the more, the rarer the class."""
    fixed: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """A probability to decide at, instead of the one that is best for the objective."""
    decode: Decode = "auto"
    """`threshold`; `count_prior`: the labels of highest expected accuracy, given how many labels
    images have; `count_prior_mode`: the likeliest set of labels, given that; `top_k`: the k
    largest. `auto`: the largest where images have one label, else threshold."""
    k: Count = 1
    """How many labels top_k gives every image."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        name = self.objective.name
        if self.scope != "global" and self.objective.average == "micro" and "_at_" in name:
            raise ValueError(
                f"scope: {self.scope} needs a constraint per class: write objective "
                f"`{name.replace('micro', 'macro')}`"
            )
        if self.scope != "global" and self.fixed is not None:
            raise ValueError("fixed: is one probability for all classes; write `scope: global`")
        if self.decode == "top_k" and (self.fixed is not None or self.scope != "global"):
            raise ValueError("decode: top_k has no threshold; drop `fixed` and `scope`")
        if self.k != 1 and self.decode != "top_k":
            raise ValueError("k: is for `decode: top_k`")
        return self


class Evaluate(Settings):
    """What `evaluate` writes."""

    submission: Annotated[str, Field(pattern=r"^[^/].*\.csv$")]
    """File of the test part's labels, in the form that the source asks for."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """How many images the picture of examples shows."""
    heatmaps: bool = False
    """Whether the report shows where in an image the first member sees a class (Grad-CAM)."""
