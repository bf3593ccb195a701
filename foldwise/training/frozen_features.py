"""What is learned from while a backbone is frozen: its features instead of images."""

from collections.abc import Sequence

import numpy as np
import torch

from foldwise.features.kept import FeatureFolder, FrozenFeatures, frozen_features
from foldwise.model.classifier import Classifier
from foldwise.model.dataset import ImageDataset, LabelledDataset
from foldwise.model.settings import Compute


class FeatureDataset(LabelledDataset):
    """Features of one view of an image: drawn per image and epoch, or always the first."""

    def __init__(self, features: FrozenFeatures, images: ImageDataset, drawn_from: int) -> None:
        """
        Args:
            features: of these images at least.
            images: that they were computed from.
            drawn_from: of how many views one is drawn; 1: always the first.
        """
        super().__init__(images.ids, images.labels, images.seed)
        self._features = features
        self._views = drawn_from

    def input(self, epoch: int, position: int) -> torch.Tensor:
        """float32 ([crops,] features)."""
        view = self.drawn(epoch, position) % self._views
        return torch.from_numpy(self._features.of(self.ids[position], view))

    def through(self, view: int) -> np.ndarray:
        """float32 (images, [crops,] features) of all images through one view."""
        return self._features.through(view, self.ids)


def feature_datasets(
    folder: FeatureFolder,
    network: Classifier,
    train: ImageDataset,
    valid: ImageDataset,
    views: Sequence[str],
    compute: Compute,
) -> tuple[FeatureDataset, FeatureDataset]:
    """The features of the train and of the held-out images, instead of the images.

    Args:
        folder: where they are kept.
        network: whose backbone is frozen.
        train: images, whose views are drawn per epoch.
        valid: images that are always seen through the first view.
        views: names.
        compute: where it runs.
    """
    ids = sorted({*train.ids, *valid.ids})
    every = ImageDataset(train.store, ids, np.empty((len(ids), 0)), train.model)
    found = frozen_features(folder, network, every, views, compute)
    return FeatureDataset(found, train, len(views)), FeatureDataset(found, valid, 1)
