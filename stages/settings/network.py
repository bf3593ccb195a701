"""Settings of `train` and `predict`: what a member is, how it learns, and where it runs."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stages.settings.base import Count, Fraction, Many, NotNegative, Number, Positive, Settings
from stages.settings.losses import USED_BY, LossName, LossOptions

Metric = Literal["valid_loss", "valid_accuracy", "valid_macro_ap"]
Augment = Many[str | dict[str, dict[str, Any]]]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Normalize(Settings):
    """Mean and standard deviation per channel, of pixels scaled to 0-1."""

    mean: Many[Number]
    std: Many[Positive]


LIBRARIES = ("foldwise", "torchvision", "timm", "efficientnet_pytorch")


def _library_and_name(backbone: str) -> str:
    library, _, name = backbone.partition("/")
    if library not in LIBRARIES or not name:
        raise ValueError(
            f"got '{backbone}'; write <library>/<name>, as in torchvision/resnet50, with one of "
            f"the libraries {', '.join(LIBRARIES)}"
        )
    return backbone


class Model(Settings):
    """One member: a backbone, its head and its input; may override how it is trained."""

    backbone: Annotated[str, AfterValidator(_library_and_name)]
    """`<library>/<name>`, the name as the library spells it."""
    pretrained: bool = False
    """Start from the library's ImageNet weights."""
    head: Literal["replace", "append"] = "replace"
    """`replace` the classifier by Linear(features, classes), or `append` Linear(1000, classes)."""
    image_size: Annotated[int, Field(ge=16, le=4096)] = 224
    """Images are resized to this height and width, in pixels."""
    channels: Literal[1, 3] = 3
    """1: images are read as grey, and the backbone's first convolution takes one channel."""
    normalize: Literal["imagenet", "half"] | Normalize = "imagenet"
    """ImageNet's mean and deviation, 0.5 and 0.5, or your own."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments handed to the library's constructor."""
    lr: Positive | None = None
    epochs: Count | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the section `train` for this member."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.normalize, Normalize):
            lengths = {len(self.normalize.mean), len(self.normalize.std)}
            if lengths != {self.channels}:
                raise ValueError(f"normalize needs {self.channels} values (channels) in mean, std")
        return self

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, one value per channel of the input."""
        if isinstance(self.normalize, Normalize):
            return self.normalize.mean, self.normalize.std
        if self.normalize == "half":
            return (0.5,) * self.channels, (0.5,) * self.channels
        mean, std = IMAGENET
        if self.channels == 3:
            return mean, std
        return (sum(mean) / 3,), (sum(std) / 3,)


class EarlyStopping(Settings):
    """Stop when a metric has not improved for `patience` epochs."""

    monitor: Metric = "valid_loss"
    patience: Count = 5


class Train(Settings):
    """How a member is trained."""

    batch_size: Count = 32
    loss: LossName = "multilabel_soft_margin"
    loss_options: LossOptions = LossOptions()
    optimizer: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = "adamw"
    """Any of timm's: adam, adamw, sgd (with Nesterov momentum), momentum (without), radam,
    lookahead_adam, ..."""
    momentum: Fraction = 0.9
    """Of the optimizers that have it by that name."""
    weight_decay: NotNegative = 0.01
    scheduler: Literal["constant", "onecycle"] = "onecycle"
    warmup: Fraction = 0.3
    """`onecycle` only: share of all steps in which the learning rate rises."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights are kept; `best` by `monitor`."""
    monitor: Metric = "valid_loss"
    early_stopping: EarlyStopping | None = None
    augment: Augment = ()
    """albumentations transforms by the library's own names: `- Rotate: {limit: 10, p: 0.5}`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, losses in USED_BY.items():
            default = LossOptions.model_fields[name].default
            if getattr(self.loss_options, name) != default and self.loss not in losses:
                raise ValueError(
                    f"loss_options.{name}: belongs to loss {' and '.join(losses)}, not to "
                    f"{self.loss}; drop it"
                )
        return self


class Recipe(Settings):
    """All that decides one member's weights, with every override applied."""

    member: str
    model: Model
    lr: Positive
    epochs: Count
    seed: int
    train: Train


class Compute(Settings):
    """Where it runs, not what it computes: DVC does not track this section."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Literal[1] = 1
    """One process trains one fold; CUDA_VISIBLE_DEVICES chooses the GPU."""
    num_nodes: Literal[1] = 1
    strategy: Literal["auto"] = "auto"
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """Lightning's precision; `auto` is bf16-mixed where the hardware has it, else 32-true."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images; `auto`: none on CPU, else one per core up to 8."""
    batch_size: Count = 64
    """Images at a time where nothing is learned (`predict`)."""
