"""Test-time augmentation by four rotations over five folds, beside the ways it was published.

`python -m benchmarks.predict [backbone] [side] [images] [accelerator]`, after
`uv pip install edafa ttach`, composes images and predicts them by five networks in turn:

- by what `predict` runs;
- by edafa's ClassPredictor, an image at a time out of batches of 8, as DACON's 4th place did;
- by ttach's ClassificationTTAWrapper;
- and, as the limit, by four plain forward passes of one prepared batch in channels_last.

It prints, as Markdown, images per second of each (the fastest of some rounds) and their ratios. On
a GPU edafa, which takes one image after the other, sees a sixteenth of them.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

# Peers, which only who measures installs.
import ttach  # type: ignore[import-not-found,unused-ignore]
from edafa import ClassPredictor  # type: ignore[import-not-found,unused-ignore]
from torch import nn

from benchmarks.machine import machine
from benchmarks.train import composed
from foldwise.ensembling.merge import merge_logits
from foldwise.inference.runtime import Forward, ready, whole_float32
from foldwise.inference.view_logits import ThroughViews, view_logits
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_device, worker_count
from foldwise.model.loader import plain_loader
from foldwise.model.settings import Model
from foldwise.model.views import make_view
from foldwise.scoring.probability import sigmoid

Engine = Literal["torch", "onnx"]
FOLDS, CLASSES, BATCH = 5, 26, 64
ROUNDS = {"cpu": 3, "cuda": 1}
VIEWS = ("identity", "rot90", "rot180", "rot270")


def networks(model: Model) -> list[Classifier]:
    """One per fold, with weights of its own."""
    made = []
    for fold in range(FOLDS):
        torch.manual_seed(fold)
        made.append(build_network(model, CLASSES).eval())
    return made


def made_ready(
    folds: list[Classifier], data: ImageDataset, device: torch.device, engine: Engine
) -> list[Forward]:
    """As `stages.predict` does it once per fold, whatever the number of images; not timed."""
    normalize = Normalizer(*data.model.mean_and_std())
    forwards = []
    for network in folds:
        network.use_channels_last()
        forwards.append(ready(network, normalize(data[0][0]), device, engine, len(data)))
    return forwards


def by_predict(folds: list[Forward], data: ImageDataset, device: torch.device) -> np.ndarray:
    """Mean probability over views, of each fold, as `stages.predict` does it."""
    views = [make_view(name) for name in VIEWS]
    found = []
    for forward in folds:
        batches = _watched(plain_loader(data, BATCH, worker_count("auto", device)))
        logits = view_logits(ThroughViews(forward, data.model, views), batches, device, "network")
        found.append(sigmoid(merge_logits(logits, "mean_probability")))
    return np.stack(found)


def _watched(batches: Iterable[Any]) -> Iterator[Any]:
    """Tells what the network waits for: the first batch, and all others."""
    start, waited = time.perf_counter(), []
    each = iter(batches)
    while True:
        begin = time.perf_counter()
        batch = next(each, None)
        waited.append(time.perf_counter() - begin)
        if batch is None:
            break
        yield batch
    took = time.perf_counter() - start
    first, *others, _ = waited
    text = f"of {took:.2f} s {first:.2f} for the first batch, {sum(others):.2f} for others"
    print(text, file=sys.stderr, flush=True)


class Edafa(ClassPredictor):  # type: ignore[misc,unused-ignore]
    """Its predictor around a torch network."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        augs = ["NO", "ROT90", "ROT180", "ROT270"]
        super().__init__(json.dumps({"augs": augs, "mean": "ARITH"}))
        self.network, self.device = network, device

    def predict_patches(self, patches: np.ndarray) -> np.ndarray:
        """(patches, height, width, channels) to probabilities."""
        images = torch.from_numpy(patches).permute(0, 3, 1, 2).contiguous().to(self.device)
        with torch.inference_mode():
            return self.network(images).sigmoid().cpu().numpy()


def by_edafa(folds: list[Classifier], data: ImageDataset, device: torch.device) -> np.ndarray:
    """The same, by edafa."""
    normalize = Normalizer(*data.model.mean_and_std())
    found = []
    for network in folds:
        predictor = Edafa(network.to(device), device)
        parts = []
        for images, _ in plain_loader(data, 8, worker_count("auto", device)):
            pixels = normalize(images).permute(0, 2, 3, 1).contiguous().numpy()
            parts.append(predictor.predict_images(list(pixels)))
        found.append(np.concatenate(parts))
    return np.stack(found)


