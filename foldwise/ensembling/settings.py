"""Settings of `tta` and `ensemble`: how predictions of an image become one."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from foldwise.core.errors import UserError
from foldwise.core.settings import Many, Settings
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

    weights: Literal["equal", "greedy", "simplex", "stack"] = "equal"
    """Of members: alike, or fitted on held-out predictions: `greedy` takes one member after the
    other, again and again, each calibrated first; `simplex` is least squares; `stack` a logistic
    regression per class on all members' logits. Alike if that is no better beyond noise."""
    folds: Merge
    members: Merge
    include: Many[str] = ()
    """Commits (hashes or tags) whose members join this ensemble, as they were predicted there."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fits = {
            "greedy": ("mean_probability", "mean_logit"),
            "simplex": ("mean_probability",),
            "stack": ("mean_logit",),
        }
        if self.members not in fits.get(self.weights, (self.members,)):
            raise ValueError(
                f"weights: {self.weights} is not for `members: {self.members}`; "
                f"write `members: {' or '.join(fits[self.weights])}`"
            )
        if len(set(self.include)) < len(self.include):
            raise ValueError("include: every commit may be named once")
        return self


def check_weights(settings: Ensemble, single: bool) -> None:
    """Refuse weights that do not suit the data set.

    Args:
        settings: of the ensemble.
        single: every image has one label.

    Raises:
        UserError: they regard every class by itself, where classes exclude each other.

    >>> stack = Ensemble(weights="stack", folds="mean_logit", members="mean_logit")
    >>> check_weights(stack, single=True)
    Traceback (most recent call last):
    foldwise.core.errors.UserError: params.yaml: ensemble.weights: stack regards every class ...
    """
    if single and settings.weights == "stack":
        raise UserError(
            "params.yaml: ensemble.weights: stack regards every class by itself, and each image "
            "has one here; write greedy, simplex or equal"
        )
