"""Which images every epoch shows, where there are more than the member's own."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foldwise.model.dataset import MANY_EPOCHS


@dataclass(frozen=True)
class SourceRows:
    """Images that take part alike: own ones, or those of one source."""

    name: str
    start: int
    """Position of the first."""
    count: int
    """How many there are; of composed ones, how many an epoch shows."""
    shown: int
    """How many an epoch shows."""
    first: int
    """The first epoch that shows some."""
    end: int
    """The first that shows none again."""

    def positions(self, epoch: int, seed: int) -> np.ndarray:
        """Of those that an epoch shows: all were shown once before one comes again."""
        if not self.first <= epoch < self.end:
            return np.empty(0, np.int64)
        if self.shown == self.count:
            return np.arange(self.start, self.start + self.count)
        begin = (epoch - self.first) * self.shown
        rounds, places = np.divmod(np.arange(begin, begin + self.shown), self.count)
        found = np.empty(self.shown, np.int64)
        for each in np.unique(rounds).tolist():
            generator = np.random.default_rng((seed, zlib.crc32(self.name.encode()), each))
            own = rounds == each
            found[own] = generator.permutation(self.count)[places[own]]
        return self.start + found


class Mixture:
    """All rows that a member learns from, epoch by epoch; a function of seed and epoch."""

    def __init__(self, rows: Sequence[SourceRows], seed: int) -> None:
        self.rows = tuple(rows)
        self._seed = seed

    def drawn(self, epoch: int) -> list[tuple[int, int]]:
        """(epoch, position) of every image that an epoch shows; one that comes again as `Key`."""
        found = np.concatenate([each.positions(epoch, self._seed) for each in self.rows])
        again = pd.Series(found).groupby(found).cumcount().to_numpy()
        return [
            (epoch + MANY_EPOCHS * time, position)
            for time, position in zip(again.tolist(), found.tolist(), strict=True)
        ]

    def even(self, epochs: int) -> bool:
        """Whether all epochs show as many images."""
        return len({self._size(epoch) for epoch in range(epochs)}) == 1

    def empty(self, epochs: int) -> list[int]:
        """Epochs that show nothing."""
        return [epoch for epoch in range(epochs) if not self._size(epoch)]

    def _size(self, epoch: int) -> int:
        return sum(each.shown for each in self.rows if each.first <= epoch < each.end)
