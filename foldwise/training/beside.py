"""Settings of what a member learns from beside its own labelled rows: extra data and a teacher."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from foldwise.core.settings import Count, Many, Number, Positive, Settings


def _shares(content: Any) -> Any:
    """Shares as numbers: on their way through `dvc exp run -S` and JSON they become text."""
    if not isinstance(content, dict):
        return content
    try:
        return {float(share): epochs for share, epochs in content.items()}
    except (TypeError, ValueError):
        return content


Share = Annotated[Number, Field(gt=0, le=1)]
Curriculum = Annotated[dict[Annotated[float, Field(gt=0, lt=1)], Count], BeforeValidator(_shares)]
TaughtRows = Literal["train", "extra", "test", "unlabelled"]


class ExtraRows(Settings):
    """How one source of `data.extra` takes part."""

    weight: Positive = 1.0
    """How much its images' loss counts; own images' counts 1."""
    per_epoch: Count | None = None
    """How many of its images an epoch shows, other ones in each until all were shown; null: all.
    Composed images, of which there is no end, need a number."""
    until: Share = 1.0
    """Share of training after which none of them is shown."""


class Teacher(Settings):
    """Soft targets by the ensemble of a committed run; fold k learns from its fold-k models alone.

    These never saw the images that fold k holds out, so neither pseudo-labels nor distillation
    bring anything of them to it.
    """

    revision: Annotated[str, Field(min_length=1)]
    """A git revision, whose run has the same folds."""
    rows: Annotated[Many[TaughtRows], Field(min_length=1)] = ("train",)
    """Which rows get soft targets: own ones (self-distillation), extra ones, and those without
    labels, which only a teacher makes something to learn from (pseudo-labels): the test part, and
    sources of `data.extra` that have none."""
    weight: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Of the loss against the teacher; what is left is that of the loss against labels."""
    temperature: Positive = 1.0
    """By which logits of both are divided: more makes targets softer (Hinton et al. 2015,
    "Distilling the Knowledge in a Neural Network")."""
    per_epoch: Count | None = None
    """How many rows of the test part an epoch shows; null: all."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.rows)) < len(self.rows):
            raise ValueError("rows: each may be named once")
        if self.per_epoch is not None and "test" not in self.rows:
            raise ValueError("per_epoch: is of the test part, which rows leave out; drop it")
        if self.weight == 1 and "train" not in self.rows:
            raise ValueError("weight: 1 leaves own rows, which are not taught, without a say")
        return self


class Beside(Settings):
    """What is learned from beside own rows, and when; a part of the section `train`."""

    extra: dict[str, ExtraRows] = Field(default_factory=dict)
    """Sources of `data.extra` that are trained on, by name."""
    own_from: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Share of training before which only extra images are seen; 1: own ones never are."""
    curriculum: Curriculum = Field(default_factory=dict)
    """Epochs at the start that see composed images alone, of this share of their height and width:
    as densely covered by glyphs of the same size, so with fewer of them. The smallest come first;
    {}: none."""
    teacher: Teacher | None = None

    def _check_beside(self, solved: bool, balanced: bool, growing: bool) -> None:
        """Refuse what means nothing together, or nothing with the rest of the section."""
        if self.own_from and not self.extra:
            raise ValueError("own_from: there is nothing else to learn from; name train.extra")
        if self.curriculum and not self.extra:
            raise ValueError("curriculum: is of composed images; name them in train.extra")
        if self.curriculum and growing:
            raise ValueError("curriculum: says how images grow, as resize does; drop either")
        if self.alone:
            return
        if solved:
            raise ValueError(
                "freeze.head: logistic learns from labels of own rows alone; drop extra and "
                "teacher, or write `head: linear`"
            )
        if balanced:
            raise ValueError(
                "sampler: balanced corrects for own rows alone; drop extra and teacher, or "
                "`sampler`"
            )

    @property
    def growing_epochs(self) -> int:
        """How many epochs the curriculum has."""
        return sum(self.curriculum.values())

    @property
    def alone(self) -> bool:
        """Whether there is nothing beside own rows."""
        return not self.extra and self.teacher is None


def epochs_of(share: float, epochs: int) -> int:
    """How many whole epochs a share of training is.

    >>> epochs_of(0.5, 5), epochs_of(0.8, 10), epochs_of(1, 3)
    (2, 8, 3)
    """
    return round(share * epochs)
