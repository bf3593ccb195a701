"""Settings of `threshold`: how logits become labels."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.errors import UserError
from foldwise.core.settings import Count, Number, Positive, Settings
from foldwise.decision.costs import Costs
from foldwise.scoring.objective import ObjectiveField

Calibration = Literal["none", "temperature", "class_temperature", "platt", "isotonic"]
CalibrationChoice = Literal[Calibration, "auto"]
Scope = Literal["global", "per_class", "shrunk", "auto"]
Decode = Literal["auto", "threshold", "count_prior", "count_prior_mode", "top_k"]

Below = Annotated[Number, Field(gt=0, lt=1)]


class Guarantee(Settings):
    """What holds for new images with a confidence, beside the labels that are the best guess."""

    recall: Below | None = None
    """Of the labels that are possible: the mean part of an image's labels that is among them."""
    precision: Below | None = None
    """Of the labels that are certain: the mean part that is right, of images that have some."""
    confidence: Annotated[Number, Field(ge=0.5, lt=1)] = 0.9
    """How likely each promise is to hold, over all data sets that might have been labelled."""
    cost: Positive | None = None
    """Of the labels that are within cost: what wrong ones cost at most, per image and class."""
    false_negative: Positive | None = None
    """What a missed label costs."""
    false_positive: Positive | None = None
    """What a wrongly added label costs."""

    @model_validator(mode="after")
    def _check_guarantee(self) -> Self:
        if self.recall is None and self.precision is None and self.cost is None:
            raise ValueError("promises nothing; write `recall`, `precision`, `cost` or several")
        prices = {"false_negative": self.false_negative, "false_positive": self.false_positive}
        for key, price in prices.items():
            if self.cost is None and price is not None:
                raise ValueError(f"{key}: is for a `cost` that is promised; write one, or drop it")
            if self.cost is not None and price is None:
                raise ValueError(
                    f"cost: needs `{key}`, what a label that is "
                    f"{'missed' if key == 'false_negative' else 'wrongly added'} costs"
                )
        costs = self.costs
        if costs is not None and self.cost is not None and self.cost >= costs.highest:
            raise ValueError(
                f"cost: {self.cost:g} is promised by any labels, as a wrong one costs "
                f"{costs.highest:g} at most; promise less"
            )
        return self

    @property
    def costs(self) -> Costs | None:
        """What a wrong label costs, where a cost is promised.

        >>> Guarantee(cost=0.1, false_negative=5, false_positive=1).costs
        Costs(false_negative=5.0, false_positive=1.0)
        """
        if self.false_negative is None or self.false_positive is None:
            return None
        return Costs(self.false_negative, self.false_positive)


class Threshold(Settings):
    """How a logit becomes a probability, and a probability a label."""

    objective: ObjectiveField
    calibration: CalibrationChoice = "none"
    """`temperature` divides all logits by one number, `class_temperature` by one per class; `platt`
    is a line per class, `isotonic` a rising step function per class. `auto`: the simplest that
    cross-fitted evidence speaks for; `none` if all others hurt."""
    scope: Scope = "global"
    """One threshold for all classes, one per class, or one per class that is shrunk towards the
    common one the more, the rarer the class. `auto`: the simplest that cross-fitted evidence speaks
    for; p >= 1/2 if all of them hurt, and no count prior if that hurts."""
    fixed: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """A probability to decide at, instead of the one that is best for the objective."""
    decode: Decode = "auto"
    """`threshold`; `count_prior`: the labels of highest expected accuracy, given how many labels
    images have (marginal decision); `count_prior_mode`: the likeliest set of labels, given that
    (MAP decision); `top_k`: the k largest. `auto`: the largest where images have one label, else
    threshold."""
    k: Count = 1
    """How many labels top_k gives every image."""
    guarantee: Guarantee | None = None
    """Marks labels as possible, as certain, and as within a cost, with a promise for each."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scope in ("per_class", "shrunk") and self.common_only:
            raise ValueError(
                f"scope: {self.scope} needs a constraint per class: write objective "
                f"`{self.objective.name.replace('micro', 'macro')}`"
            )
        if self.scope != "global" and self.fixed is not None:
            raise ValueError("fixed: is one probability for all classes; write `scope: global`")
        if self.decode == "top_k" and (self.fixed is not None or self.scope != "global"):
            raise ValueError("decode: top_k has no threshold; drop `fixed` and `scope`")
        if self.k != 1 and self.decode != "top_k":
            raise ValueError("k: is for `decode: top_k`")
        return self

    @property
    def auto(self) -> bool:
        """Whether a step is left to evidence."""
        return "auto" in (self.scope, self.calibration)

    @property
    def common_only(self) -> bool:
        """Whether the objective has one constraint for all classes, so that they share a threshold.

        >>> Threshold(objective={"name": "micro_precision_at_recall", "recall": 0.9}).common_only
        True
        """
        return self.objective.average == "micro" and "_at_" in self.objective.name


def calibration_of(settings: Threshold) -> Calibration:
    """Its calibration, which is not `auto`.

    Raises:
        ValueError: it is, so that there is nothing to fit yet.

    >>> calibration_of(Threshold(objective="accuracy", calibration="platt"))
    'platt'
    """
    if settings.calibration == "auto":
        raise ValueError("calibration: auto is to be chosen first")
    return settings.calibration


def decoder_of(settings: Threshold, single: bool) -> Decode:
    """What `decode: auto` stands for, or what is written there.

    >>> decoder_of(Threshold(objective="accuracy"), single=True)
    'top_k'
    """
    if settings.decode == "auto":
        return "top_k" if single else "threshold"
    return settings.decode


def check_decision(settings: Threshold, single: bool, classes: int) -> None:
    """Refuse a decision that does not suit the data set.

    Args:
        settings: of the decision.
        single: every image has one label.
        classes: how many there are.

    Raises:
        UserError: its decoder is not for images of one label, or gives more labels than there are
            classes.

    >>> check_decision(Threshold(objective="accuracy", decode="top_k", k=3), False, classes=2)
    Traceback (most recent call last):
    foldwise.core.errors.UserError: params.yaml: threshold.k: 3 is more than the 2 classes
    """
    if settings.k > classes:
        raise UserError(
            f"params.yaml: threshold.k: {settings.k} is more than the {classes} classes"
        )
    decoder = decoder_of(settings, single)
    if single and decoder != "top_k":
        raise UserError(
            f"params.yaml: threshold.decode: {decoder} would give an image several classes or "
            "none, and each has one here; write auto or top_k"
        )
