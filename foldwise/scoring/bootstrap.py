"""How far a score, or the difference of two, might be chance: the bootstrap over images.

A draw takes as many images as there are, with replacement. The percentile interval of a score lies
between the 2.5 % and the 97.5 % quantile of its draws (Efron and Tibshirani 1993, "An introduction
to the bootstrap", chapter 13).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foldwise.scoring.objective import Objective, image_counts, score_of_sums

DRAWS = 1000
LEVEL = 0.95
SEED = 0
# Draws whose weights are held at once.
CHUNK = 32


@dataclass(frozen=True)
class Interval:
    """A value and where it lies in 95 of 100 draws.

    >>> Interval(0.02, 0.01, 0.03).verdict
    'helps'
    >>> Interval(0.02, -0.01, 0.05).verdict
    'within noise'
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What may be said of a gain: helps, hurts, or within noise, where 0 is in the interval."""
        if self.low > 0:
            return "helps"
        return "hurts" if self.high < 0 else "within noise"


class BootstrapScores:
    """Scores of several sets of predicted labels of the same images, drawn together.

    Images are drawn with replacement, as often as there are; the scores of a draw see the same
    images, so that their differences are paired (Efron and Tibshirani 1993, percentile interval).
    Memory: 4 bytes per image, set and sum (4 sums, or 4 per class for macro averages; 8 bytes and 2
    sums for averages over images), three times while they are joined, and 4 bytes per image for
    each of `CHUNK` draws.

    What is right everywhere, or wrong everywhere, is so in every draw:

    >>> labels = np.array([[1, 0], [0, 1]])
    >>> scores = BootstrapScores(labels, [labels, 1 - labels], Objective(name="accuracy"), draws=4)
    >>> scores.values.tolist()
    [1.0, 0.0]
    >>> scores.draws.shape
    (4, 2)
    >>> scores.interval(np.array([1.0, -1.0]))
    Interval(value=1.0, low=1.0, high=1.0)
    """

    def __init__(
        self,
        labels: np.ndarray,
        predicted: Sequence[np.ndarray],
        objective: Objective,
        draws: int = DRAWS,
    ) -> None:
        """
        Args:
            labels: (images, classes): 1, 0 or -1.
            predicted: sets of labels, each (images, classes): 1 or 0.
            objective: the score.
            draws: how many.
        """
        counts = [image_counts(labels, each, objective) for each in predicted]
        self._sums = counts[0].shape[1]
        # Sums of integers are exact in float32 up to 2^24, and then do not depend on their order.
        exact = objective.average != "sample" and labels.size < 2**24
        joined = np.hstack(counts).astype(np.float32 if exact else np.float64)
        self._objective = objective
        self.values = self._scored(joined.sum(0, dtype=np.float64))
        """(sets,): the score of each."""
        drawn = [weights.astype(joined.dtype) @ joined for weights in draw(len(labels), draws)]
        self.draws = self._scored(np.concatenate(drawn))
        """(draws, sets)."""

    def _scored(self, sums: np.ndarray) -> np.ndarray:
        parted = sums.reshape(*sums.shape[:-1], -1, self._sums)
        return score_of_sums(parted, self._objective)

    def interval(self, weights: np.ndarray) -> Interval:
        """Of a weighted sum of the scores, (sets,): 1 and -1 for a difference."""
        return interval(float(self.values @ weights), self.draws @ weights)


def interval(value: float, draws: np.ndarray) -> Interval:
    """A value and the middle 95 % of its draws.

    Args:
        value: of all images.
        draws: (draws,): the same of each draw.

    >>> found = interval(50.0, np.arange(101.0))
    >>> round(found.low, 1), round(found.high, 1)
    (2.5, 97.5)
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def draw(images: int, draws: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each image is drawn, int64 (up to CHUNK draws, images), always the same.

    >>> weights = next(draw(images=5, draws=3))
    >>> weights.shape
    (3, 5)
    >>> weights.sum(1).tolist()
    [5, 5, 5]
    """
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        yield np.stack(
            [
                np.bincount(rng.integers(0, images, images), minlength=images)
                for _ in range(min(CHUNK, draws - start))
            ]
        )
