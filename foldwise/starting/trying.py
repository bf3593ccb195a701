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

from foldwise.features.extract import autocast_type
from foldwise.images.store import ImageStore, ImageWriter
from foldwise.inference.runtime import features_alone, ready
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.loader import Batches, make_loader
from foldwise.params import Params
from foldwise.starting.cost import Counted, Measured, parts
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
"""Images that a head is solved for on trial."""
GROWTH = 1.2
"""Power of the number of images by which solving takes longer, below that of the features."""
DECAY, SIGNAL, BETWEEN = 0.5, 0.3, 0.3
"""Of features like those of pretrained networks: power by which their axes become smaller; size of
what a class adds, and of what a view does, beside their spread."""
BATCHES = 3
"""Forward passes that are timed."""


def start_seconds() -> float:
    """Seconds until a process has the modules of a training, of which this one has had all."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import foldwise.training.fold"], check=True)
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
    params: Params,
    look: Look,
    labels: np.ndarray,
    learned: np.ndarray,
    counted: Counted,
    steps: int = STEPS,
) -> dict[str, Measured]:
    """What every member takes; nothing is left on the disk, nor of random state.

    Args:
        params: of the run.
        look: images of the data set.
        labels: (images of the look, classes): 1, 0 or -1.
        learned: the same of all images of the source's train part.
        counted: how many there are.
        steps: how many are timed.

    Raises:
        UserError: a network cannot be built, or refuses its input.
    """
    train, held, test = parts(params, counted)
    fold = max(2, round(train - held))
    found = {}
    with tempfile.TemporaryDirectory() as folder, isolate_rng():
        with ImageWriter(Path(folder) / "store") as writer:
            for place, (content, seen) in enumerate(zip(look.contents, look.images, strict=True)):
                writer.add(str(place), content, seen)
        store = ImageStore(Path(folder) / "store")
        for name in params.members:
            recipe = params.recipe(name)
            network = build_network(recipe.model, labels.shape[1], pretrained=False)
            try_step(recipe, network, fold, labels.shape[1])
            plain = ImageDataset(store, store.ids, labels, recipe.model)
            read, batch = _read_batch(params, plain)
            # Before steps, which change the network; by the number of images that will go through.
            passes = train if recipe.solved else round((held + test) * len(params.tta.views))
            prepare, forward, width = _forward(params, recipe, network, batch, passes)
            size = sum(each.numel() * each.element_size() for each in network.state_dict().values())
            step = solve = 0.0
            if recipe.solved:
                solve = _solve(recipe, network, width, learned, fold)
            else:
                step = _timed_steps(params, recipe, network, batch, store, labels, steps)
            found[name] = Measured(read, step, prepare, forward, solve, width, size)
    return found


def _read_batch(params: Params, plain: ImageDataset) -> tuple[float, torch.Tensor]:
    """Seconds to read an image, and a batch of them, normalised."""
    device = choose_device(params.compute.accelerator)
    workers = max(1, worker_count(params.compute.workers, device))
    begin = time.perf_counter()
    images = [plain.input(0, each) for each in range(len(plain))]
    read = (time.perf_counter() - begin) / len(plain) / workers
    batch = torch.stack(images[: params.compute.batch_size])
    return read, Normalizer(*plain.model.mean_and_std())(batch)


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
    if params.compute.channels_last:
        network.use_channels_last()
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
    params: Params, recipe: Recipe, network: Classifier, batch: torch.Tensor, passes: int
) -> tuple[float, float, int]:
    """Seconds to prepare a network, and of an image's forward pass; the number of its features."""
    device = choose_device(params.compute.accelerator)
    begin = time.perf_counter()
    alone = features_alone(network)
    if params.compute.channels_last:
        alone.use_channels_last()
    dtype = autocast_type(params.compute) if recipe.solved else None
    engine = "torch" if dtype or params.compute.compile else params.compute.engine
    forward = ready(alone, batch[0], device, engine, passes)
    prepare = time.perf_counter() - begin
    pixels = batch.to(device)
    with torch.autocast(device.type, dtype) if dtype else nullcontext():
        # Of this size, too, the first one is slower.
        width = forward(pixels).shape[1]
        begin = time.perf_counter()
        for _ in range(BATCHES):
            forward(pixels).float().cpu()
    return prepare, (time.perf_counter() - begin) / (BATCHES * len(batch)), width


def _solve(
    recipe: Recipe, network: Classifier, width: int, labels: np.ndarray, images: int
) -> float:
    """Seconds of solving a fold's head, from drawn features."""
    freeze: Any = recipe.train.freeze
    rng = np.random.default_rng(0)
    truth = labels[rng.permutation(len(labels))[: min(images, MOST_ROWS)]]
    views = drawn_features(truth, width, len(freeze.views), rng)
    groups = np.arange(len(truth)) % 4
    begin = time.perf_counter()
    fit_head(network, views, truth, groups, freeze.strengths, recipe.softmax)
    return (time.perf_counter() - begin) * (images / len(truth)) ** GROWTH


def drawn_features(
    labels: np.ndarray, width: int, views: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Features on which a head takes as many rounds as on a pretrained network's.

    Rounds hang on how the features correlate: an untrained network's are nearly all alike, and
    independent ones need far more.

    Args:
        labels: (images, classes): 1, 0 or -1.
        width: features.
        views: how many of each image.
        rng: draws them.

    Returns:
        float32 (images, width) of each view.

    >>> rng = np.random.default_rng(0)
    >>> [each.shape for each in drawn_features(np.eye(4), 6, 2, rng)]
    [(4, 6), (4, 6)]
    """

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    axes = normal(width, width) * np.arange(1, width + 1, dtype=np.float32)[:, None] ** -DECAY
    images, classes = normal(len(labels), width) @ axes, normal(labels.shape[1], width) @ axes
    images = images / images.std() + SIGNAL * (labels == 1) @ (classes / classes.std())
    images /= images.std(0) + 1e-6
    return [(images + BETWEEN * normal(*images.shape)).astype(np.float32) for _ in range(views)]
