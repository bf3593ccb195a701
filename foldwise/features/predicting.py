"""Logits of a trained member, through views: by its whole network, or on features that are kept."""

from collections.abc import Callable, Mapping

import numpy as np

from foldwise.core.progress import track
from foldwise.features.kept import FeatureFolder, frozen_features
from foldwise.inference.runtime import ready
from foldwise.inference.view_logits import (
    ThroughViews,
    cut_to_crops,
    head_logits,
    view_logits,
)
from foldwise.model.classifier import Normalizer
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_device, worker_count
from foldwise.model.loader import plain_loader
from foldwise.model.saved import TrainedMember
from foldwise.model.settings import Compute
from foldwise.model.views import CENTRE, make_view
from foldwise.view_names import Views

Predicted = Callable[[str], np.ndarray]
"""The name of a part to its logits, float32 (views, images, classes)."""


def member_logits(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    kept: FeatureFolder,
    source: str,
    title: str,
) -> Predicted:
    """What gives the logits of every part.

    Args:
        trained: the member.
        data: images by the name of their part, cut to what the views need; some are not empty.
        names: of the views.
        compute: where it runs.
        kept: where features of frozen backbones are kept.
        source: of the network, where its logits are no numbers.
        title: of the network, while it works.
    """
    if trained.frozen:
        return _by_features(trained, data, names, compute, kept, source)
    return _by_network(trained, data, names, compute, source, title)


def _by_network(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    source: str,
    title: str,
) -> Predicted:
    """Every image is seen by the whole network."""
    network, views = trained.network, [make_view(name) for name in names]
    device = choose_device(compute.accelerator)
    if compute.channels_last:
        network.use_channels_last()
    first = next(each for each in data.values() if len(each))
    normalized = Normalizer(*first.model.mean_and_std())(first.input(0, 0))
    if compute.compile:
        network.compile()
    forward = ready(
        network,
        normalized[CENTRE] if cut_to_crops(views) else normalized,
        device,
        "torch" if compute.compile else compute.engine,
        passes=len(views) * sum(map(len, data.values())),
    )
    seen = ThroughViews(forward, first.model, views, trained.softmax)
    workers = worker_count(compute.workers, device)

    def predicted(part: str) -> np.ndarray:
        loader = plain_loader(data[part], compute.batch_size, workers)
        batches = track(loader, len(loader), f"{title}: {part}")
        return view_logits(seen, batches, device, source)

    return predicted


def _by_features(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    kept: FeatureFolder,
    source: str,
) -> Predicted:
    """The same by a head of this fold's own, on features that all folds share."""
    network = trained.network

    def predicted(part: str) -> np.ndarray:
        features = frozen_features(kept, network, data[part], names, compute)
        ids = data[part].ids
        return head_logits(network, features.through, len(names), ids, trained.softmax, source)

    return predicted