def by_ttach(folds: list[Classifier], data: ImageDataset, device: torch.device) -> np.ndarray:
    """The same, by ttach: the mean of logits is its way, so probabilities are merged."""
    normalize = Normalizer(*data.model.mean_and_std()).to(device)
    turns = ttach.Compose([ttach.Rotate90(angles=[0, 90, 180, 270])])
    found = []
    with torch.inference_mode():
        for network in folds:
            wrapped = ttach.ClassificationTTAWrapper(
                nn.Sequential(network, nn.Sigmoid()).to(device), turns, merge_mode="mean"
            )
            batches = plain_loader(data, BATCH, worker_count("auto", device))
            parts = [wrapped(normalize(images.to(device))).cpu() for images, _ in batches]
            found.append(torch.cat(parts).numpy())
    return np.stack(found)


def by_limit(folds: list[Classifier], data: ImageDataset, device: torch.device) -> None:
    """Four forward passes of as many prepared batches, and nothing else."""
    pixels = Normalizer(*data.model.mean_and_std())(torch.stack([data[i][0] for i in range(BATCH)]))
    pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for network in folds:
            network.to(device).use_channels_last()
            for _ in range(len(data) // BATCH * len(VIEWS)):
                network(pixels)
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(folder: Path, backbone: str, side: int, images: int, accelerator: str) -> None:
    model = Model(backbone=backbone, image_size=side)
    store = composed(folder, side, images)
    data = ImageDataset(store, store.ids, np.empty((images, 0)), model)
    device = choose_device(accelerator)
    # Networks of their own for each: channels_last weights would make the others faster.
    engines: list[Engine] = ["torch"] if device.type == "cuda" else ["onnx", "torch"]
    prepared: dict[str, list[Any]] = {
        f"`predict`, engine {engine}": made_ready(networks(model), data, device, engine)
        for engine in engines
    }
    first = next(iter(prepared))
    ways: dict[str, Callable[..., Any]] = dict.fromkeys(prepared, by_predict) | {
        "edafa's ClassPredictor": by_edafa,
        "ttach": by_ttach,
        "limit: plain channels_last": by_limit,
    }
    made: dict[str, list[Any]] = {name: prepared.get(name) or networks(model) for name in ways}
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else ""
    few = data.only(range(min(images, 16)), augmented=False)
    with whole_float32():
        found = [way(made[name][:1], few, device) for name, way in list(ways.items())[:-1]]
    for way in (by_predict, by_ttach, by_limit) if gpu else ():
        # What cuDNN makes ready at first.
        name = next(name for name, each in ways.items() if each is way)
        way(made[name][:1], data.only(range(BATCH), augmented=False), device)
    apart = max(np.abs(np.asarray(found[0]) - np.asarray(other)).max() for other in found[1:])
    seen = dict.fromkeys(ways, data)
    if gpu:
        seen["edafa's ClassPredictor"] = data.only(range(images // 16), augmented=False)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS[device.type]):
        for name, way in ways.items():
            took = seconds(lambda: way(made[name], seen[name], device))  # noqa: B023  # called at once
            rates[name].append(len(seen[name]) / took)
            print(name, rates[name][-1], file=sys.stderr, flush=True)
    best = {name: max(each) for name, each in rates.items()}
    print(
        f"{backbone} at {side} pixels, {images} images, {len(VIEWS)} views, {FOLDS} folds. "
        f"{gpu} {machine()} torch {torch.__version__}. Probabilities differ by {apart:.1e}.\n"
    )
    assert apart < 1e-4
    print("| way | images/s | `predict` is, times |\n|---|--:|--:|")
    for name, rate in best.items():
        print(f"| {name} | {rate:.1f} | {best[first] / rate:.2f} |")


if __name__ == "__main__":
    given = sys.argv[1:]
    defaults = ["torchvision/resnet18", "128", "64", "auto"]
    name_, side_, images_, accelerator_ = given + defaults[len(given) :]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), name_, int(side_), int(images_), accelerator_)
