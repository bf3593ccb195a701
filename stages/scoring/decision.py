"""Everything that turns logits into labels."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stages.scoring.probability import sigmoid


@dataclass(frozen=True)
class Decision:
    """Labels are 1 where `logit >= threshold`."""

    threshold: float
    """A logit, not a probability: there is no space to apply it in by mistake."""

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits (images, classes) to labels, int8 0 or 1."""
        # np.float64: numpy would round a plain float to the logits' float32, onto a neighbour.
        return (logits >= np.float64(self.threshold)).astype(np.int8)

    def as_json(self) -> dict[str, Any]:
        """For decision.json; the probability is there for people to read."""
        return {
            "calibrator": None,
            "decoder": "threshold",
            "threshold": {
                "scope": "global",
                "logit": self.threshold,
                "probability": float(sigmoid(np.array(self.threshold))),
            },
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `as_json` wrote."""
        return cls(content["threshold"]["logit"])
