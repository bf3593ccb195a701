"""The figures that runs are compared by, each with its bootstrap draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.evaluation.average_precision import average_precision, drawn_average_precision
from foldwise.evaluation.metrics import mean_over_classes
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.ranking import top_k
from foldwise.scoring.bootstrap import DRAWS, Interval, draw, interval
from foldwise.scoring.objective import Objective, image_counts, measure, safe_divide

F1 = Objective(name="macro_f1")
COUNTS = 4
"""Per class: true positives, false positives, positives and negatives."""


@dataclass(frozen=True)
class Drawn:
    """A figure of all images, and of bootstrap draws of them.

    >>> ours = Drawn(np.array(0.75), np.array([0.75, 0.5, 1.0]))
    >>> theirs = Drawn(np.array(0.5), np.array([0.5, 0.25, 0.75]))
    >>> (ours - theirs).interval()
    Interval(value=0.25, low=0.25, high=0.25)
    """

    value: np.ndarray
    """(): one figure; or (classes,): one per class. NaN where there is none."""
    draws: np.ndarray
    """(draws, ...)."""

    def interval(self) -> Interval:
        """Value and 95 % interval of one figure; draws that have none are left out."""
        return interval(float(self.value), self.draws[~np.isnan(self.draws)])

    def __sub__(self, other: "Drawn") -> "Drawn":
        """The difference; paired, as all draws are of the same images."""
        return Drawn(self.value - other.value, self.draws - other.draws)

    def of(self, index: int) -> "Drawn":
        """The figure of one class."""
        return Drawn(self.value[index], self.draws[:, index])


@dataclass(frozen=True)
class Headline:
    """What a run is worth."""

    metrics: dict[str, Drawn]
    """By name, the most important first."""
    classes: dict[str, Drawn]
    """`ap` and `f1`, per class."""


def headline(part: Part, single: bool, draws: int = DRAWS) -> Headline:
    """Headline figures with draws.

    `accuracy` is element-wise over images x classes; `exact_match` is the share of images with
    every class right; `macro_ap` and `macro_f1` are means over classes (a class with no positive
    label has no AP and is left out of that mean); `micro_f1` pools all classes. Where every image
    has one class, `top1` is the share of images that are given it, as in the submission.

    Images are drawn as in `bootstrap.draw`, so that figures of other predictions for the same
    images in the same order are paired. Memory: see `drawn_average_precision`, and 16 bytes per
    image and class.

    Args:
        part: images with labels, logits and predicted labels.
        single: whether every image has one class.
        draws: of the bootstrap.

    >>> part = Part(np.array(["a", "b"]), *[np.array([[1, 0], [0, 1]])] * 4)
    >>> float(headline(part, single=False, draws=9).metrics["accuracy"].value)
    1.0
    """
    labels, logits, predicted = part.labels, part.logits, part.predicted
    # Sums of integers are exact in float32 up to 2^24.
    counts = image_counts(labels, predicted, F1)
    known = np.any(labels >= 0, axis=1)
    right = np.all((labels == predicted) | (labels < 0), axis=1) & known
    columns = [counts, right[:, None], known[:, None]]
    if single:
        rows = (labels == 1).sum(1) == 1
        columns += [(top_k(labels, part.calibrated, 1, logits) & rows)[:, None], rows[:, None]]
    joined = np.hstack(columns).astype(np.float32)
    sums = np.concatenate(
        [
            joined.sum(0, dtype=np.float64)[None],
            *(weights.astype(np.float32) @ joined for weights in draw(len(labels), draws)),
        ]
    )
    ap = np.concatenate(
        [
            average_precision(labels, logits)[None],
            drawn_average_precision(labels, logits, draws),
        ]
    )
    each = sums[:, : counts.shape[1]].reshape(len(sums), COUNTS, -1).swapaxes(0, 1)
    pooled = each.sum(2)
    f1 = measure(F1, *each)
    rest = sums[:, counts.shape[1] :]
    accuracy = safe_divide(pooled[0] + pooled[3] - pooled[1], pooled[2] + pooled[3])
    some = ~np.isnan(ap)
    macro_ap = np.where(some.any(1), safe_divide(np.where(some, ap, 0).sum(1), some.sum(1)), np.nan)
    found = {"top1": safe_divide(rest[:, 2], rest[:, 3])} if single else {}
    found |= {
        "accuracy": accuracy,
        "exact_match": safe_divide(rest[:, 0], rest[:, 1]),
        "macro_ap": macro_ap,
        "macro_f1": f1.mean(1),
        "micro_f1": measure(F1, *pooled),
    }
    return Headline(
        {name: Drawn(values[0], values[1:]) for name, values in found.items()},
        {name: Drawn(values[0], values[1:]) for name, values in (("ap", ap), ("f1", f1))},
    )


def headline_values(part: Part, single: bool) -> dict[str, float | None]:
    """The figures alone, None where there is none; arguments as for `headline`.

    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[2, -1], [3, 4]])
    >>> part = Part(np.array(["a", "b"]), labels, logits, logits, (logits > 0).astype(np.int8))
    >>> found = headline_values(part, single=False)
    >>> {name: round(value, 3) for name, value in found.items()}
    {'accuracy': 0.75, 'exact_match': 0.5, 'macro_ap': 0.75, 'macro_f1': 0.833, 'micro_f1': 0.8}
    """
    found = headline(part, single, draws=0).metrics
    return {name: mean_over_classes(np.array([each.value])) for name, each in found.items()}


def headline_rows(whole: Headline, models: list[dict[str, float | None]]) -> list[dict[str, Any]]:
    """Rows of `metric`, `value`, `low`, `high` (95 % interval), `fold_mean` and `fold_std`.

    Args:
        whole: of all images.
        models: `headline_values` of every fold; the spread is their standard deviation (n - 1).

    >>> whole = Headline({"accuracy": Drawn(np.array(0.5), np.array([0.5, 0.5]))}, {})
    >>> rows = headline_rows(whole, [{"accuracy": 0.25}, {"accuracy": 0.75}])
    >>> rows[0]["value"], rows[0]["fold_mean"], round(rows[0]["fold_std"], 4)  # sqrt(1 / 8)
    (0.5, 0.5, 0.3536)
    """
    rows = []
    for name, each in whole.metrics.items():
        known = [value for model in models if (value := model[name]) is not None]
        row: dict[str, Any] = {"metric": name, "value": None, "low": None, "high": None}
        if not np.isnan(each.value):
            found = each.interval()
            row |= {"value": found.value, "low": found.low, "high": found.high}
        row["fold_mean"] = float(np.mean(known)) if known else None
        row["fold_std"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
        rows.append(row)
    return rows
