"""In what numbers a member is trained on a CPU: the faster ones, found once by trying.

Mixed bf16 can be twice as fast as float32 on the same cores, or slower: matrix products gain by it,
depthwise convolutions lose. A choice is kept for a network, its input, the machine and the
libraries, since a timing may come out otherwise next time, and with it the weights; and in a run's
checkpoints, so that a resumed run goes on as it began. On GPUs bf16 is faster whatever the network,
and nothing is tried; nor where several processes train together, which would have to agree.
"""

import copy
import fcntl
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from foldwise.core import files
from foldwise.model.classifier import REFUSALS, Classifier, build_network
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, computes_bf16
from foldwise.model.settings import Compute
from foldwise.training.checkpoint import LAST, READING, load_checkpoint
from foldwise.training.distributed import process_count
from foldwise.training.keys import key_of
from foldwise.training.settings import Recipe

FULL, MIXED = "32-true", "bf16-mixed"
PRECISION = "precision"
"""Key of a checkpoint, and of a kept choice."""
MARGIN = 1.1
"""How many times faster bf16 must be: less is noise, and float32 is exact."""
ROUNDS = 4
"""Steps of each that are timed, after one that is not."""
SECONDS = 20.0
"""After which no further round begins."""
LEARNING = {"pretrained", "normalize", "lr", "epochs", "train"}
"""Of a model's settings those that do not decide how long its step takes."""


class KeptPrecision(pl.Callback):
    """Writes what a run is trained in into its checkpoints."""

    def on_save_checkpoint(self, trainer: pl.Trainer, _: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[PRECISION] = str(trainer.precision)


def training_precision(
    recipe: Recipe, images: int, classes: int, compute: Compute, checkpoints: Path, trials: Path
) -> str:
    """Lightning's name of what a member is trained in.

    Args:
        recipe: of the member.
        images: how many it is trained on.
        classes: outputs of its network.
        compute: where it runs. What is not `auto` there is what it says.
        checkpoints: folder of this very run, whose choice stays what it was.
        trials: folder of the choices that were made on this machine.
    """
    device = choose_device(compute.accelerator)
    if compute.precision != "auto" or device.type != "cpu" or process_count(compute) > 1:
        return choose_precision(compute.precision, device)
    begun_in = _precision_of(checkpoints / LAST)
    if begun_in in (FULL, MIXED):
        return str(begun_in)
    # A frozen backbone's head is one small product, which gains nothing.
    if not computes_bf16(device) or recipe.frozen_epochs == recipe.epochs:
        return FULL
    return _tried_once(recipe, min(images, recipe.train.batch_size), classes, compute, trials)


def _precision_of(last: Path) -> Any:
    """What the run that left a checkpoint is trained in; None where nothing tells.

    What is damaged is dropped, with a line, when training begins.
    """
    try:
        return load_checkpoint(last).get(PRECISION)
    except (FileNotFoundError, *READING):
        return None


def _tried_once(recipe: Recipe, batch: int, classes: int, compute: Compute, trials: Path) -> str:
    """The faster of both, by a trial or by one that was made before."""
    model = recipe.model.model_dump(exclude=LEARNING)
    machine = (cpu_name(), torch.get_num_threads(), compute.channels_last)
    path = trials / f"{key_of((), model, classes, batch, machine)}.json"
    trials.mkdir(parents=True, exist_ok=True)
    # Two trials at a time would disturb each other, and folds of one member differ.
    with (trials / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _kept_choice(path)
        if kept is not None:
            return kept
        network = build_network(recipe.model, classes, pretrained=False)
        if compute.channels_last:
            network.use_channels_last()
        seconds = step_seconds(network, _random_images(recipe, batch))
        if FULL not in seconds:
            return FULL  # training itself will say what is wrong with the network
        chosen = faster(seconds)
        told = {name: round(each, 4) for name, each in seconds.items()}
        files.write_json(path, {PRECISION: chosen, "seconds": told})
    times = ", ".join(f"{each:.3g} s in {name}" for name, each in seconds.items())
    print(f"{recipe.member}: trained in {chosen}; a step takes {times}", file=sys.stderr)
    return chosen


def cpu_name() -> str:
    """The processor's, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # which only Linux has
    return platform.processor() or platform.machine()


def _kept_choice(path: Path) -> str | None:
    """A choice that was made before; None if there is none, or it is damaged, which is said."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))[PRECISION]
        if kept not in (FULL, MIXED):
            raise ValueError(kept)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        print(f"{path}: is damaged; tried anew", file=sys.stderr)
        path.unlink()
        return None
    return str(kept)


def _random_images(recipe: Recipe, batch: int) -> torch.Tensor:
    """A batch as the network sees it, normalised: (images, [crops,] channels, height, width)."""
    model = recipe.model
    crops = (5,) if model.views == "five_crop" else ()
    shape = (batch, *crops, model.channels, model.image_size, model.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def faster(seconds: dict[str, float]) -> str:
    """The precision to train in, given the seconds of a step in those that work.

    >>> faster({"32-true": 1.1, "bf16-mixed": 1.0}), faster({"32-true": 1.0, "bf16-mixed": 0.95})
    ('bf16-mixed', '32-true')
    """
    if MIXED in seconds and seconds.get(FULL, 0.0) >= MARGIN * seconds[MIXED]:
        return MIXED
    return FULL


def step_seconds(network: Classifier, inputs: torch.Tensor) -> dict[str, float]:
    """Seconds of a forward and a backward pass, the best of several, by precision.

    A precision in which the network does not work is left out. A copy learns: the network and the
    random state stay as they are.

    Args:
        network: on the CPU.
        inputs: normalised images.
    """
    best: dict[str, float] = {}
    network = copy.deepcopy(network).train()
    start = time.perf_counter()
    with isolate_rng():
        for number in range(1 + ROUNDS):
            if number > 1 and time.perf_counter() - start > SECONDS:
                break
            # In turns, so that what else the machine does slows both down.
            for name in (FULL, MIXED):
                if number and name not in best:
                    continue
                try:
                    seconds = _timed_step(network, inputs, DTYPES.get(name))
                except REFUSALS:
                    best.pop(name, None)
                    continue
                # The first step of each is slow: memory is taken, kernels are made.
                best[name] = seconds if number < 2 else min(best[name], seconds)
    return best


def _timed_step(network: Classifier, inputs: torch.Tensor, dtype: torch.dtype | None) -> float:
    network.zero_grad()
    start = time.perf_counter()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        logits = network(inputs)
    torch.autograd.backward(logits.float().square().mean())
    return time.perf_counter() - start
