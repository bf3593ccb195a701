"""Options of losses and of schedules, each of which belongs to some of them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from foldwise.core.settings import Count, Fraction, Many, NotNegative, Number, Positive, Settings

LossName = Literal["multilabel_soft_margin", "bce", "focal", "asymmetric", "cross_entropy"]
SchedulerName = Literal["constant", "steps", "cosine", "onecycle", "plateau"]

USED_BY: dict[str, tuple[LossName, ...]] = {
    "pos_weight": ("bce",),
    "gamma": ("focal",),
    "alpha": ("focal",),
    "gamma_negative": ("asymmetric",),
    "gamma_positive": ("asymmetric",),
    "clip": ("asymmetric",),
}
BELONGS_TO: dict[str, tuple[SchedulerName, ...]] = {
    "milestones": ("steps",),
    "factor": ("steps", "plateau"),
    "t_max": ("cosine",),
    "patience": ("plateau",),
}


class LossOptions(Settings):
    """Arguments of the losses; each belongs to the losses named."""

    label_smoothing: Fraction = 0.0
    """All: moves every target this share of the way to 0.5; `cross_entropy`: to 1 / classes."""
    pos_weight: Literal["prevalence"] | Many[Positive] | None = None
    """`bce`: weight of positive targets per class; `prevalence`: negatives over positives."""
    gamma: NotNegative = 2.0
    """`focal`: how little easy targets count (Lin et al. 2017)."""
    alpha: Annotated[Number, Field(gt=0, lt=1)] | None = 0.25
    """`focal`: share of the weight that positive targets have; null: as much as negative ones."""
    gamma_negative: NotNegative = 4.0
    """`asymmetric` (Ridnik et al. 2021): focusing of negative targets."""
    gamma_positive: NotNegative = 1.0
    """`asymmetric`: focusing of positive targets."""
    clip: Fraction = 0.05
    """`asymmetric`: negatives of a smaller probability than this do not count."""


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


def owned(
    key: str, options: Settings, owners: dict[str, tuple[Any, ...]], kind: str, chosen: str
) -> None:
    """Refuse an option that differs from its default and belongs to another choice."""
    for name, users in owners.items():
        default = type(options).model_fields[name].default
        if getattr(options, name) != default and chosen not in users:
            raise ValueError(
                f"{key}.{name}: belongs to {kind} {' and '.join(users)}, not to {chosen}; drop it"
            )
