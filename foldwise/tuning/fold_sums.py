"""Counts of right and wrong labels of many trials by fold, and what follows from them."""

from collections.abc import Iterator

import numpy as np

from foldwise.scoring.bootstrap import draw
from foldwise.scoring.objective import Objective, image_counts, score_of_sums


class FoldSums:
    """`image_counts` of every trial, added over a fold's images.

    Memory: as `BootstrapScores`.

    The first trial is right in the first fold, the second in the second; what the other fold
    chooses is wrong, and half of what they score is neither trial's nor fold's mean:

    >>> labels, trials = np.ones((2, 1), np.int8), np.array([[[1], [0]], [[0], [1]]])
    >>> sums = FoldSums(labels, trials, Objective(name="accuracy"), place=np.array([0, 1]))
    >>> choice = sums.choice(sums.whole)
    >>> choice.tolist(), float(sums.gain(sums.whole, choice))
    ([1, 0], -0.5)
    >>> sums.interaction(sums.whole).tolist()
    [[0.5, -0.5], [-0.5, 0.5]]
    """

    def __init__(
        self, labels: np.ndarray, predicted: np.ndarray, objective: Objective, place: np.ndarray
    ) -> None:
        """
        Args:
            labels: (images, classes): 1, 0 or -1.
            predicted: (trials, images, classes): 1 or 0, the base first.
            objective: the score.
            place: (images,): which fold, counted from 0, none empty.
        """
        # Sums of integers are exact in float32 up to 2^24, and then do not depend on their order.
        exact = objective.average != "sample" and labels.size < 2**24
        kind = np.float32 if exact else np.float64
        each = [image_counts(labels, found, objective).astype(kind) for found in predicted]
        counts = np.stack(each, 1)
        self._objective = objective
        self._images = [np.flatnonzero(place == fold) for fold in range(place.max() + 1)]
        self._counts = [counts[images].reshape(len(images), -1) for images in self._images]
        self._shape = (len(self._counts), *counts.shape[1:])
        whole = np.stack([own.sum(0, dtype=np.float64) for own in self._counts])
        self.whole = whole.reshape(self._shape)
        """(folds, trials, sums)."""

    def drawn(self, draws: int) -> Iterator[np.ndarray]:
        """(draws, folds, trials, sums) of images drawn with replacement, some draws at once."""
        for weights in draw(sum(map(len, self._images)), draws):
            parts = zip(self._images, self._counts, strict=True)
            found = [weights[:, own].astype(counts.dtype) @ counts for own, counts in parts]
            yield np.stack(found, 1).reshape(-1, *self._shape).astype(np.float64)

    def choice(self, sums: np.ndarray) -> np.ndarray:
        """The trial that is best on all other folds: (..., folds, trials, sums) to (..., folds).

        Of equals the first.
        """
        others = sums.sum(-3, keepdims=True) - sums
        return np.argmax(score_of_sums(others, self._objective), -1)

    def gain(self, sums: np.ndarray, choice: np.ndarray) -> np.ndarray:
        """Score of the chosen trials less the base's: (..., folds) trials to (...)."""
        chosen = np.take_along_axis(sums, choice[..., None, None], -2)[..., 0, :].sum(-2)
        base = sums[..., 0, :].sum(-2)
        return score_of_sums(chosen, self._objective) - score_of_sums(base, self._objective)

    def interaction(self, sums: np.ndarray) -> np.ndarray:
        """(..., folds, trials): fold scores less the means of their trial and of their fold."""
        scores = score_of_sums(sums, self._objective)
        left = scores - scores.mean(-1, keepdims=True)
        return left - left.mean(-2, keepdims=True)

    def best(self) -> np.ndarray:
        """The other trials than the base, by their mean score over folds, the best first."""
        means = score_of_sums(self.whole, self._objective).mean(0)
        return np.argsort(-means[1:], kind="stable") + 1
