"""The training loop on real images, beside the same network fed one batch in memory.

`python -m benchmarks.train [backbone] [side] [batch] [accelerator]` composes images, trains with
`fit_member`, and after every epoch lets a copy of the network learn one prepared batch over and
over in a plain loop. It prints, as Markdown, the images per second of both, their ratio, and what
share of the time images take; medians of the epochs after the first.
"""

import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from foldwise.features.kept import FeatureFolder
from foldwise.images.decode import inspect
from foldwise.images.store import ImageStore, ImageWriter
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision
from foldwise.model.settings import Compute, Model
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.tree_mount import open_tree
from foldwise.training.augment import make_augment
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.optimizer import make_optimizer
from foldwise.training.settings import Recipe, Train

EPOCHS = 9
STEPS = 20


def composed(folder: Path, side: int, images: int) -> ImageStore:
    """A store of composed images."""
    compose = {"canvas": side, "glyphs": [2, 5], "size": [side / 4, side / 2.5]}
    glyphs = {"images": {"train": images, "test": 0}, "compose": compose}
    sections = {"source": "glyphs", "path": str(folder), "extra_path": "extra", "glyphs": glyphs}
    data = Data.model_validate(sections)
    source = load_glyphs(data, open_tree([folder]), Problems(skip=False), folder)
    with ImageWriter(folder / "store") as writer:
        for position, id in enumerate(source.ids):
            content = source.read(position)
            writer.add(id, content, inspect(content, 10**9))
    return ImageStore(folder / "store")


class TimedDataset(ImageDataset):
    """Sums up the seconds that are spent on images (in this process)."""

    seconds = 0.0

    def input(self, epoch: int, position: int) -> torch.Tensor:
        start = time.perf_counter()
        found = super().input(epoch, position)
        self.seconds += time.perf_counter() - start
        return found


class Timed(Curves):
    """Times every epoch and, after it, as many steps of the plain loop."""

    def __init__(self, folder: Path, recipe: Recipe, data: TimedDataset, dtype: Any) -> None:
        super().__init__(folder, "benchmark", recipe)
        self.recipe, self.data, self.dtype = recipe, data, dtype
        self.rows: list[dict[str, float]] = []
        self.begin = 0.0
        self.plain: Any = None

    def on_train_epoch_start(self, *given: Any) -> None:
        super().on_train_epoch_start(*given)
        self.data.seconds = 0.0
        self.begin = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if not trainer.is_last_batch:
            return
        _synchronize(module.device)
        loop = time.perf_counter() - self.begin
        images = STEPS * self.recipe.train.batch_size
        data = self.data.seconds
        self.rows.append(
            {"loop": images / loop, "data": data / loop, "plain": images / self.learn(module)}
        )

    def learn(self, module: Any) -> float:
        """Seconds of the plain loop."""
        if self.plain is None:
            network = copy.deepcopy(module.network).train()
            items = [self.data[each] for each in range(self.recipe.train.batch_size)]
            pixels = module.normalize(torch.stack([each for each, _ in items]).to(module.device))
            labels = torch.stack([each for _, each in items]).to(module.device)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            self.plain = network, pixels, labels, make_optimizer(network, self.recipe)
        network, pixels, labels, optimizer = self.plain
        begin = time.perf_counter()
        for _ in range(STEPS):
            with torch.autocast(module.device.type, self.dtype, enabled=self.dtype is not None):
                loss = module.loss(network(pixels), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _synchronize(module.device)
        return time.perf_counter() - begin


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(folder: Path, backbone: str, side: int, batch: int, accelerator: str) -> None:
    model = Model(backbone=backbone, image_size=side)
    recipe = Recipe(
        member="m", model=model, lr=1e-3, epochs=EPOCHS, seed=0, train=Train(batch_size=batch)
    )
    store = composed(folder, side, STEPS * batch)
    labels = np.random.default_rng(0).integers(0, 2, (len(store), 26))
    augment = make_augment(({"RandomRotate90": {"p": 0.5}}, {"HorizontalFlip": {"p": 0.5}}))
    device = choose_device(accelerator)
    precision = choose_precision("auto", device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    print(
        f"{backbone} at {side} pixels, batches of {batch}, {precision}, {STEPS} steps an epoch. "
        f"{name} {machine()} torch {torch.__version__}.\n"
    )
    print("| workers | prepared batch, images/s | training, images/s | ratio | images take |")
    print("|--:|--:|--:|--:|--:|")
    for workers in (0, 2) if device.type == "cpu" else (4, 8, 16):
        train = TimedDataset(store, store.ids, labels, model, augment)
        valid = ImageDataset(store, store.ids[:8], labels[:8], model)
        timed = Timed(folder / f"curves{workers}", recipe, train, DTYPES.get(precision))
        compute = Compute.model_validate({"accelerator": accelerator, "workers": workers})
        checkpoints = folder / f"checkpoints{workers}"
        run = TrainingRun(0, compute, checkpoints, FeatureFolder(folder / "features"), timed)
        fit_member(recipe, train, valid, run)
        rows = timed.rows[1:]
        plain, loop, data = (
            statistics.median(each[name] for each in rows) for name in ("plain", "loop", "data")
        )
        ratio = statistics.median(each["loop"] / each["plain"] for each in rows)
        share = f"{data:.1%}" if workers == 0 else "elsewhere"
        print(f"| {workers} | {plain:,.0f} | {loop:,.0f} | {ratio:.3f} | {share} |", flush=True)
    if device.type == "cuda":
        print(f"\nLargest memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given = sys.argv[1:]
        defaults = ["torchvision/resnet18", "128", "32", "cpu"]
        backbone, side, batch, accelerator = given + defaults[len(given) :]
        main(Path(temporary), backbone, int(side), int(batch), accelerator)
