"""Settings of losses: which, and with what arguments."""

from typing import Annotated, Literal

from pydantic import Field

from foldwise.core.settings import Fraction, Many, NotNegative, Number, Positive, Settings

LossName = Literal["multilabel_soft_margin", "bce", "focal", "asymmetric", "cross_entropy"]


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


USED_BY: dict[str, tuple[LossName, ...]] = {
    "pos_weight": ("bce",),
    "gamma": ("focal",),
    "alpha": ("focal",),
    "gamma_negative": ("asymmetric",),
    "gamma_positive": ("asymmetric",),
    "clip": ("asymmetric",),
}
