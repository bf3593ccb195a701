"""What a decision is good at: the score that thresholds, weights and views are chosen by."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from foldwise.core.settings import Number, Positive, Settings

ObjectiveName = Literal[
    "accuracy",
    "exact_match",
    "cost",
    "micro_f1",
    "macro_f1",
    "sample_f1",
    "micro_fbeta",
    "macro_fbeta",
    "sample_fbeta",
    "micro_jaccard",
    "macro_jaccard",
    "sample_jaccard",
    "micro_youden",
    "macro_youden",
    "micro_precision_at_recall",
    "macro_precision_at_recall",
    "micro_recall_at_precision",
    "macro_recall_at_precision",
]
Share = Annotated[Number, Field(gt=0, le=1)]

NEEDS = {
    "fbeta": ("beta",),
    "precision_at_recall": ("recall",),
    "recall_at_precision": ("precision",),
    "cost": ("false_negative", "false_positive"),
}


class Objective(Settings):
    """A score; higher is better.

    `micro_` pools all images and classes, `macro_` is the mean over classes, `sample_` over images.
    """

    name: ObjectiveName
    beta: Positive | None = None
    """Of F-beta: how many times recall weighs more than precision."""
    recall: Share | None = None
    """That precision_at_recall must reach."""
    precision: Share | None = None
    """That recall_at_precision must reach."""
    false_negative: Positive | None = None
    """What a missed label costs; the score is the mean cost per image and class, negated."""
    false_positive: Positive | None = None
    """What a wrongly added label costs."""

    @property
    def average(self) -> Literal["micro", "macro", "sample"]:
        """What is pooled before the measure is taken: everything, a class, or an image."""
        if self.name == "exact_match" or self.name.startswith("sample_"):
            return "sample"
        return "macro" if self.name.startswith("macro_") else "micro"

    @property
    def measure(self) -> str:
        """accuracy, exact_match, cost, fbeta, jaccard, youden, or precision or recall at ..."""
        name: str = self.name
        for prefix in ("micro_", "macro_", "sample_"):
            name = name.removeprefix(prefix)
        return "fbeta" if name == "f1" else name

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = NEEDS.get(self.measure, ()) if not self.name.endswith("_f1") else ()
        for key in ("beta", "recall", "precision", "false_negative", "false_positive"):
            if key in wanted and getattr(self, key) is None:
                raise ValueError(
                    f"{self.name} needs `{key}`; write {{name: {self.name}, {key}: ...}}"
                )
            if key not in wanted and getattr(self, key) is not None:
                raise ValueError(f"{self.name} takes no `{key}`; drop it")
        return self


def _named(value: Any) -> Any:
    """A name alone stands for an objective without options."""
    return {"name": value} if isinstance(value, str) else value


ObjectiveField = Annotated[Objective, BeforeValidator(_named)]
