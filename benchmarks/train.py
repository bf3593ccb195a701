"""The training loop on real images, beside the same network fed one batch in memory.

`python -m benchmarks.train [backbone] [side] [batch] [accelerator] [steps] [workers ...]` composes
images as noisy as dirty-MNIST's, trains with `fit_member`, and after every epoch lets a copy of the
network learn one prepared batch over and over in a plain loop. It prints, as Markdown, the images
per second of both and their ratio; medians of the epochs after the first. Without workers, which is
the way of a CPU, it also prints what share of the time images take. On a GPU, whose images workers
prepare, it prints what share of the time the GPU has nothing to do between one step and the next
(which waiting for images makes, and bringing them there), the plain loop without deterministic
kernels as well, and how much memory training takes.
"""

import copy
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from benchmarks.machine import machine
from foldwise.features.kept import FeatureFolder
from foldwise.images.decode import Inspected, inspect
from foldwise.images.store import ImageStore, ImageWriter
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.settings import Compute, Model
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree_mount import open_tree
from foldwise.training.augment import make_augment
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.optimizer import make_optimizer
from foldwise.training.settings import Recipe, Train

EPOCHS = {"cpu": 9, "cuda": 3}
PLAIN = 30
"""Steps of the plain loop at most."""
DISTINCT = 1024
"""Images in the store at most; an epoch shows them as often as its steps need."""


def composed(folder: Path, side: int, images: int) -> ImageStore:
    """A store of composed images, with dirty-MNIST's noise, which is what takes long to decode."""
    compose = {"canvas": side, "glyphs": [2, 5], "size": [side / 4, side / 2.5]}
    noise = {"noise": [0.9, 1.0], "noise_from": 0.0}
    glyphs = {"images": {"train": images, "test": 0}, "compose": compose | noise}
    sections = {"source": "glyphs", "path": str(folder), "extra_path": "extra", "glyphs": glyphs}
    data = Data.model_validate(sections)
    source = load_glyphs(data, open_tree([folder]), Problems(skip=False), folder)
    # By all cores, since a GPU would wait for them. Forked, before anything uses the GPU.
    pool = multiprocessing.get_context("fork").Pool(os.cpu_count(), _composes, (source,))
    with pool, ImageWriter(folder / "store") as writer:
        for id, found in zip(source.ids, pool.imap(_made, range(images), 16), strict=True):
            writer.add(id, *found)
    return ImageStore(folder / "store")


_source: Source
"""Of a process of the pool."""


def _composes(source: Source) -> None:
    global _source
    _source = source


def _made(position: int) -> tuple[bytes, Inspected]:
    content = _source.read(position)
    return content, inspect(content, 10**9)


class TimedDataset(ImageDataset):
    """Sums up the seconds that are spent on images, in this process."""

    clock: ClassVar[list[float]] = [0.0]
    """Its copies' as well."""

    def input(self, epoch: int, position: int) -> torch.Tensor:
        start = time.perf_counter()
        found = super().input(epoch, position)
        self.clock[0] += time.perf_counter() - start
        return found


