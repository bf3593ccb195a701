"""Settings of learning-rate schedules: which, and with what arguments."""

from typing import Annotated, Literal

from pydantic import Field

from foldwise.core.settings import Count, Fraction, Many, Number, Settings

SchedulerName = Literal["constant", "steps", "cosine", "onecycle", "plateau"]


class SchedulerOptions(Settings):
    """Arguments of the schedules; each belongs to the schedules named."""

    warmup: Fraction | None = None
    """All: share of all steps in which the rate rises to `lr`. null: 0.3 for `onecycle`, else 0."""
    milestones: Many[Count] = ()
    """`steps`: epochs after which the rate is multiplied by `factor`."""
    factor: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """`steps`, `plateau`: what the rate is multiplied by."""
    t_max: Count | None = None
    """`cosine`: epochs until the rate is at its lowest, whereupon it rises again as it fell; null:
    all of them."""
    patience: Count = 3
    """`plateau`: epochs without a better `train.monitor` after which the rate falls."""


BELONGS_TO: dict[str, tuple[SchedulerName, ...]] = {
    "milestones": ("steps",),
    "factor": ("steps", "plateau"),
    "t_max": ("cosine",),
    "patience": ("plateau",),
}
