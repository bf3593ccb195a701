"""Features of a frozen backbone, written to disk batch by batch."""

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foldwise.core.errors import UserError
from foldwise.core.progress import track
from foldwise.inference.runtime import Forward, features_alone, ready
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.loader import plain_loader
from foldwise.model.settings import Compute
from foldwise.model.views import CENTRE, View, make_view


class TooLargeError(Exception):
    """A feature that float16 cannot hold."""


def autocast_type(compute: Compute) -> torch.dtype | None:
    """What features are computed in, but for float32.

    On a CPU float32 unless another precision is asked for: onnxruntime is fast in that.
    """
    device = choose_device(compute.accelerator)
    if device.type == "cpu" and compute.precision == "auto":
        return None
    return DTYPES.get(choose_precision(compute.precision, device))


def write_features(
    paths: dict[str, Path],
    network: Classifier,
    images: ImageDataset,
    compute: Compute,
    cut: bool = False,
) -> None:
    """Compute the features of images through some views, each image decoded once.

    Args:
        paths: .npy file to write, by the name of its view: float16 (images, [crops,] features), or
            float32 where some are too large for that.
        network: whose backbone is frozen; it is left as it is.
        images: cut to what the views need.
        compute: where it runs.
        cut: images come as their five crops, of which each view takes one; else each view is of
            all there is.

    Raises:
        UserError: some features are no finite numbers.
    """
    device = choose_device(compute.accelerator)
    views = {name: make_view(name) for name in paths}
    normalize = Normalizer(*images.model.mean_and_std())
    alone = features_alone(network)
    if compute.channels_last:
        alone.use_channels_last()
    first = normalize(images.input(0, 0))
    if cut:
        first = first[CENTRE]
    dtype = autocast_type(compute)
    engine = compute.engine if dtype is None else "torch"
    # By the images of one view: what is asked for beside it must not change what it is.
    forward = ready(alone, first, device, engine, passes=len(images))
    what = f"features of {images.model.backbone}, {len(images)} images, {', '.join(views)}"
    for kind in (np.float16, np.float32):
        loader = plain_loader(images, compute.batch_size, worker_count(compute.workers, device))
        batches = _seen(
            forward, normalize.to(device), views, track(loader, len(loader), what), dtype, cut
        )
        try:
            _write_batches(paths, len(images), batches, kind)
        except TooLargeError:
            continue
        return


@torch.inference_mode()
def _seen(
    forward: Forward,
    normalize: Normalizer,
    views: dict[str, View],
    batches: Iterable[Any],
    dtype: torch.dtype | None,
    cut: bool,
) -> Iterable[dict[str, np.ndarray]]:
    """Of every batch, by the name of the view: float32 (images, [crops,] features)."""
    device = normalize.mean.device
    for images, _ in batches:
        pixels = normalize(images.to(device, non_blocking=True))
        crops = pixels.unbind(1) if cut else [pixels] * (CENTRE + 1)
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            found = {
                name: forward(view(crops[view.crop])).float().cpu().numpy()
                for name, view in views.items()
            }
        # Outside: who takes it must not compute in lower precision.
        yield found


def _write_batches(
    paths: dict[str, Path],
    images: int,
    batches: Iterable[dict[str, np.ndarray]],
    kind: type[np.float16 | np.float32],
) -> None:
    """Raises `TooLargeError` if `kind` cannot hold some feature, `UserError` if none could."""
    files: dict[str, np.memmap[Any, Any]] = {}
    start = 0
    for batch in batches:
        for name, found in batch.items():
            if name not in files:
                shape = (images, *found.shape[1:])
                files[name] = np.lib.format.open_memmap(paths[name], "w+", kind, shape)
                _reserve(paths[name])
            if not np.isfinite(found).all():
                raise UserError(
                    "features of a frozen backbone are no finite numbers: they are too large for "
                    "their precision, or its weights are damaged; write "
                    "`compute: {precision: 32-true}`, or get the weights anew"
                )
            if np.abs(found).max() > np.finfo(kind).max:
                raise TooLargeError
            files[name][start : start + len(found)] = found
        start += len(found)
    for file in files.values():
        file.flush()


def _reserve(path: Path) -> None:
    """Take the space of a mapped file: on a full disk, writing to it would kill the process."""
    if sys.platform == "darwin":
        return  # which has no such call
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
