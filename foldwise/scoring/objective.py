"""Objectives of a decision, from counts of right and wrong labels.

Of P present and N absent labels, TP and FP are predicted; FN = P - TP, TN = N - FP. Labels of -1
take no part. A ratio that has nothing below its line is 0, as in scikit-learn.
"""

from typing import Annotated, Any, Literal, Self

import numpy as np
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
# Counts are integers; what differs by less than this differs by rounding alone.
EPSILON = 1e-12


class Objective(Settings):
    """A score; higher is better.

    `micro_` pools all images and classes, `macro_` is the mean over classes, `sample_` over images.

    Raises:
        ValueError: an option is missing, or is not one of this objective.

    >>> Objective(name="macro_f1").average, Objective(name="macro_f1").measure
    ('macro', 'fbeta')
    >>> Objective(name="exact_match").average
    'sample'
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


def _named_objective(value: Any) -> Any:
    """A name alone stands for an objective without options."""
    return {"name": value} if isinstance(value, str) else value


ObjectiveField = Annotated[Objective, BeforeValidator(_named_objective)]


def safe_divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, 0 where there is nothing to divide by, as in scikit-learn.

    >>> safe_divide(np.array([1, 2]), np.array([4, 0])).tolist()
    [0.25, 0.0]
    """
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), denominator)
    zeros = np.zeros(numerator.shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator != 0)


def measure(
    objective: Objective,
    true_positive: np.ndarray,
    false_positive: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> np.ndarray:
    """The objective's measure of counts, of any shape.

    Accuracy is (TP + TN) / (P + N), exact match whether FN + FP = 0. F-beta is
    (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP) (van Rijsbergen 1979), Jaccard TP / (TP + FN + FP)
    (Jaccard 1912), Youden's index TP / P + TN / N - 1 (Youden 1950). Cost is c FN + d FP over
    P + N, negated. Precision is TP / (TP + FP), recall TP / P. Precision at a recall that is not
    reached is by how much it is missed, a negative number, so that whatever reaches it is better;
    recall at a precision likewise.

    Args:
        objective: which measure, and its options.
        true_positive: labels that are present and predicted.
        false_positive: labels that are absent and predicted.
        positive: labels that are present.
        negative: labels that are absent.

    >>> counts = (np.array(each) for each in (3, 1, 4, 6))
    >>> float(measure(Objective(name="micro_f1"), *counts))  # 2 * 3 / (2 * 3 + 1 + 1)
    0.75
    """
    missed = positive - true_positive
    match objective.measure:
        case "accuracy":
            right = true_positive + negative - false_positive
            return safe_divide(right, np.asarray(positive + negative))
        case "exact_match":
            wrong = missed + false_positive
            return np.asarray((wrong == 0) & (positive + negative > 0), np.float64)
        case "cost":
            cost = objective.false_negative * missed + objective.false_positive * false_positive
            return -safe_divide(cost, np.asarray(positive + negative))
        case "fbeta":
            square = (objective.beta or 1.0) ** 2
            below = true_positive + false_positive + square * positive
            return safe_divide((1 + square) * true_positive, below)
        case "jaccard":
            return safe_divide(true_positive, np.asarray(positive + false_positive))
        case "youden":
            kept = safe_divide(negative - false_positive, np.asarray(negative))
            return safe_divide(true_positive, np.asarray(positive)) + kept - 1
    recall = safe_divide(true_positive, np.asarray(positive))
    precision = safe_divide(true_positive, np.asarray(true_positive + false_positive))
    if objective.measure == "precision_at_recall":
        return _where_reached(precision, recall, objective.recall)
    return _where_reached(recall, precision, objective.precision)


def _where_reached(value: np.ndarray, other: np.ndarray, limit: float | None) -> np.ndarray:
    assert limit is not None
    return np.where(other >= limit - EPSILON, value, other - limit)


def image_counts(labels: np.ndarray, predicted: np.ndarray, objective: Objective) -> np.ndarray:
    """What each image adds to the sums that the objective is a function of.

    Args:
        labels: (images, classes): 1, 0 or -1.
        predicted: (images, classes): 1 or 0.
        objective: which one.

    Returns:
        (images, sums), to be added over any choice of images, and given to `score_of_sums`. The
        sums are TP, FP, P and N; for a macro average, these of every class; for an average over
        images, the image's measure and 1, or 0 and 0 if nothing of it is labelled.

    >>> labels, predicted = np.array([[1, 0, -1], [1, 1, 0]]), np.array([[1, 1, 1], [1, 0, 0]])
    >>> image_counts(labels, predicted, Objective(name="micro_f1")).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]]
    """
    positive, negative = labels == 1, labels == 0
    found = predicted == 1
    parts = (positive & found, negative & found, positive, negative)
    if objective.average == "macro":
        return np.hstack(parts).astype(np.float32)
    counts = [part.sum(1) for part in parts]
    if objective.average == "micro":
        return np.stack(counts, 1).astype(np.float64)
    labelled = (positive | negative).any(1)
    return np.stack([measure(objective, *counts) * labelled, labelled], 1)


def score_of_sums(sums: np.ndarray, objective: Objective) -> np.ndarray:
    """The objective of added `image_counts`: (..., sums) to (...).

    >>> float(score_of_sums(np.array([2.0, 1.0, 3.0, 2.0]), Objective(name="accuracy")))
    0.6
    """
    if objective.average == "sample":
        return safe_divide(sums[..., 0], sums[..., 1])
    if objective.average == "micro":
        return measure(objective, *np.moveaxis(sums, -1, 0))
    counts = np.split(np.asarray(sums, np.float64), 4, -1)
    return measure(objective, *counts).mean(-1)


def score(labels: np.ndarray, predicted: np.ndarray, objective: Objective) -> float:
    """The objective of predicted labels, both (images, classes).

    Args:
        labels: 1, 0, or -1, which takes no part.
        predicted: 1 or 0.
        objective: which one.

    >>> labels, predicted = np.array([[1, 0], [1, -1]]), np.array([[1, 1], [1, 0]])
    >>> round(score(labels, predicted, Objective(name="accuracy")), 3)  # 2 of 3 labels
    0.667
    >>> score(labels, predicted, Objective(name="exact_match"))  # 1 of 2 images
    0.5
    """
    # float64: float32 would lose units above 2^24.
    sums = image_counts(labels, predicted, objective).sum(0, dtype=np.float64)
    return float(score_of_sums(sums, objective))
