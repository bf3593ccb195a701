"""What wrong labels cost."""

from dataclasses import dataclass

from foldwise.scoring.probability import logit


@dataclass(frozen=True)
class Costs:
    """What a wrong label costs.

    >>> Costs(5.0, 1.0).highest
    5.0
    """

    false_negative: float
    """A label that is missed."""
    false_positive: float
    """A label that is wrongly added."""

    @property
    def highest(self) -> float:
        """More than this no image and class can cost."""
        return max(self.false_negative, self.false_positive)

    @property
    def threshold(self) -> float:
        """The cheapest one, a logit, if probabilities are right: added / (added + missed).

        >>> Costs(1.0, 1.0).threshold
        0.0
        """
        return logit(self.false_positive / (self.false_negative + self.false_positive))
