"""Own images, extra and composed ones as one data set, each with a weight and soft targets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from foldwise.model.dataset import Key, LabelledDataset
from foldwise.training.composed import ComposedDataset


class MixedItem(NamedTuple):
    """One image; of a loader's batches, all of them."""

    input: torch.Tensor
    """What the network, or its head, gets."""
    labels: torch.Tensor
    """float32 (classes,): 1, 0 or -1; all -1 where there are none."""
    weight: torch.Tensor
    """float32 (1,): of its loss."""
    taught: torch.Tensor
    """float32 (classes,): probabilities by the teacher; -1 where there is none."""


class MixedDataset(Dataset[MixedItem]):
    """Stored images first, then as many composed ones as an epoch shows."""

    def __init__(
        self,
        stored: LabelledDataset,
        composed: Sequence[ComposedDataset],
        weights: np.ndarray,
        taught: np.ndarray | None,
    ) -> None:
        """
        Args:
            stored: own and extra images, or their features.
            composed: sources of composed ones, in the order of their positions.
            weights: (positions,).
            taught: (stored images, classes) probabilities, -1 where no teacher teaches.
        """
        self._parts: list[LabelledDataset] = [stored, *composed]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._weights = torch.as_tensor(weights, dtype=torch.float32)
        self._taught = None if taught is None else torch.as_tensor(taught, dtype=torch.float32)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, key: Key) -> MixedItem:
        epoch, position, counts = key
        part = int(np.searchsorted(self._starts, position, "right")) - 1
        inside = position - int(self._starts[part])
        found, labels = self._parts[part][epoch, inside, counts]
        taught = torch.full_like(labels, -1)
        if self._taught is not None and part == 0 and counts:
            taught = self._taught[inside]
        return MixedItem(found, labels, self._weights[position : position + 1], taught)
