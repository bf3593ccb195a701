"""Calibration: logits whose probabilities are how often a label is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression

from foldwise.decision.settings import Calibration
from foldwise.scoring.probability import log_sigmoid, log_softmax, one_vs_rest_log_odds, sigmoid


def calibrated_scores(logits: np.ndarray, softmax: bool) -> np.ndarray:
    """What is calibrated, float64: logits, or logarithms of probabilities that sum to 1.

    Args:
        logits: (images, classes): log-odds of each class.
        softmax: whether classes exclude each other.

    >>> calibrated_scores(np.array([[1, -2]]), softmax=False).tolist()
    [[1.0, -2.0]]
    >>> np.exp(calibrated_scores(np.log([[1, 1 / 3]]), softmax=True)).round(3).tolist()
    [[0.667, 0.333]]
    """
    return log_softmax(log_sigmoid(logits)) if softmax else np.asarray(logits, np.float64)


@dataclass(frozen=True)
class Calibrator:
    """A rising function of every class's logit; of softmax scores, brought to a sum of 1 again.

    `lines` (slope, offset), one per class or one for all; or `steps` (scores, probabilities) per
    class, empty for a class that is left as it is.
    """

    method: Calibration
    softmax: bool = False
    lines: tuple[tuple[float, float], ...] = ()
    steps: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits (images, classes) to calibrated logits, float32, one-vs-rest log-odds again.

        A line is slope * score + offset; between the steps' scores probabilities are interpolated.

        >>> half = Calibrator("temperature", lines=((0.5, 0.0),))  # T = 2
        >>> half(np.array([[2, -4]])).tolist()
        [[1.0, -2.0]]
        """
        if self.method == "none":
            return np.asarray(logits, np.float32)
        scores = calibrated_scores(logits, self.softmax)
        if self.steps:
            p = np.exp(scores) if self.softmax else sigmoid(scores)
            for index, (x, y) in enumerate(self.steps):
                if x:
                    p[:, index] = np.interp(scores[:, index], x, y)
            if not self.softmax:
                fitted = [index for index, (x, _) in enumerate(self.steps) if x]
                moved = scores.copy()
                moved[:, fitted] = np.log(p[:, fitted]) - np.log1p(-p[:, fitted])
                return moved.astype(np.float32)
            return one_vs_rest_log_odds(np.log(p / p.sum(1, keepdims=True))).astype(np.float32)
        slopes, offsets = np.array(self.lines).T
        moved = slopes * scores + offsets
        if self.softmax:
            moved = one_vs_rest_log_odds(log_softmax(moved))
        return moved.astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """For decision.json."""
        content: dict[str, Any] = {"method": self.method, "softmax": self.softmax}
        if self.lines:
            content["lines"] = [list(each) for each in self.lines]
        if self.steps:
            content["steps"] = [[list(part) for part in each] for each in self.steps]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `as_json` wrote.

        >>> calibrator = Calibrator("platt", lines=((0.5, 1.0), (2.0, 0.0)))
        >>> Calibrator.from_json(calibrator.as_json()) == calibrator
        True
        """
        lines = tuple((slope, offset) for slope, offset in content.get("lines", ()))
        steps = tuple((tuple(x), tuple(y)) for x, y in content.get("steps", ()))
        return cls(content["method"], content["softmax"], lines, steps)


# Temperatures and slopes that a fit may come to; separable scores would have none.
SHARPEST, FLATTEST = 0.05, 20.0


def fit_calibrator(
    labels: np.ndarray, logits: np.ndarray, method: Calibration, softmax: bool
) -> Calibrator:
    """Fit on held-out labels (1, 0; -1 takes no part) and logits, both (images, classes).

    - temperature (Guo et al. 2017, "On calibration of modern neural networks"): logits / T, with
      the T of smallest negative log-likelihood; class_temperature has one per class.
    - platt (Platt 1999): slope and offset per class, fitted to his targets, (n + 1) / (n + 2) and
      1 / (m + 2) for n present and m absent labels, which keep a separable class finite; of
      softmax scores this is vector scaling (Guo et al.), to the labels themselves, under a
      normal prior of deviation 1 about (1, 0), which does.
    - isotonic (Zadrozny and Elkan 2002): scikit-learn's, of each class against the rest, drawn by
      one label towards 1/2 so that no probability is 0 or 1.

    A class that is always or never there is left as it is.

    Args:
        labels: 1, 0 or -1.
        logits: log-odds of each class.
        method: which.
        softmax: whether classes exclude each other.

    Three of four images have the label, so that 2 / T becomes log 3:

    >>> labels, logits = np.array([[1], [1], [1], [0]]), np.array([[2], [2], [2], [2]])
    >>> calibrator = fit_calibrator(labels, logits, "temperature", softmax=False)
    >>> sigmoid(calibrator(logits[:1])).round(3).tolist()
    [[0.75]]
    """
    if method == "none":
        return Calibrator(method, softmax)
    scores = calibrated_scores(logits, softmax)
    if method == "isotonic":
        steps = [_steps(labels[:, i], scores[:, i]) for i in range(labels.shape[1])]
        return Calibrator(method, softmax, steps=tuple(steps))
    if softmax:
        return Calibrator(method, True, _softmax_lines(labels, scores, method))
    if method == "temperature":
        used = labels >= 0
        return Calibrator(method, False, (_fit_line(labels[used], scores[used], slope_only=True),))
    only = method == "class_temperature"
    lines = []
    for column, truth in zip(scores.T, labels.T, strict=True):
        used = truth >= 0
        lines.append(_fit_line(truth[used], column[used], slope_only=only))
    return Calibrator(method, False, tuple(lines))


def _fit_line(truth: np.ndarray, scores: np.ndarray, slope_only: bool) -> tuple[float, float]:
    present = int((truth == 1).sum())
    absent = truth.size - present
    if not present or not absent:
        return 1.0, 0.0
    if slope_only:
        return 1 / _temperature(lambda t: _binary_loss(scores / t, truth)), 0.0
    target = np.where(truth == 1, (present + 1) / (present + 2), 1 / (absent + 2))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        moved = line[0] * scores + line[1]
        error = sigmoid(moved) - target
        slope = np.array([(error * scores).mean(), error.mean()])
        return _binary_loss(moved, target), slope

    bounds = [(1 / FLATTEST, 1 / SHARPEST), (None, None)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])


def _binary_loss(logits: np.ndarray, target: np.ndarray) -> float:
    return float((-log_sigmoid(-logits) - target * logits).mean())


def _temperature(loss: Callable[[float], float]) -> float:
    """The temperature of smallest loss, which is convex in 1 / temperature."""
    bounds = (1 / FLATTEST, 1 / SHARPEST)
    found = minimize_scalar(
        lambda slope: loss(1 / slope), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return 1 / float(found.x)


def _softmax_lines(
    labels: np.ndarray, scores: np.ndarray, method: Calibration
) -> tuple[tuple[float, float], ...]:
    truth = labels == 1
    rows = truth.sum(1) == 1
    scores, truth = scores[rows], truth[rows]
    classes = scores.shape[1]

    def loss(slopes: np.ndarray, offsets: np.ndarray) -> tuple[float, np.ndarray]:
        logarithms = log_softmax(slopes * scores + offsets)
        error = np.exp(logarithms) - truth
        return -float(logarithms[truth].mean()), error

    if method == "temperature":
        slope = 1 / _temperature(lambda t: loss(np.full(classes, 1 / t), np.zeros(classes))[0])
        return ((slope, 0.0),)
    offset = method == "platt"

    def of_all(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        offsets = numbers[classes:] if offset else np.zeros(classes)
        value, error = loss(numbers[:classes], offsets)
        slope = [(error * scores).mean(0), error.mean(0)] if offset else [(error * scores).mean(0)]
        away = (numbers - start) / len(scores)
        return value + float(away @ (numbers - start)) / 2, np.concatenate(slope) + away

    start = np.concatenate([np.ones(classes), np.zeros(classes * offset)])
    bounds = [(1 / FLATTEST, 1 / SHARPEST)] * classes + [(None, None)] * (classes * offset)
    for index in np.flatnonzero(~truth.any(0)):
        bounds[index] = (1.0, 1.0)
        if offset:
            bounds[classes + index] = (0.0, 0.0)
    found = minimize(of_all, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    offsets = found[classes:] if offset else np.zeros(classes)
    return tuple(zip(found[:classes].tolist(), offsets.tolist(), strict=True))


def _steps(truth: np.ndarray, scores: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    used = truth >= 0
    x, y = scores[used], (truth[used] == 1).astype(np.float64)
    if y.size == 0 or y.min() == y.max():
        return (), ()
    model = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    # One label more, half there: no probability is 0 or 1.
    p = (model.y_thresholds_ * y.size + 0.5) / (y.size + 1)
    return tuple(model.X_thresholds_.tolist()), tuple(p.tolist())
