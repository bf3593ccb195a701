"""How far a score, or the difference of two, might be chance: the bootstrap over images."""

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
    """A value and where it lies in 95 of 100 draws."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What may be said of a gain."""
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
    """A value and the middle 95 % of its draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def draw(images: int, draws: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each image is drawn, int64 (up to CHUNK draws, images), always the same."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        yield np.stack(
            [
                np.bincount(rng.integers(0, images, images), minlength=images)
                for _ in range(min(CHUNK, draws - start))
            ]
        )
