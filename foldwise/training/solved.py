"""A member whose backbone stays as it is and whose head is solved: no steps, no epochs."""

import time

import numpy as np
import torch

from foldwise.features.kept import FeatureFolder
from foldwise.model.classifier import Classifier
from foldwise.model.dataset import ImageDataset
from foldwise.model.settings import Compute
from foldwise.training.curves import Curves
from foldwise.training.frozen_features import FeatureDataset, feature_datasets
from foldwise.training.logistic import fit_head
from foldwise.training.losses import Loss
from foldwise.training.metrics import EpochMetrics
from foldwise.training.settings import Recipe


def solve_member(
    recipe: Recipe,
    network: Classifier,
    data: tuple[ImageDataset, ImageDataset],
    groups: np.ndarray,
    features: FeatureFolder,
    compute: Compute,
    curves: Curves,
) -> None:
    """Solve the head of a network whose backbone is frozen; the curves get one row.

    Args:
        recipe: of the member, with `freeze.head: logistic`.
        network: that gets the head.
        data: images to fit to, and held-out ones.
        groups: folds of the images that are fitted to.
        features: where they are kept.
        compute: where they are computed.
        curves: log what came out.
    """
    freeze = recipe.train.freeze
    assert freeze is not None
    train, valid = feature_datasets(features, network, *data, freeze.views, compute)
    start = time.monotonic()
    views = [train.through(view) for view in range(len(freeze.views))]
    chosen = fit_head(
        network, views, train.labels.numpy(), groups, freeze.strengths, recipe.softmax
    )
    row = _scores(recipe, network, train, valid) | {"C": chosen}
    curves.solved(row, time.monotonic() - start)


@torch.inference_mode()
def _scores(
    recipe: Recipe, network: Classifier, train: FeatureDataset, valid: FeatureDataset
) -> dict[str, float]:
    """What an epoch of training logs, of all images through their first view."""
    loss = Loss(recipe.train.loss, recipe.train.loss_options, train.labels)
    metrics = EpochMetrics(train.labels.shape[1], loss)
    logits = network.head(torch.from_numpy(valid.through(0)))
    metrics.update(valid.labels, logits)
    of_train = loss(network.head(torch.from_numpy(train.through(0))), train.labels)
    found = {name: float(value) for name, value in metrics.compute_and_reset().items()}
    return {"train_loss": float(of_train)} | found
