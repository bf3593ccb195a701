"""Images from the store as tensors, the same whichever process reads them."""

import copy
import zlib
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from torch.utils.data import Dataset

from foldwise.images.store import ImageStore
from foldwise.model.geometry import cut, resize, scaled
from foldwise.model.settings import Model

Key = tuple[int, int, bool]
"""(epoch, position, whether it counts): what a loader asks a data set for."""

MANY_EPOCHS = 1 << 20
"""More than any training has. Where an epoch shows an image again, the n-th time stands in keys as
epoch + n * MANY_EPOCHS, so that something else is drawn for it."""

Augmentation = Callable[[np.ndarray, int], np.ndarray]
"""An image, uint8 (height, width, channels), and a random seed, to the image augmented."""


class LabelledDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Items with labels; an item that does not count has labels of -1 alone."""

    def __init__(self, ids: Sequence[str], labels: np.ndarray | torch.Tensor, seed: int) -> None:
        """
        Args:
            ids: of the images, in order.
            labels: (images, classes).
            seed: of what is drawn per image and epoch.
        """
        self.ids = list(ids)
        self.labels = torch.as_tensor(labels).to(torch.float32, copy=True)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | Key) -> tuple[torch.Tensor, torch.Tensor]:
        """The item's input, and its labels, float32 (classes,)."""
        epoch, position, counts = key if isinstance(key, tuple) else (0, key, True)
        found, labels = self.item(epoch, position)
        return found, labels if counts else torch.full_like(labels, -1)

    def item(self, epoch: int, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What `__getitem__` gives, of an item that counts."""
        return self.input(epoch, position), self.labels[position]

    def input(self, epoch: int, position: int) -> torch.Tensor:
        """What the network, or its head, gets."""
        raise NotImplementedError

    def drawn(self, epoch: int, position: int) -> int:
        """The random seed of one image in one epoch."""
        return augmentation_seed(self.seed, epoch, self.ids[position])


class ImageDataset(LabelledDataset):
    """Images and labels; an item's key is its position, or a `Key`."""

    def __init__(
        self,
        store: ImageStore,
        ids: Sequence[str],
        labels: np.ndarray | torch.Tensor,
        model: Model,
        augment: Augmentation | None = None,
        augment_from: str = "resized",
        seed: int = 0,
        sizes: Sequence[int] = (),
    ) -> None:
        """
        Args:
            store: where the images are.
            ids: which images, in order.
            labels: (images, classes).
            model: says what size images are brought to, and how many channels they have.
            augment: what is done with an image; its seed comes from (seed, epoch, image id) alone.
            augment_from: `resized` or `original` images are augmented.
            seed: of the augmentation.
            sizes: to which squares are scaled down in each epoch; none: not at all.
        """
        super().__init__(ids, labels, seed)
        self.store = store
        self.model = model
        self.augment = augment
        self.augment_from = augment_from
        self.sizes = tuple(sizes)

    def input(self, epoch: int, position: int) -> torch.Tensor:
        """An image, uint8 (channels, height, width), or its five crops (5, channels, ...)."""
        pixels = self.store.pixels(self.ids[position], self.model.channels)
        return self.prepared(pixels, epoch, position, self.model)

    def prepared(self, pixels: np.ndarray, epoch: int, position: int, model: Model) -> torch.Tensor:
        """A decoded image, augmented and brought to a model's size, as `input` has it."""
        seed = 0 if self.augment is None else self.drawn(epoch, position)
        if self.augment is not None and self.augment_from == "original":
            pixels = self.augment(pixels, seed)
        pixels = resize(pixels, model)
        if self.augment is not None and self.augment_from == "resized":
            pixels = self.augment(pixels, seed)
        squares = cut(pixels, model)
        if self.sizes:
            squares = scaled(squares, self.sizes[epoch % MANY_EPOCHS])
        return torch.from_numpy(np.array(np.moveaxis(squares, -1, -3)))

    def with_rows(self, ids: Sequence[str], labels: np.ndarray) -> Self:
        """The same with further images behind its own, of the same store."""
        more = copy.copy(self)
        more.ids = [*self.ids, *ids]
        more.labels = torch.cat([self.labels, torch.as_tensor(labels).float()])
        return more

    def only(self, positions: Sequence[int], augmented: bool) -> "ImageDataset":
        """The same with fewer images."""
        return ImageDataset(
            self.store,
            [self.ids[position] for position in positions],
            self.labels[list(positions)],
            self.model,
            self.augment if augmented else None,
            self.augment_from,
            self.seed,
            self.sizes,
        )

    def growing(self, sizes: Sequence[int]) -> Self:
        """The same, scaled down to these sizes, one for each epoch."""
        grown = copy.copy(self)
        grown.sizes = tuple(sizes)
        return grown


def augmentation_seed(seed: int, epoch: int, id: str) -> int:
    """The random seed of one image's augmentation in one epoch."""
    sequence = np.random.SeedSequence((seed, epoch, zlib.crc32(id.encode())))
    return int(sequence.generate_state(1)[0])
