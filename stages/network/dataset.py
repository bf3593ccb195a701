"""Images from the store as tensors, the same whichever process reads them."""

import os
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from stages.images.store import ImageStore
from stages.settings.augment import apply_augment

if TYPE_CHECKING:
    import albumentations


class ImageDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images and labels; an item's key is its position, or (epoch, position) where augmented."""

    def __init__(
        self,
        store: ImageStore,
        ids: Sequence[str],
        labels: np.ndarray,
        image_size: int,
        channels: int,
        augment: "albumentations.Compose | None" = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            store: where the images are.
            ids: which images, in order.
            labels: (images, classes).
            image_size: height and width in pixels that every image is resized to.
            channels: 1 (grey) or 3 (RGB).
            augment: applied after resizing; drawn from (seed, epoch, image id) alone.
            seed: of the augmentation.
        """
        self.store = store
        self.ids = list(ids)
        self.labels = torch.as_tensor(np.array(labels), dtype=torch.float32)
        self.image_size = image_size
        self.channels = channels
        self.augment = augment
        self.seed = seed

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """An image, uint8 (channels, height, width), and its labels, float32 (classes,)."""
        epoch, position = key if isinstance(key, tuple) else (0, key)
        id = self.ids[position]
        pixels = self._resized(self.store.pixels(id, self.channels))
        if self.augment is not None:
            pixels = apply_augment(self.augment, pixels, augmentation_seed(self.seed, epoch, id))
        return torch.from_numpy(np.array(pixels.transpose(2, 0, 1))), self.labels[position]

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        size = (self.image_size, self.image_size)
        if pixels.shape[:2] == size:
            return pixels
        shrinks = min(pixels.shape[:2]) > self.image_size
        resized = cv2.resize(
            pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        return resized.reshape(*size, self.channels)


def augmentation_seed(seed: int, epoch: int, id: str) -> int:
    """The random seed of one image's augmentation in one epoch."""
    sequence = np.random.SeedSequence((seed, epoch, zlib.crc32(id.encode())))
    return int(sequence.generate_state(1)[0])


class EpochSampler(DistributedSampler[Any]):
    """Shuffles by (seed, epoch) and hands the epoch on, so that workers need no state."""

    def __init__(self, dataset: ImageDataset, seed: int) -> None:
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=True, seed=seed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, position) for position in super().__iter__())


def worker_count(workers: int | str, device: torch.device) -> int:
    """Processes that prepare images; `auto` is one per core beside a GPU, 8 at the most.

    On CPU it is none: there they would take their time from the network's own threads.
    """
    if workers != "auto":
        return int(workers)
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)


def choose_device(accelerator: str) -> torch.device:
    """The device of Lightning's name for it; `auto` takes a GPU where there is one."""
    if accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available()):
        return torch.device("cuda")
    if accelerator == "mps" or (accelerator == "auto" and torch.backends.mps.is_available()):
        return torch.device("mps")
    return torch.device("cpu")


def make_loader(
    dataset: ImageDataset, batch_size: int, workers: int, sampler: EpochSampler | None = None
) -> DataLoader[Any]:
    """Batches of (images uint8, labels float32), in the sampler's order or the data set's."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0 and sampler is not None,
        pin_memory=torch.cuda.is_available(),
        # A generator of its own keeps the global random state free of the loader's draws.
        generator=torch.Generator(),
    )
