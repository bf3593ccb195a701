"""Features of a frozen backbone, computed once per image and view and kept on disk."""

import fcntl
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foldwise.core.progress import track
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.dataset import ImageDataset, LabelledDataset
from foldwise.model.loader import plain_loader
from foldwise.model.views import make_view
from foldwise.training.checkpoint import key_of

FEATURES = "features.npy"
CODE = (
    "foldwise/core",
    "foldwise/images",
    "foldwise/model",
    "foldwise/training/frozen_features.py",
    "foldwise/view_names.py",
)
"""What decides features: how a head is trained on them does not."""


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


def kept_features(
    folder: Path,
    network: Classifier,
    normalize: Normalizer,
    images: ImageDataset,
    views: Sequence[str],
    key: Any,
    batch_size: int,
    workers: int,
    device: torch.device,
    dtype: torch.dtype | None,
) -> np.ndarray:
    """float32 (images, views, [crops,] features), mapped from a file below `folder`.

    Computed where there is no such file; a second process waits for the first.

    Args:
        folder: holds one folder for each set of features.
        network: whose backbone is frozen.
        normalize: from pixels to what the network takes.
        images: not augmented.
        views: names, each applied to every image.
        key: anything with a stable `repr` that, with weights and views, decides the features.
        batch_size: images at a time.
        workers: processes that read images.
        device: to run on.
        dtype: of automatic mixed precision, or None for full precision.
    """
    weights = hashlib.sha256()
    for weight in network.backbone.state_dict().values():
        weights.update(weight.cpu().numpy().tobytes())
    name = key_of(CODE, key, list(views), str(device), str(dtype), weights.hexdigest())
    path = folder / name / FEATURES
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            loader = plain_loader(images, batch_size, workers)
            batches = track(loader, len(loader), "features of the frozen backbone")
            partial = path.with_name("features.partial.npy")
            _compute(
                partial,
                network.to(device),
                normalize.to(device),
                batches,
                len(images),
                views,
                device,
                dtype,
            )
            partial.replace(path)
    return np.load(path, mmap_mode="r")


@torch.inference_mode()
def _compute(
    path: Path,
    network: Classifier,
    normalize: Normalizer,
    batches: Any,
    count: int,
    views: Sequence[str],
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    made = [make_view(name) for name in views]
    training = network.training
    network.eval()
    out: np.memmap[Any, Any] | None = None
    start = 0
    for pixels, _ in batches:
        seen = normalize(pixels.to(device, non_blocking=True))
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            found = torch.stack([network.features(view(seen)).float() for view in made], 1)
        if out is None:
            shape = (count, *found.shape[1:])
            out = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        out[start : start + len(found)] = found.cpu().numpy()
        start += len(found)
    assert out is not None
    out.flush()
    network.train(training)
