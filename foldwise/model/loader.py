"""Batches of a data set, shared out among processes."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from foldwise.model.dataset import MANY_EPOCHS, Key, LabelledDataset

Drawn = Callable[[int], Sequence[tuple[int, int]]]
"""An epoch to the (epoch, position) of all that it shows, as `Key` has them."""


class Batches(Sampler[list[Key]]):
    """One process's share of every batch; all processes together see every image once.

    With weights, an epoch has as many images, but shows each about as often as its weight says: the
    expected number rounded down or up, at random such that the sum is right (systematic sampling).

    A shuffled order depends on (seed, epoch) alone, and the epoch is handed on in the keys, so that
    workers need no state. There, a last batch of a single image joins the batch before it: batch
    normalisation learns nothing from one, or refuses it. Where a batch has fewer images than there
    are processes, some get an image that does not count, as all must take part in every step.
    """

    def __init__(
        self,
        images: int,
        size: int,
        seed: int | None = None,
        rank: int = 0,
        processes: int = 1,
        weights: torch.Tensor | None = None,
        drawn: Drawn | None = None,
    ) -> None:
        """
        Args:
            images: how many there are.
            size: images per batch, of all processes together.
            seed: of the order; None: in the data set's order, epoch 0.
            rank: of this process.
            processes: that share the batches.
            weights: (images,), of a shuffled order; None: all the same.
            drawn: which images an epoch shows, of a shuffled order; None: all once.
        """
        self._images = images
        self.size = size
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.weights = weights
        self.drawn = drawn
        self.epoch = 0
        self._shown: tuple[int, Sequence[tuple[int, int]]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before every epoch."""
        self.epoch = epoch

    @property
    def images(self) -> int:
        """How many the epoch shows."""
        return self._images if self.drawn is None else len(self._keys)

    @property
    def _keys(self) -> Sequence[tuple[int, int]]:
        """What was drawn for this epoch."""
        assert self.drawn is not None
        if self._shown is None or self._shown[0] != self.epoch:
            self._shown = self.epoch, self.drawn(self.epoch)
        return self._shown[1]

    @property
    def sampler(self) -> Self:
        """Where Lightning looks for `set_epoch`."""
        return self

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def _starts(self) -> range:
        """Where in the order each batch begins."""
        joined = self.seed is not None and self.images > self.size and self.images % self.size == 1
        return range(0, self.images - joined, self.size)

    @property
    def smallest(self) -> int:
        """Images of the smallest batch, of all processes together."""
        return min(self.size, self.images - self._starts[-1])

    def __iter__(self) -> Iterator[list[Key]]:
        order = [(0, each) for each in range(self.images)]
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = self._drawn_order(generator)
        for start in self._starts:
            end = self.images if start == self._starts[-1] else start + self.size
            keys = [(epoch, each, True) for epoch, each in order[start:end]]
            keys += [(*keys[0][:2], False)] * (self.processes - len(keys))
            yield keys[self.rank :: self.processes]

    def _drawn_order(self, generator: torch.Generator) -> list[tuple[int, int]]:
        """(epoch, position) of every image of an epoch, in order."""
        order = torch.randperm(self.images, generator=generator)
        if self.drawn is not None:
            return [self._keys[each] for each in order.tolist()]
        if self.weights is None:
            return [(self.epoch, each) for each in order.tolist()]
        share = self.weights[order].double().cumsum(0)
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        ends = (share / share[-1] * self.images + start).floor().long()
        times = ends.diff(prepend=torch.zeros(1, dtype=torch.long))
        again = [
            (self.epoch + MANY_EPOCHS * time, position)
            for position, count in zip(order.tolist(), times.tolist(), strict=True)
            for time in range(count)
        ]
        mixed = torch.randperm(self.images, generator=generator)
        return [again[each] for each in mixed.tolist()]


def make_loader(
    dataset: Dataset[Any], batches: Batches, workers: int, persistent: bool = False
) -> DataLoader[Any]:
    """Batches of (images uint8 or features float32, labels float32)."""
    # A worker without a batch would only take memory. Those that end with the batches, of which B
    # take b seconds of one worker each, cost s seconds each to start, one after the other: n of
    # them take n s + B b / n, least for n = sqrt(B b / s); beside a GPU, b is about twice s.
    enough = len(batches) if persistent else math.ceil(math.sqrt(2 * len(batches)))
    workers = min(workers, enough, len(batches))
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=persistent and workers > 0,
        pin_memory=torch.cuda.is_available(),
        # A generator of its own keeps the global random state free of the loader's draws.
        generator=torch.Generator(),
    )


def plain_loader(dataset: LabelledDataset, size: int, workers: int) -> DataLoader[Any]:
    """All images once, in order."""
    return make_loader(dataset, Batches(len(dataset), size), workers)
