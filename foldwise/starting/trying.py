"""Twenty steps on some of the data set's own images: what each member takes on this machine."""

import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from foldwise.images.store import ImageStore, ImageWriter
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.loader import Batches, make_loader
from foldwise.params import Params
from foldwise.starting.cost import Measured
from foldwise.starting.facts import Look
from foldwise.training.augment import make_augment
from foldwise.training.lightning_module import MemberModule
from foldwise.training.logistic import fit_head
from foldwise.training.optimizer import make_optimizer
from foldwise.training.precision import faster, step_seconds
from foldwise.training.settings import Recipe
from foldwise.training.trial import try_step

STEPS = 20
WARM = 2
"""Steps before, which bring memory and libraries with them."""
MOST_ROWS = 400
"""Images that a head is solved for on trial; the time grows with their number."""


def start_seconds() -> float:
    """Seconds until a process has the modules of `stages.train`."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import stages.train"], check=True)
    return time.perf_counter() - begin


def peak_memory() -> float:
    """Bytes of memory that this process has had at most; a GPU's are not among them."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    return float(own)


def peak_gpu_memory() -> float:
    """Bytes of a GPU's memory that this process has had at most; 0 without one."""
    return float(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0.0


def measure_members(
    params: Params, look: Look, labels: np.ndarray, train: int, steps: int = STEPS
) -> dict[str, Measured]:
    """What every member takes; nothing is left on the disk, nor of random state.

    Args:
        params: of the run.
        look: images of the data set.
        labels: (images of the look, classes): 1, 0 or -1.
        train: images that a fold learns from.
        steps: how many are timed.

    Raises:
        UserError: a network cannot be built, or refuses its input.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder, isolate_rng():
        with ImageWriter(Path(folder) / "store") as writer:
            for place, (content, seen) in enumerate(zip(look.contents, look.images, strict=True)):
                writer.add(str(place), content, seen)
        store = ImageStore(Path(folder) / "store")
        for name in params.members:
            recipe = params.recipe(name)
            network = build_network(recipe.model, labels.shape[1], pretrained=False)
            try_step(recipe, network, train, labels.shape[1])
            found[name] = _measured(params, recipe, network, store, labels, train, steps)
    return found


def _measured(
    params: Params,
    recipe: Recipe,
    network: Classifier,
    store: ImageStore,
    labels: np.ndarray,
    train: int,
    steps: int,
) -> Measured:
    device = choose_device(params.compute.accelerator)
    plain = ImageDataset(store, store.ids, labels, recipe.model)
    workers = max(1, worker_count(params.compute.workers, device))
    begin = time.perf_counter()
    images = [plain.input(0, each) for each in range(len(plain))]
    read = (time.perf_counter() - begin) / len(plain) / workers
    size = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    if params.compute.channels_last:
        network.use_channels_last()
    batch = Normalizer(*recipe.model.mean_and_std())(
        torch.stack(images[: params.compute.batch_size])
    )
    seconds = 0.0
    if not recipe.solved:
        seconds = _timed_steps(params, recipe, network, batch, store, labels, steps)
    forward, kept = _forward(network.to(device).eval(), batch.to(device), device)
    solve = _solve(recipe, network.cpu(), kept, labels, train) if recipe.solved else 0.0
    return Measured(read, seconds, forward, solve, kept.shape[1], size)


def _timed_steps(
    params: Params,
    recipe: Recipe,
    network: Classifier,
    batch: torch.Tensor,
    store: ImageStore,
    labels: np.ndarray,
    steps: int,
) -> float:
    """Seconds of a step: a batch read and augmented, forward, backward, optimizer."""
    device = choose_device(params.compute.accelerator)
    precision = DTYPES.get(choose_precision(params.compute.precision, device))
    if device.type == "cpu" and params.compute.precision == "auto" and precision:
        # As a training does, by a trial.
        precision = DTYPES.get(faster(step_seconds(network, batch[: recipe.train.batch_size])))
    size = recipe.train.batch_size
    # As many as the steps show, the same ones again and again.
    ids = [store.ids[each % len(store.ids)] for each in range(size * (steps + WARM))]
    again = labels[np.arange(len(ids)) % len(labels)]
    augment = make_augment(recipe.train.augment)
    data = ImageDataset(store, ids, again, recipe.model, augment, recipe.train.augment_from)
    member = MemberModule(network, recipe, data.labels, 0).to(device).train()
    optimizer = make_optimizer(network, recipe)
    loader = make_loader(
        data, Batches(len(data), size, seed=0), worker_count(params.compute.workers, device)
    )
    times = []
    for pixels, targets in loader:
        with torch.autocast(device.type, precision) if precision else nullcontext():
            logits = member(pixels.to(device, non_blocking=True))
            loss = member.loss(logits.float(), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    return (times[-1] - times[WARM - 1]) / (len(times) - WARM)


@torch.inference_mode()
def _forward(
    network: Classifier, batch: torch.Tensor, device: torch.device
) -> tuple[float, np.ndarray]:
    """Seconds of an image's forward pass, and the features of a batch."""
    network.features(batch[:2])
    begin = time.perf_counter()
    kept = network.features(batch).float().cpu().numpy()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / len(batch), kept


def _solve(
    recipe: Recipe, network: Classifier, kept: np.ndarray, labels: np.ndarray, train: int
) -> float:
    """Seconds of solving a fold's head, from features like those of some images."""
    freeze: Any = recipe.train.freeze
    rng = np.random.default_rng(0)
    rows = min(train, MOST_ROWS)
    drawn = rng.integers(0, len(kept), rows)
    spread = kept.std(0) + 1e-6
    views = [
        (kept[drawn] + rng.normal(size=(rows, kept.shape[1])) * spread).astype(np.float32)
        for _ in freeze.views
    ]
    begin = time.perf_counter()
    groups = np.arange(rows) % 4
    fit_head(network, views, labels[drawn], groups, freeze.strengths, recipe.softmax)
    return (time.perf_counter() - begin) * train / rows
