"""How members become one: each moved by a line of its own where that was fitted, then merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from scipy.optimize import minimize

from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import Merge
from foldwise.ensembling.weights import fit_member_weights
from foldwise.scoring.cross_fitting import Apply, cross_fit, halves
from foldwise.scoring.probability import log_sigmoid, sigmoid

PRIOR_STRENGTHS = (10000.0, 1000.0, 100.0, 10.0, 1.0)
"""Of the prior about equal weights: one over the variance of a weight, and of an offset."""
LOOSE = 0.01
"""The same for a calibration, about the logits as they are; no more than separable ones need."""


@dataclass(frozen=True)
class Line:
    """slope * logit + offset, each float64 (classes,), or (1,) for all classes."""

    slope: np.ndarray
    offset: np.ndarray

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits (images, classes), float32.

        >>> Line(np.array([0.5, 2.0]), np.array([1.0]))(np.array([[2.0, 3.0]])).tolist()
        [[2.0, 7.0]]
        """
        return (self.slope * logits.astype(np.float64) + self.offset).astype(np.float32)

    def as_json(self) -> dict[str, list[float]]:
        """For ensemble.json."""
        return {"slope": self.slope.tolist(), "offset": self.offset.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self | None:
        """What `as_json` wrote; None where it wrote nothing.

        >>> Line.from_json({"weight": 1.0}) is None
        True
        """
        if content.get("slope") is None:
            return None
        return cls(np.array(content["slope"]), np.array(content["offset"]))


@dataclass(frozen=True)
class Weighing:
    """Weights of members, and the lines that move them before they are merged."""

    weights: np.ndarray
    """(members,), which sum to 1."""
    lines: Sequence[Line | None]
    """Of each member; None: as it is."""

    @classmethod
    def equal(cls, members: int) -> Self:
        """All alike, as they are.

        >>> Weighing.equal(2).weights.tolist()
        [0.5, 0.5]
        """
        return cls(np.full(members, 1 / members), (None,) * members)

    def merged(self, logits: Sequence[np.ndarray], how: Merge) -> np.ndarray:
        """Logits of every member, each (images, classes), as one; float32.

        Args:
            logits: of every member, alike in shape.
            how: as for `merge_logits`.

        Raises:
            ValueError: weights differ, and the merge is `max` or `median`.

        >>> members = [np.array([[0.0]]), np.array([[4.0]])]
        >>> Weighing(np.array([0.25, 0.75]), (None, None)).merged(members, "mean_logit").tolist()
        [[3.0]]
        """
        moved = [
            each if line is None else line(each)
            for each, line in zip(logits, self.lines, strict=True)
        ]
        # Equal ones are as none, which any merge takes.
        unlike = np.ptp(self.weights) > 0
        return merge_logits(moved, how, self.weights if unlike else None)


def fit_weighing(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    how: Literal["greedy", "simplex", "stack"],
    merge: Merge,
) -> Weighing:
    """Fit weights of members on held-out predictions.

    - greedy, simplex: as `fit_member_weights`. For greedy each member is first calibrated, by a
      line for all classes (Platt 1999): the likelihood by which it is taken would otherwise be
      that of its scale. They stay as they are if what they then become is likelier, itself brought
      to scale: of members that err independently the mean probability is too unsure.
    - stack (Wolpert 1992, "Stacked generalization"): of every class a logistic regression on the
      members' logits, with weights that are not negative (Breiman 1996, "Stacked regressions"),
      under a normal prior about the mean logit: so few labels leave a class near equal weights.
      The prior's strength is the one of `PRIOR_STRENGTHS` whose cross-fitted likelihood is highest.

    Args:
        labels: (images, classes): 1, 0, or -1, which takes no part.
        logits: (images, members, classes).
        groups: (images,): what is left out together.
        how: which.
        merge: of members; for stack mean_logit.

    The second member is right, but says so too softly:

    >>> labels, logits = np.array([[1], [0]] * 9), np.array([[[0], [1]], [[0], [-1]]] * 9)
    >>> fitted = fit_weighing(labels, logits, np.arange(18) % 3, "greedy", "mean_logit")
    >>> fitted.weights.round(3).tolist(), bool(fitted.lines[1].slope > 2)
    ([0.0, 1.0], True)
    """
    members = logits.shape[1]
    if how == "stack":
        lines = _stacked(labels, logits, _strength(labels, logits, groups))
        slopes, offsets = members * lines[:-1], lines[-1]
        return Weighing(np.full(members, 1 / members), [Line(each, offsets) for each in slopes])
    if how == "simplex":
        return Weighing(fit_member_weights(labels, logits, how, merge), (None,) * members)
    both = (_scaled(labels, logits), (None,) * members)
    tried = [_greedily(labels, logits, lines, merge) for lines in both]
    return max(tried, key=lambda each: _likelihood(labels, logits, each, merge))


def _greedily(
    labels: np.ndarray, logits: np.ndarray, lines: Sequence[Line | None], merge: Merge
) -> Weighing:
    moved = [
        logits[:, index] if line is None else line(logits[:, index])
        for index, line in enumerate(lines)
    ]
    return Weighing(fit_member_weights(labels, np.stack(moved, 1), "greedy", merge), lines)


def _scaled(labels: np.ndarray, logits: np.ndarray) -> list[Line]:
    """The line of every member that is likeliest, for all classes."""
    used = labels >= 0
    found = []
    for index in range(logits.shape[1]):
        line = _logistic(labels[used], logits[:, index][used][:, None], np.ones(1), LOOSE)
        found.append(Line(line[:1], line[1:]))
    return found


def _likelihood(labels: np.ndarray, logits: np.ndarray, weighing: Weighing, merge: Merge) -> float:
    """Of what members become, once that is calibrated by a line."""
    merged = weighing.merged(list(np.moveaxis(logits, 1, 0)), merge)
    (line,) = _scaled(labels, merged[:, None])
    moved, used = line(merged), labels >= 0
    return float(log_sigmoid(np.where(labels == 1, moved, -moved))[used].mean())


def _strength(labels: np.ndarray, logits: np.ndarray, groups: np.ndarray) -> float:
    def fit(truth: np.ndarray, own: np.ndarray, _: np.ndarray) -> Apply:
        tried = [_stacked(truth, own, strength) for strength in PRIOR_STRENGTHS]
        return lambda held: np.stack(
            [np.einsum("nmc,mc->nc", held, lines[:-1]) + lines[-1] for lines in tried], -1
        )

    used = labels >= 0
    moved = cross_fit(labels, logits, halves(groups), fit)[used]
    likelihood = log_sigmoid(np.where(labels[used][:, None] == 1, moved, -moved)).sum(0)
    return PRIOR_STRENGTHS[int(np.argmax(likelihood))]


def _stacked(labels: np.ndarray, logits: np.ndarray, strength: float) -> np.ndarray:
    """A weight per member, and an offset, of every class: (members + 1, classes)."""
    members = logits.shape[1]
    columns = []
    for index in range(labels.shape[1]):
        used = labels[:, index] >= 0
        equal = np.full(members, 1 / members)
        columns.append(_logistic(labels[used, index], logits[used, :, index], equal, strength))
    return np.stack(columns, 1)


def _logistic(
    labels: np.ndarray, scores: np.ndarray, centre: np.ndarray, strength: float
) -> np.ndarray:
    """Slopes, not negative, and an offset, (scores + 1,), of the highest posterior.

    scikit-learn's logistic regression knows a prior about 0 alone. Without labels of both kinds
    the prior's centre is left as it is.

    Args:
        labels: (labels,): 1 or 0.
        scores: (labels, scores).
        centre: of the slopes' prior, (scores,); of the offset's it is 0.
        strength: of the prior.
    """
    start = np.append(centre, 0.0)
    scores, truth = scores.astype(np.float64), labels == 1
    if truth.all() or not truth.any():
        return start

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        moved = scores @ line[:-1] + line[-1]
        error = sigmoid(moved) - truth
        away = strength * (line - start)
        value = away @ (line - start) / 2 - log_sigmoid(np.where(truth, moved, -moved)).sum()
        return value / len(truth), (np.append(error @ scores, error.sum()) + away) / len(truth)

    bounds = [(0.0, None)] * len(centre) + [(None, None)]
    found: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found
