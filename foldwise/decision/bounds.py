"""What is possible of an image's labels, what is certain, and what is within a cost.

Beside a decision's labels, which are the best guess: among the possible ones are as many of an
image's labels as is promised, of the certain ones as many are right, and those that are within
cost have mistakes that cost no more.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from foldwise.decision.costs import Costs


@dataclass(frozen=True)
class WithinCost:
    """From which logit on labels are predicted, and what they cost where they are wrong.

    >>> WithinCost.from_json({"threshold": 1.0, "costs": vars(Costs(5.0, 1.0))}).threshold
    1.0
    """

    threshold: float
    costs: Costs

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `Bounds.as_json` wrote of it."""
        return cls(content["threshold"], Costs(**content["costs"]))


@dataclass(frozen=True)
class Bounds:
    """Logits, after calibration, from which on a label is possible, certain, or within cost.

    >>> bounds = Bounds(possible=-1.0, certain=2.0, single=False)
    >>> logits = np.array([[3.0, 0.0, -2.0], [3.0, -2.0, -2.0]])
    >>> bounds.possible_labels(logits).tolist()
    [[1, 1, 0], [1, 0, 0]]
    >>> bounds.certain_labels(logits).tolist(), bounds.decided(logits).tolist()
    ([[1, 0, 0], [1, 0, 0]], [False, True])
    >>> bounds.abstains
    True
    >>> Bounds.from_json(bounds.as_json()) == bounds
    True
    """

    possible: float | None
    """None: no recall is promised, and every label is possible."""
    certain: float | None
    """None: no precision is promised, and no label is certain."""
    single: bool
    """Every image has one label: only its likeliest can be certain."""
    cost: WithinCost | None = None
    """None: no cost is promised."""

    def possible_labels(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits (images, classes) to int8 0 or 1: with these no label is missed."""
        return (logits >= (-np.inf if self.possible is None else self.possible)).astype(np.int8)

    def certain_labels(self, logits: np.ndarray) -> np.ndarray:
        """Likewise: these labels are right."""
        found = logits >= (np.inf if self.certain is None else self.certain)
        if self.single:
            found &= np.arange(logits.shape[1]) == logits.argmax(1)[:, None]
        return found.astype(np.int8)

    def labels_within_cost(self, logits: np.ndarray) -> np.ndarray:
        """Likewise: these cost no more than is promised; none where nothing is.

        >>> bounds = Bounds(None, None, False, WithinCost(1.0, Costs(5.0, 1.0)))
        >>> bounds.labels_within_cost(np.array([[0.0, 1.0, 2.0]])).tolist()
        [[0, 1, 1]]
        >>> Bounds.from_json(bounds.as_json()) == bounds
        True
        """
        return (logits >= (np.inf if self.cost is None else self.cost.threshold)).astype(np.int8)

    def decided(self, logits: np.ndarray) -> np.ndarray:
        """Whether nothing of an image is left to a person, (images,).

        Where images have one label: that one is certain. Else: what is possible is certain.
        """
        certain = self.certain_labels(logits)
        if self.single:
            return np.asarray(certain.any(1))
        return np.asarray((self.possible_labels(logits) <= certain).all(1))

    @property
    def abstains(self) -> bool:
        """Whether images may be left to a person: what is certain is promised, and what else."""
        return self.certain is not None and (self.single or self.possible is not None)

    def columns(self) -> list[str]:
        """Names of what is promised.

        >>> Bounds(None, 2.0, single=True).columns()
        ['certain']
        """
        every = {"possible": self.possible, "certain": self.certain, "within_cost": self.cost}
        return [name for name, bound in every.items() if bound is not None]

    def marked(self, logits: np.ndarray) -> list[np.ndarray]:
        """Labels of each of these columns, int8 (images, classes).

        >>> Bounds(None, 2.0, single=True).marked(np.array([[3.0, 4.0]]))[0].tolist()
        [[0, 1]]
        """
        ways = {
            "possible": self.possible_labels,
            "certain": self.certain_labels,
            "within_cost": self.labels_within_cost,
        }
        return [ways[name](logits) for name in self.columns()]

    def as_json(self) -> dict[str, Any]:
        """For decision.json."""
        content = asdict(self)
        if self.cost is None:
            del content["cost"]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """What `as_json` wrote."""
        cost = content.get("cost")
        return cls(**content | {"cost": None if cost is None else WithinCost.from_json(cost)})
