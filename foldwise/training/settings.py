"""Settings of `train`: how a member learns, and the recipe that overrides make of them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

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
from foldwise.training.beside import Beside
from foldwise.training.options import (
    BELONGS_TO,
    USED_BY,
    LossName,
    LossOptions,
    SchedulerName,
    SchedulerOptions,
    owned,
)
from foldwise.view_names import Views, corner_of

AVERAGED_BY: dict[str, tuple[str, ...]] = {
    "decay": ("ema",),
    "start": ("swa",),
    "of": ("soup",),
    "epochs": ("soup",),
}


def _sides(content: Any) -> Any:
    """Sides as numbers: on their way through `dvc exp run -S` and JSON they become text."""
    if not isinstance(content, dict):
        return content
    return {int(x) if isinstance(x, str) and x.isdecimal() else x: y for x, y in content.items()}


STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
Side = Annotated[int, Field(ge=16)]
Resize = Annotated[dict[Side, Count], BeforeValidator(_sides), Field(min_length=1)]
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
    while the backbone is frozen. `head: logistic` is fitted to all of them."""
    head: Literal["linear", "logistic"] = "linear"
    """How the new layer learns: `linear` by steps, as the rest of this section has them; `logistic`
    by logistic regression, solved to its optimum: lr, epochs and optimizer do not count then."""
    strengths: Annotated[Many[Positive], Field(min_length=1)] = STRENGTHS
    """`logistic`: values of C, the inverse of the regularisation, of which the one is taken that is
    best on the other train folds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(corner_of(view) for view in self.views):
            raise ValueError("views: crops are for `tta.views` alone; leave them out here")
        if self.head == "logistic" and self.epochs != "all":
            raise ValueError("head: logistic has no steps to go on from; write `epochs: all`")
        if self.head == "linear" and self.strengths != STRENGTHS:
            raise ValueError("strengths: belongs to `head: logistic`; drop it")
        if list(self.strengths) != sorted(set(self.strengths)):
            raise ValueError("strengths: must rise")
        return self


class Averaging(Settings):
    """Save an average of the weights over training; `ema` and `swa` are validated as well."""

    method: Literal["ema", "swa", "soup"]
    """`ema`: exponential moving average, after every step. `swa`: the mean of the weights at the
    ends of the last epochs (Izmailov et al. 2018). `soup`: the mean of those of several epochs,
    each taken in unless the held-out score falls (greedy soup, Wortsman et al. 2022)."""
    decay: Annotated[Number, Field(gt=0, lt=1)] = 0.999
    """`ema`: share of the average that a step leaves; less in the first steps."""
    start: Fraction = 0.75
    """`swa`: share of all epochs after which averaging begins."""
    of: Literal["last", "best"] = "last"
    """`soup`: which epochs may be in it; `best` by `train.monitor`."""
    epochs: Annotated[int, Field(ge=2)] = 5
    """`soup`: how many epochs may be in it."""


class Train(Beside):
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
    layer_decay: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """A layer of the backbone learns at this share of the next one's rate; null: all at one."""
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    """`shuffled`: an epoch shows every image once. `balanced`: those of rare labels more often."""
    resize: Resize | None = None
    """Epochs that train on images of this side, in pixels, the smallest first; null: all on
    `image_size`, on which held-out images are always judged."""
    batch_norm: Literal["train", "frozen"] = "train"
    """`frozen`: the backbone's batch normalisation keeps the statistics that it came with, in which
    small batches of few images have no say; its scales and offsets learn all the same."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        owned("loss_options", self.loss_options, USED_BY, "loss", self.loss)
        owned("scheduler_options", self.scheduler_options, BELONGS_TO, "scheduler", self.scheduler)
        if self.scheduler == "steps" and not self.scheduler_options.milestones:
            raise ValueError("scheduler_options.milestones: is missing; `steps` falls after these")
        frozen = self.freeze is not None and self.freeze.epochs == "all"
        if frozen and (self.mixup or self.cutmix or self.augment):
            raise ValueError(
                "freeze: with `epochs: all` images are neither augmented nor mixed; drop augment, "
                "mixup and cutmix, and name views to draw from in freeze.views"
            )
        if frozen and self.batch_norm == "frozen":
            raise ValueError("batch_norm: is frozen anyway with `freeze: {epochs: all}`; drop it")
        if frozen and (self.layer_decay or self.resize):
            raise ValueError(
                "freeze: with `epochs: all` no layer of the backbone learns, and no image is seen "
                "in training; drop layer_decay and resize"
            )
        solved = self.freeze is not None and self.freeze.head == "logistic"
        self._check_beside(solved, self.sampler == "balanced", self.resize is not None)
        if solved:
            _solvable(self)
        if self.averaging is not None:
            owned("averaging", self.averaging, AVERAGED_BY, "method", self.averaging.method)
        if self.averaging is not None and self.averaging.method == "soup":
            if self.keep == "best":
                raise ValueError("keep: `best` keeps one epoch, `averaging` a soup of several")
            if self.monitor == "train_loss":
                raise ValueError("monitor: a soup is judged by held-out images; choose a valid_*")
        return self


def _solvable(train: Train) -> None:
    """Refuse what only steps of training can do, where the head is solved."""
    if train.loss not in ("bce", "multilabel_soft_margin", "cross_entropy"):
        raise ValueError(
            f"freeze.head: logistic minimises bce or cross_entropy, not {train.loss}; change `loss`"
        )
    plain = Train(loss=train.loss)
    steps = ("loss_options", "averaging", "sampler", "keep", "early_stopping", "overfit_batches")
    for name in steps:
        if getattr(train, name) != getattr(plain, name):
            raise ValueError(f"freeze.head: logistic has no epochs, which {name} is for; drop it")


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
        freeze = self.train.freeze
        if self.model.views == "five_crop" and freeze is not None and freeze.head == "logistic":
            raise ValueError("freeze.head: logistic takes one view of an image, not five_crop")
        scratch = self.model.pretrained is False and self.train.warm_start is None
        if self.train.batch_norm == "frozen" and scratch:
            raise ValueError(
                "batch_norm: there are no statistics to keep; name pretrained weights or a "
                "warm_start, or drop it"
            )
        if self.model.dropout and freeze is not None and freeze.head == "logistic":
            raise ValueError("freeze.head: logistic has no steps, in which dropout drops; drop it")
        if self.model.views == "five_crop" and (self.train.mixup or self.train.cutmix):
            raise ValueError("mixup and cutmix take one view of an image, not five_crop; drop them")
        if self.model.sees_places and self.train.freeze is not None:
            raise ValueError(
                f"freeze: features are kept pooled; head: {self.model.head} takes maps, drop it"
            )
        options = self.train.scheduler_options
        if options.t_max is not None and options.t_max <= (options.warmup or 0) * self.epochs:
            raise ValueError(
                f"scheduler_options.t_max: {options.t_max} epochs end before the warm-up does"
            )
        if (sizes := self.sizes) and len(sizes) != self.epochs:
            raise ValueError(
                f"resize: has {len(sizes)} epochs in all, where `epochs` is {self.epochs}; make "
                "them equal"
            )
        if sizes and sizes[-1] > self.model.image_size:
            raise ValueError(
                f"resize: {sizes[-1]} pixels are more than image_size ({self.model.image_size}), "
                "from which images are scaled down; leave it out, or raise image_size"
            )
        return self

    @property
    def softmax(self) -> bool:
        """Whether classes exclude each other in what is learned."""
        return self.train.loss == "cross_entropy"

    @property
    def solved(self) -> bool:
        """Whether the head is solved, in no steps."""
        return self.train.freeze is not None and self.train.freeze.head == "logistic"

    @property
    def frozen(self) -> bool:
        """Whether the backbone ends as it came, the same in all folds."""
        return self.model.pretrained is not False and self.frozen_epochs == self.epochs

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height and width of what each epoch trains on; none where it is always image_size."""
        growing = sorted((self.train.resize or {}).items())
        return tuple(side for side, epochs in growing for _ in range(epochs))

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