class Timed(Curves):
    """Times every epoch and, after it, as many steps of the plain loop."""

    def __init__(
        self, folder: Path, recipe: Recipe, data: TimedDataset, dtype: Any, steps: int
    ) -> None:
        super().__init__(folder, "benchmark", recipe)
        self.recipe, self.data, self.dtype, self.steps = recipe, data, dtype, steps
        self.timings: list[dict[str, float]] = []
        self.begin = 0.0
        self.marks: list[Any] = []
        self.memory = 0.0
        self.plain: Any = None

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        super().on_train_epoch_start(trainer, module)
        self.data.clock[0] = 0.0
        self.marks = []
        self.begin = time.perf_counter()
        self._mark(module)

    def _mark(self, module: Any) -> None:
        if module.device.type == "cuda":
            made: Any = torch.cuda.Event  # without types
            self.marks.append(made(enable_timing=True))
            self.marks[-1].record()

    def on_train_batch_start(self, _: Any, module: Any, *__: Any) -> None:
        self._mark(module)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self._mark(module)
        if not trainer.is_last_batch:
            return
        _synchronize(module.device)
        loop = time.perf_counter() - self.begin
        images = self.steps * self.recipe.train.batch_size
        if module.device.type == "cuda" and not self.memory:
            # Before the plain loop takes some of its own.
            self.memory = torch.cuda.max_memory_allocated() / 2**30
        row = {"loop": images / loop, "data": self.data.clock[0] / loop}
        # Up to the start of a step, by the GPU's clock: from the epoch's, or the last one's end.
        idle = [one.elapsed_time(other) / 1000 for one, other in pairwise(self.marks)][::2]
        row |= {"first": sum(idle[:1]) / loop, "idle": sum(idle[1:]) / loop}
        row["plain"] = self.learn(module)
        self.timings.append(row)

    def learn(self, module: Any) -> float:
        """Images per second of the plain loop."""
        if self.plain is None:
            network = copy.deepcopy(module.network).train()
            items = [self.data[each] for each in range(self.recipe.train.batch_size)]
            pixels = module.normalize(torch.stack([each for each, _ in items]).to(module.device))
            labels = torch.stack([each for _, each in items]).to(module.device)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            self.plain = network, pixels, labels, make_optimizer(network, self.recipe)
        network, pixels, labels, optimizer = self.plain
        steps = min(self.steps, PLAIN)
        begin = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(module.device.type, self.dtype, enabled=self.dtype is not None):
                loss = module.loss(network(pixels), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _synchronize(module.device)
        return steps * len(pixels) / (time.perf_counter() - begin)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(
    folder: Path, backbone: str, side: int, batch: int, accelerator: str, steps: int, *workers: int
) -> None:
    device = choose_device(accelerator)
    model = Model(backbone=backbone, image_size=side)
    recipe = Recipe(
        member="m",
        model=model,
        lr=1e-3,
        epochs=EPOCHS[device.type],
        seed=0,
        train=Train(batch_size=batch),
    )
    images = steps * batch
    store = composed(folder, side, min(images, DISTINCT))
    ids = (store.ids * -(-images // DISTINCT))[:images]
    labels = np.random.default_rng(0).integers(0, 2, (images, 26))
    augment = make_augment(({"RandomRotate90": {"p": 0.5}}, {"HorizontalFlip": {"p": 0.5}}))
    precision = choose_precision("auto", device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    print(
        f"{backbone} at {side} pixels, batches of {batch}, {precision}, {steps} steps an epoch. "
        f"{name} {machine()} torch {torch.__version__}.\n"
    )
    gpu = device.type == "cuda"
    more = " GPU idle before the first step | between steps | GiB |" if gpu else " images take |"
    print(f"| workers | prepared batch, images/s | training, images/s | ratio |{more}")
    print("|--:|--:|--:|--:|--:|" + "--:|--:|" * gpu, flush=True)
    auto = worker_count("auto", device)
    for count in workers or ((auto,) if gpu else (0, 2)):
        train = TimedDataset(store, ids, labels, model, augment)
        valid = ImageDataset(store, store.ids[:8], labels[:8], model)
        timed = Timed(folder / f"curves{count}", recipe, train, DTYPES.get(precision), steps)
        compute = Compute.model_validate({"accelerator": accelerator, "workers": count})
        checkpoints = folder / f"checkpoints{count}"
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        run = TrainingRun(0, compute, checkpoints, FeatureFolder(folder / "features"), timed)
        fit_member(recipe, train, valid, run)
        print(_row(count, timed, gpu), flush=True)


def _row(workers: int, timed: Timed, gpu: bool) -> str:
    rows = timed.timings[1:]
    found = {name: statistics.median(each[name] for each in rows) for name in rows[0]}
    ratio = statistics.median(each["loop"] / each["plain"] for each in rows)
    row = f"| {workers} | {found['plain']:,.0f} | {found['loop']:,.0f} | {ratio:.3f} |"
    if gpu:
        return f"{row} {found['first']:.1%} | {found['idle']:.1%} | {timed.memory:.1f} |"
    return f"{row} {found['data']:.1%} |" if workers == 0 else f"{row} elsewhere |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given = sys.argv[1:]
        defaults = ["torchvision/resnet18", "128", "32", "cpu", "20"]
        backbone, side, batch, accelerator, *counts = given + defaults[len(given) :]
        main(Path(temporary), backbone, int(side), int(batch), accelerator, *map(int, counts))
