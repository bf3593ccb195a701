"""Settings of `train`: how a member learns, and the recipe that overrides make of them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.settings import (
    Count,
    Fraction,
    FreeForm,
    Many,
    NotNegative,
    Number,
    Positive,
    Settings,
    validated,
)
from foldwise.model.settings import Model
from foldwise.view_names import Views, corner_of

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


Metric = Literal["train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap"]
Augment = Many[str | dict[str, FreeForm]]


class EarlyStopping(Settings):
    """Stop when a metric has not improved for `patience` epochs."""

    monitor: Metric = "valid_loss"
    patience: Count = 5


class Freeze(Settings):
    """Train the new layer alone at first, on features that are computed once and kept."""

    epochs: Count | Literal["all"]
    """How long the backbone stays as it is."""
    views: Views = ("identity",)
    """Views of an image, one of which is drawn in every epoch; no other augmentation takes place
    while the backbone is frozen."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(corner_of(view) for view in self.views):
            raise ValueError("views: crops are for `tta.views` alone; leave them out here")
        return self


class Averaging(Settings):
    """Keep, validate and save an average of the weights over the steps of training."""

    method: Literal["ema", "swa"]
    """`ema`: exponential moving average, after every step. `swa`: the mean of the weights at the
    ends of the last epochs (Izmailov et al. 2018)."""
    decay: Annotated[Number, Field(gt=0, lt=1)] = 0.999
    """`ema`: share of the average that a step leaves; less in the first steps."""
    start: Fraction = 0.75
    """`swa`: share of all epochs after which averaging begins."""


class Train(Settings):
    """How a member is trained."""

    batch_size: Count = 32
    """Images per step, of all processes together."""
    loss: LossName = "multilabel_soft_margin"
    loss_options: LossOptions = LossOptions()
    optimizer: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = "adamw"
    """Any of timm's: adam, adamw, sgd (with Nesterov momentum), momentum (without), radam,
    lookahead_adam, ..."""
    momentum: Fraction = 0.9
    """Of the optimizers that have it by that name; `onecycle` sets its own, as torch does."""
    weight_decay: NotNegative = 0.01
    head_lr_scale: Positive = 1.0
    """The new layer's learning rate, in learning rates of the backbone."""
    scheduler: SchedulerName = "onecycle"
    scheduler_options: SchedulerOptions = SchedulerOptions()
    gradient_clip: Positive | None = None
    """Largest norm of a step's gradient; longer ones are shortened."""
    accumulate: Count = 1
    """Batches whose gradients make one step."""
    averaging: Averaging | None = None
    mixup: NotNegative = 0.0
    """Alpha of mixup (Zhang et al. 2018): every image is blended with another; 0: never."""
    cutmix: NotNegative = 0.0
    """Alpha of CutMix (Yun et al. 2019): a part is replaced by another image's; 0: never. With
    mixup, half of the batches get the one and half the other."""
    freeze: Freeze | None = None
    overfit_batches: Count | None = None
    """Train on this many batches alone, neither augmented nor mixed, and validate on the same: a
    check that the network can learn at all."""
    warm_start: Annotated[str, Field(min_length=1)] | None = None
    """A git revision: start from its weights of the same member and fold."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights are kept; `best` by `monitor`."""
    monitor: Metric = "valid_loss"
    early_stopping: EarlyStopping | None = None
    augment: Augment = ()
    """albumentations transforms by the library's own names: `- Rotate: {limit: 10, p: 0.5}`."""
    augment_from: Literal["resized", "original"] = "resized"
    """Whether transforms get the resized image, or the original one to resize what they return, as
    for RandomResizedCrop."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _owned("loss_options", self.loss_options, USED_BY, "loss", self.loss)
        _owned("scheduler_options", self.scheduler_options, BELONGS_TO, "scheduler", self.scheduler)
        if self.scheduler == "steps" and not self.scheduler_options.milestones:
            raise ValueError("scheduler_options.milestones: is missing; `steps` falls after these")
        frozen = self.freeze is not None and self.freeze.epochs == "all"
        if frozen and (self.mixup or self.cutmix or self.augment):
            raise ValueError(
                "freeze: with `epochs: all` images are neither augmented nor mixed; drop augment, "
                "mixup and cutmix, and name views to draw from in freeze.views"
            )
        return self


def _owned(
    key: str, options: Settings, owners: dict[str, tuple[Any, ...]], kind: str, chosen: str
) -> None:
    """Refuse an option that differs from its default and belongs to another choice."""
    for name, users in owners.items():
        default = type(options).model_fields[name].default
        if getattr(options, name) != default and chosen not in users:
            raise ValueError(
                f"{key}.{name}: belongs to {kind} {' and '.join(users)}, not to {chosen}; drop it"
            )


class Recipe(Settings):
    """All that decides one member's weights, with every override applied."""

    member: str
    model: Model
    lr: Positive
    epochs: Count
    seed: int
    train: Train

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.views == "five_crop" and (self.train.mixup or self.train.cutmix):
            raise ValueError("mixup and cutmix take one view of an image, not five_crop; drop them")
        if self.model.head == "query" and self.train.freeze is not None:
            raise ValueError(
                "freeze: features are kept pooled, and head: query takes whole maps; drop it"
            )
        options = self.train.scheduler_options
        if options.t_max is not None and options.t_max <= (options.warmup or 0) * self.epochs:
            raise ValueError(
                f"scheduler_options.t_max: {options.t_max} epochs end before the warm-up does"
            )
        return self

    @property
    def softmax(self) -> bool:
        """Whether classes exclude each other in what is learned."""
        return self.train.loss == "cross_entropy"

    @property
    def frozen_epochs(self) -> int:
        """How many of the first epochs leave the backbone as it is."""
        if self.train.freeze is None:
            return 0
        if self.train.freeze.epochs == "all":
            return self.epochs
        return min(self.train.freeze.epochs, self.epochs)


def make_recipe(
    member: str, model: Model, train: Train, lr: float, epochs: int, seed: int
) -> Recipe:
    """A member's recipe: what all members share, with its own overrides applied.

    Raises:
        UserError: an override names an unknown key, or has a value that is not allowed.
    """
    shared = {name: getattr(train, name) for name in Train.model_fields}
    key = ("models", member, "train")
    merged: Train = validated({**shared, **model.train}, Train, key)
    content = {
        "member": member,
        "model": model,
        "lr": model.lr or lr,
        "epochs": model.epochs or epochs,
        "seed": seed,
        "train": merged,
    }
    return validated(content, Recipe, key)
