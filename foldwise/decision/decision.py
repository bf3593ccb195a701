"""Everything that turns logits into labels, fitted on held-out logits."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from foldwise.decision.bounds import Bounds
from foldwise.decision.calibrator import Calibrator, fit_calibrator
from foldwise.decision.class_thresholds import class_thresholds, shrunk_thresholds
from foldwise.decision.count_prior import fit_count_weights, map_decision, marginal_decision
from foldwise.decision.settings import Decode, Threshold, calibration_of
from foldwise.scoring.cross_fitting import with_several
from foldwise.scoring.probability import logit, sigmoid
from foldwise.scoring.thresholds import best_threshold, threshold_curve


@dataclass(frozen=True)
class Decision:
    """Calibration, then a decoder."""

    calibrator: Calibrator
    decoder: Decode
    thresholds: tuple[float, ...] = (0.0,)
    """Logits, after calibration: one for all classes, or one per class. Labels are 1 from there
    on. There is no probability to apply in the wrong space."""
    weights: tuple[float, ...] = ()
    """Of the number of labels, for the count prior."""
    k: int = 1
    """How many labels top_k gives."""
    bounds: Bounds | None = None
    """From which on a label is possible, or certain; None: nothing is promised."""

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits (images, classes) to labels, int8 0 or 1.

        >>> Decision(Calibrator("none"), "threshold", (0.5,))(np.array([[0.4, 0.5]])).tolist()
        [[0, 1]]
        >>> Decision(Calibrator("none"), "top_k", k=2)(np.array([[3, 1, 2]])).tolist()
        [[1, 0, 1]]
        """
        calibrated = self.calibrator(logits)
        if self.decoder == "count_prior":
            return marginal_decision(calibrated, np.array(self.weights))
        if self.decoder == "count_prior_mode":
            return map_decision(calibrated, np.array(self.weights))
        if self.decoder == "top_k":
            # What calibration makes equal is told apart by the given logits.
            best = np.lexsort((-logits, -calibrated), axis=1)[:, : self.k]
            labels = np.zeros(logits.shape, np.int8)
            np.put_along_axis(labels, best, 1, axis=1)
            return labels
        # float64: numpy would round a plain float to the logits' float32, onto a neighbour.
        return (calibrated >= np.array(self.thresholds, np.float64)).astype(np.int8)

    def best(self, logits: np.ndarray) -> np.ndarray:
        """Index of the likeliest class, (images,).

        >>> plain_decision(single=True).best(np.array([[0, 2, 1]])).tolist()
        [1]
        """
        return Decision(self.calibrator, "top_k")(logits).argmax(1)

    def summary(self, classes: list[str]) -> dict[str, Any]:
        """Its numbers for people: the decoder, and probabilities of thresholds, by class.

        Raises:
            ValueError: it has several thresholds, and not one per class.

        >>> Decision(Calibrator("none"), "threshold", (0.0,)).summary(["cat", "dog"])
        {'decoder': 'threshold', 'probability': 0.5}
        """
        found: dict[str, Any] = {"decoder": self.decoder}
        if self.decoder == "threshold":
            probabilities = sigmoid(np.array(self.thresholds)).tolist()
            one = len(probabilities) == 1
            by_class = dict(zip(classes, probabilities, strict=not one))
            found["probability"] = probabilities[0] if one else by_class
        return found

    def as_json(self) -> dict[str, Any]:
        """For decision.json; probabilities are there for people to read."""
        content: dict[str, Any] = {"calibrator": self.calibrator.as_json()}
        content["decoder"] = {"method": self.decoder}
        if self.decoder == "threshold":
            content["decoder"]["logits"] = list(self.thresholds)
            content["decoder"]["probabilities"] = sigmoid(np.array(self.thresholds)).tolist()
        elif self.decoder == "top_k":
            content["decoder"]["k"] = self.k
        else:
            content["decoder"]["weights"] = list(self.weights)
        if self.bounds is not None:
            content["bounds"] = self.bounds.as_json()
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `as_json` wrote.

        >>> decision = Decision(Calibrator("none"), "threshold", (0.5, -1.0))
        >>> Decision.from_json(decision.as_json()) == decision
        True
        """
        decoder, bounds = content["decoder"], content.get("bounds")
        return cls(
            Calibrator.from_json(content["calibrator"]),
            decoder["method"],
            tuple(decoder.get("logits", (0.0,))),
            tuple(decoder.get("weights", ())),
            decoder.get("k", 1),
            None if bounds is None else Bounds.from_json(bounds),
        )


def steps_from_json(content: dict[str, Any]) -> dict[str, Decision]:
    """The decisions on the way to that of decision.json, a rung of the ladder each.

    >>> plain = plain_decision(single=False)
    >>> steps_from_json({"steps": {"+ calibration": plain.as_json()}}) == {"+ calibration": plain}
    True
    """
    return {name: Decision.from_json(each) for name, each in content["steps"].items()}


def plain_decision(single: bool) -> Decision:
    """What needs no fitting: the largest logit where images have one label, else p >= 1/2.

    >>> plain_decision(single=False)(np.array([[-1, 0, 2]])).tolist()
    [[0, 1, 1]]
    >>> plain_decision(single=True)(np.array([[-1, 0, 2]])).tolist()
    [[0, 0, 1]]
    """
    calibrator = Calibrator("none", single)
    return Decision(calibrator, "top_k" if single else "threshold")


def fit_decision(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    settings: Threshold,
    single: bool,
    decoder: Decode,
) -> Decision:
    """Fit a decision on held-out labels and logits.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        groups: (images,): folds, by which `scope: shrunk` chooses its strength.
        settings: how; nothing in them is `auto`.
        single: whether every image has one label.
        decoder: which, whatever `settings.decode` says.

    Raises:
        ValueError: nothing is labelled, a logit is not finite, or, for a count prior, every image
            has an ignored label; or something is `auto`.

    >>> labels, logits = np.array([[0], [1], [1]]), np.float32([[1], [2], [3]])
    >>> settings, folds = Threshold(objective="accuracy"), np.array([0, 1, 2])
    >>> fit_decision(labels, logits, folds, settings, single=False, decoder="threshold").thresholds
    (1.5,)
    """
    if not np.isfinite(logits).all():
        raise ValueError("some logits are not finite; look at the training curves")
    calibrator = fit_calibrator(labels, logits, calibration_of(settings), single)
    return fit_decoder(labels, logits, groups, settings, decoder, calibrator)


def fit_decoder(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    settings: Threshold,
    decoder: Decode,
    calibrator: Calibrator,
) -> Decision:
    """What follows a calibrator, fitted on the logits that it gives; else as `fit_decision`.

    >>> labels, logits = np.array([[0], [1], [1]]), np.float32([[1], [2], [3]])
    >>> settings, folds = Threshold(objective="accuracy"), np.array([0, 1, 2])
    >>> half = Calibrator("temperature", lines=((0.5, 0.0),))
    >>> fit_decoder(labels, logits, folds, settings, "threshold", half).thresholds
    (0.75,)
    """
    if decoder == "top_k":
        return Decision(calibrator, decoder, k=settings.k)
    calibrated = calibrator(logits)
    if decoder != "threshold":
        weights = fit_count_weights(labels, calibrated)
        return Decision(calibrator, decoder, weights=tuple(weights.tolist()))
    if settings.fixed is not None:
        return Decision(calibrator, decoder, (logit(settings.fixed),))
    objective = settings.objective
    if settings.scope == "auto":
        raise ValueError("scope: auto is to be chosen first")
    if settings.scope == "global":
        best = best_threshold(threshold_curve(labels, calibrated, objective))
        return Decision(calibrator, decoder, (best,))
    if settings.scope == "per_class":
        thresholds = class_thresholds(labels, calibrated, objective)
    else:
        thresholds, _ = shrunk_thresholds(labels, calibrated, groups, objective)
    return Decision(calibrator, decoder, tuple(thresholds.tolist()))


def cross_fitted_probabilities(
    labels: np.ndarray, logits: np.ndarray, folds: np.ndarray, settings: Threshold, single: bool
) -> dict[str, float]:
    """The probability that each fold's images are decided at, fitted on the other folds.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        folds: (images,).
        settings: of a decision by one threshold.
        single: whether every image has one label.

    Returns:
        By the name of each fold, or of each fifth of the images if there is only one fold.

    Raises:
        ValueError: as `fit_decision`.

    >>> labels, logits = np.array([[0], [1], [0], [1]]), np.float32([[-1], [1], [-1], [1]])
    >>> folds, settings = np.array([0, 0, 1, 1]), Threshold(objective="accuracy")
    >>> cross_fitted_probabilities(labels, logits, folds, settings, single=False)
    {'0': 0.5, '1': 0.5}
    """
    groups = with_several(folds)
    found = {}
    for group in np.unique(groups):
        rest = groups != group
        decision = fit_decision(
            labels[rest], logits[rest], groups[rest], settings, single, "threshold"
        )
        found[str(group)] = float(sigmoid(np.array(decision.thresholds[0])))
    return found
