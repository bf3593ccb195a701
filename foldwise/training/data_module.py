"""What a member is fed in each epoch: images or, while its backbone is frozen, their features."""

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
from torch.utils.data import DataLoader

from foldwise.features.kept import FeatureFolder
from foldwise.model.dataset import ImageDataset, LabelledDataset
from foldwise.model.hardware import choose_device, worker_count
from foldwise.model.loader import Batches, make_loader
from foldwise.model.settings import Compute
from foldwise.training.distributed import process_count
from foldwise.training.frozen_features import feature_datasets
from foldwise.training.learned_rows import LearnedRows
from foldwise.training.lightning_module import MemberModule
from foldwise.training.sampling import image_weights
from foldwise.training.settings import Recipe

Pair = tuple[LabelledDataset, LabelledDataset]


class DataModule(pl.LightningDataModule):
    """Loaders of the train and the held-out images, this process's share of every batch."""

    def __init__(
        self,
        member: MemberModule,
        train: ImageDataset,
        valid: ImageDataset,
        seed: int,
        compute: Compute,
        features: FeatureFolder,
        learned: LearnedRows | None = None,
        taught: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            member: that is fed.
            train: images that may be augmented.
            valid: the held-out images.
            seed: of the order.
            compute: where it runs.
            features: where those of frozen backbones are kept.
            learned: all that is learned from, where that is more than `train`.
            taught: (stored images, classes) soft targets of those, if there are any.
        """
        super().__init__()
        self._member = member
        self._recipe = member.recipe
        self._compute = compute
        self._seed = seed
        device = choose_device(compute.accelerator)
        local = process_count(compute) // compute.num_nodes
        self._workers = worker_count(compute.workers, device, local)
        self._folder = features
        self._epoch = 0
        sizes = self._recipe.sizes
        self._learned = learned if learned is None else learned.growing(sizes)
        self._taught = taught
        stored = train.growing(sizes) if self._learned is None else self._learned.stored
        self._images = (stored, valid)
        balanced = self._recipe.train.sampler == "balanced"
        self._weights = image_weights(train.labels) if balanced else None
        self._features: Pair | None = None
        self._loader: tuple[bool, DataLoader[Any]] | None = None

    def setup(self, stage: str) -> None:
        """Compute the features of a frozen backbone, or find them where an earlier run left them.

        Lightning calls it once the trainer is there, before the first loader is asked for.
        """
        freeze = self._recipe.train.freeze
        if freeze is None or stage != "fit":
            return
        self._features = feature_datasets(
            self._folder, self._member.network, *self._images, freeze.views, self._compute
        )

    def start_at(self, epoch: int) -> None:
        """Say at which epoch a resumed training goes on."""
        self._epoch = epoch

    def _now(self) -> int:
        assert self.trainer is not None
        # After the last epoch, what was trained last is judged.
        return min(max(self._epoch, self.trainer.current_epoch), self._recipe.epochs - 1)

    def _batches(self, dataset: LabelledDataset, size: int, seed: int | None) -> Batches:
        assert self.trainer is not None
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        if seed is None:
            return Batches(len(dataset), size, None, rank, processes)
        drawn = None if self._learned is None else self._learned.mixture.drawn
        return Batches(len(dataset), size, seed, rank, processes, self._weights, drawn)

    def steps(self) -> int | None:
        """Of the optimizer in all epochs, where these differ; else None."""
        if self._learned is None or self._learned.mixture.even(self._recipe.epochs):
            return None
        train = self._recipe.train
        batches = Batches(0, train.batch_size, self._seed, drawn=self._learned.mixture.drawn)
        found = 0
        for epoch in range(self._recipe.epochs):
            batches.set_epoch(epoch)
            found += math.ceil(len(batches) / train.accumulate)
        return found

    def _pair(self) -> tuple[bool, Pair]:
        frozen = self._now() < self._recipe.frozen_epochs
        if frozen:
            assert self._features is not None
            return True, self._features
        return False, self._images

    def train_dataloader(self) -> DataLoader[Any]:
        """The same loader, whose workers live on, until the backbone is set free."""
        frozen, (train, _) = self._pair()
        if self._loader is None or self._loader[0] != frozen:
            batches = self._batches(train, self._recipe.train.batch_size, self._seed)
            batches.set_epoch(self._now())
            workers = 0 if frozen else self._workers
            data = train if self._learned is None else self._learned.dataset(train, self._taught)
            self._loader = frozen, make_loader(data, batches, workers, persistent=True)
        # Lightning asks again where epochs differ in length.
        self._loader[1].batch_sampler.sampler.set_epoch(self._now())  # type: ignore[union-attr]
        return self._loader[1]

    def val_dataloader(self) -> DataLoader[Any]:
        """All held-out images, in order."""
        frozen, (_, valid) = self._pair()
        batches = self._batches(valid, self._compute.batch_size, None)
        return make_loader(valid, batches, 0 if frozen else self._workers)


def few_batches(recipe: Recipe, train: ImageDataset) -> tuple[Recipe, ImageDataset]:
    """The images of `train.overfit_batches` batches, as they are, and the recipe without mixing.

    A network that cannot learn a handful of images by heart has a fault that more would hide.
    """
    count = (recipe.train.overfit_batches or 0) * recipe.train.batch_size
    drawn = np.random.default_rng(recipe.seed).permutation(len(train))[:count]
    unmixed = recipe.train.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    return (
        recipe.model_copy(update={"train": unmixed}),
        train.only(sorted(drawn.tolist()), augmented=False),
    )
