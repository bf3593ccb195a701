"""What a calibration has learned, to be applied and written."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from foldwise.ensembling.settings import Calibration
from foldwise.scoring.probability import log_sigmoid, log_softmax, one_against_rest, sigmoid


def calibrated_scores(logits: np.ndarray, softmax: bool) -> np.ndarray:
    """What is calibrated, float64: logits, or logarithms of probabilities that sum to 1."""
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
        """Logits (images, classes) to calibrated logits, float32."""
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
            return one_against_rest(np.log(p / p.sum(1, keepdims=True))).astype(np.float32)
        slopes, offsets = np.array(self.lines).T
        moved = slopes * scores + offsets
        if self.softmax:
            moved = one_against_rest(log_softmax(moved))
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
        """What `as_json` wrote."""
        lines = tuple((slope, offset) for slope, offset in content.get("lines", ()))
        steps = tuple((tuple(x), tuple(y)) for x, y in content.get("steps", ()))
        return cls(content["method"], content["softmax"], lines, steps)
