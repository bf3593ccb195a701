"""Features of a frozen backbone, computed once per image and view and kept on disk."""

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foldwise.core.damage import file_sum
from foldwise.core.progress import track
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.dataset import ImageDataset, LabelledDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.loader import plain_loader
from foldwise.model.settings import Compute
from foldwise.model.views import make_view
from foldwise.training.keys import key_of

FEATURES = "features.npy"
CODE = (
    "foldwise/core",
    "foldwise/images",
    "foldwise/model",
    "foldwise/training/frozen_features.py",
    "foldwise/view_names.py",
)
"""What decides features: how a head is trained on them does not."""
INPUT = {
    "backbone",
    "options",
    "pooling",
    "views",
    "image_size",
    "shortest_edge",
    "channels",
    "normalize",
}
"""Of a model's settings those that do, beside its weights."""


class FeatureDataset(LabelledDataset):
    """Features of one view of an image: drawn per image and epoch, or always the first."""

    def __init__(
        self,
        features: np.ndarray,
        rows: Sequence[int],
        images: ImageDataset,
        drawn: bool,
    ) -> None:
        """
        Args:
            features: float32 (images, views, [crops,] features).
            rows: which of them are of these images, in order.
            images: that they were computed from.
            drawn: whether the view is drawn.
        """
        super().__init__(images.ids, images.labels, images.seed)
        self._features = features
        self._rows = list(rows)
        self._views = features.shape[1] if drawn else 1

    def input(self, epoch: int, position: int) -> torch.Tensor:
        """float32 ([crops,] features)."""
        view = self.drawn(epoch, position) % self._views
        return torch.from_numpy(np.array(self._features[self._rows[position], view]))


def feature_datasets(
    folder: Path,
    network: Classifier,
    train: ImageDataset,
    valid: ImageDataset,
    views: Sequence[str],
    compute: Compute,
) -> tuple[FeatureDataset, FeatureDataset]:
    """The features of the train and of the held-out images, instead of the images.

    Args:
        folder: holds one folder for each set of features; any run may use it.
        network: whose backbone is frozen.
        train: images, whose views are drawn per epoch.
        valid: images that are always seen through the first view.
        views: names.
        compute: where it runs.
    """
    # In an order that does not depend on the fold, so that all folds share one set.
    ids = sorted({*train.ids, *valid.ids})
    every = ImageDataset(train.store, ids, np.empty((len(ids), 0)), train.model)
    found = kept_features(folder, network, every, views, compute)
    row = {id: index for index, id in enumerate(ids)}
    return (
        FeatureDataset(found, [row[id] for id in train.ids], train, drawn=True),
        FeatureDataset(found, [row[id] for id in valid.ids], valid, drawn=False),
    )


def kept_features(
    folder: Path, network: Classifier, images: ImageDataset, views: Sequence[str], compute: Compute
) -> np.ndarray:
    """float32 (images, views, [crops,] features), mapped from a file below `folder`.

    Computed where there is no such file; a second process waits for the first. The file's name says
    all that decides what is in it: images, views, weights, code, and what it was computed by.
    """
    device = choose_device(compute.accelerator)
    dtype = DTYPES.get(choose_precision(compute.precision, device))
    shas = images.store.sha256()
    model = images.model.model_dump(include=INPUT)
    key = (model, [(id, shas[id]) for id in images.ids])
    weights = hashlib.sha256()
    for weight in network.backbone.state_dict().values():
        weights.update(weight.cpu().numpy().tobytes())
    name = key_of(CODE, key, list(views), str(device), str(dtype), weights.hexdigest())
    path = folder / name / FEATURES
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and not _features_intact(path):
            print(f"{path}: is damaged; computed anew", file=sys.stderr)
            path.unlink()
        if not path.exists():
            loader = plain_loader(images, compute.batch_size, worker_count(compute.workers, device))
            batches = track(loader, len(loader), "features of the frozen backbone")
            normalize = Normalizer(*images.model.mean_and_std()).to(device)
            partial = path.with_name("features.partial.npy")
            shape = (len(images), len(views))
            try:
                _compute(partial, shape, network.to(device), normalize, batches, views, dtype)
                _sum_file(path).write_text(file_sum(partial) + "\n", encoding="utf-8")
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    return np.lib.format.open_memmap(path, "r")


def _sum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _features_intact(path: Path) -> bool:
    """Whether the features are what was computed, by the sum beside them."""
    try:
        if _sum_file(path).read_bytes().strip() != file_sum(path).encode():
            return False
        np.lib.format.open_memmap(path, "r")
    except (FileNotFoundError, ValueError, EOFError):
        return False
    return True


def _reserve(path: Path) -> None:
    """Take the space of a mapped file: on a full disk, writing to it would kill the process."""
    if sys.platform == "darwin":
        return  # which has no such call
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None


@torch.inference_mode()
def _compute(
    path: Path,
    shape: tuple[int, int],
    network: Classifier,
    normalize: Normalizer,
    batches: Iterable[Any],
    views: Sequence[str],
    dtype: torch.dtype | None,
) -> None:
    """Write an array of shape (images, views, ...) batch by batch."""
    made = [make_view(name) for name in views]
    device = normalize.mean.device
    training = network.training
    network.eval()
    out: np.memmap[Any, Any] | None = None
    start = 0
    for pixels, _ in batches:
        seen = normalize(pixels.to(device, non_blocking=True))
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            found = torch.stack([network.features(view(seen)).float() for view in made], 1)
        if out is None:
            whole = (*shape, *found.shape[2:])
            out = np.lib.format.open_memmap(path, "w+", np.float32, whole)
            _reserve(path)
        out[start : start + len(found)] = found.cpu().numpy()
        start += len(found)
    assert out is not None
    out.flush()
    network.train(training)
