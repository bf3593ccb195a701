"""How fast a member's images are composed while it trains, and how fast its network learns them.

`python -m benchmarks.composing MEMBER [accelerator] [seconds]`, in a project that `fetch` and
`split` have run in and whose member trains on composed images: for every side that its curriculum
has, it prints, as Markdown, the images per second of the loader's workers alone, and of the network
alone, in a plain loop over a prepared batch. The slower of both is what training can come to.
"""

import sys
import time
from typing import Any

import torch

from benchmarks.machine import machine
from foldwise.core import files
from foldwise.core.settings import Count, Positive, Seed, read
from foldwise.model.classifier import Normalizer, build_network
from foldwise.model.hardware import DTYPES, choose_device, choose_precision, worker_count
from foldwise.model.loader import Batches, make_loader
from foldwise.model.settings import Model
from foldwise.training.composed import growth
from foldwise.training.fold import all_rows, datasets
from foldwise.training.losses import Loss
from foldwise.training.optimizer import make_optimizer
from foldwise.training.settings import Recipe, Train, make_recipe


def recipe_of(member: str) -> Recipe:
    """As params.yaml has it."""
    model, train = read(f"models.{member}", Model), read("train", Train)
    rate, epochs, seed = read("lr", Positive), read("epochs", Count), read("seed", Seed)
    return make_recipe(member, model, train, rate, epochs, seed)


def composed_rate(recipe: Recipe, epoch: int, workers: int, seconds: float) -> tuple[float, Any]:
    """Images per second of the loader, once every worker has made its first ones, and a batch."""
    train, _ = datasets(recipe, 0)
    rows = all_rows(recipe, train, files.read_dataset()["classes"])
    assert rows is not None
    batches = Batches(0, recipe.train.batch_size, recipe.seed, drawn=rows.mixture.drawn)
    batches.set_epoch(epoch)
    loader = make_loader(rows.dataset(rows.stored, None), batches, workers)
    first = min(2 * workers, len(batches) // 2)
    count, start, batch = 0, 0.0, None
    for number, batch in enumerate(loader):
        if number == first:
            start = time.perf_counter()
        elif number > first:
            count += len(batch[0])
            if time.perf_counter() - start > seconds:
                break
    return count / (time.perf_counter() - start), batch


def learned_rate(recipe: Recipe, batch: Any, device: torch.device, seconds: float) -> float:
    """Images per second of a plain loop over one batch, from its fifth step on."""
    dtype = DTYPES.get(choose_precision("auto", device))
    network = build_network(recipe.model, batch[1].shape[1], pretrained=False).to(device).train()
    network.use_channels_last()
    pixels = Normalizer(*recipe.model.mean_and_std()).to(device)(batch[0].to(device))
    labels = batch[1].to(device)
    loss = Loss(recipe.train.loss, recipe.train.loss_options, batch[1])
    optimizer = make_optimizer(network, recipe)
    count, start = 0, 0.0
    while not start or time.perf_counter() - start < seconds:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            found = loss(network(pixels), labels)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        # Waits for the device.
        assert found.item() >= 0
        count += 1
        if count == 5:
            start = time.perf_counter()
    return (count - 5) * len(pixels) / (time.perf_counter() - start)


def main(member: str, accelerator: str = "auto", seconds: str = "3") -> None:
    recipe = recipe_of(member)
    device = choose_device(accelerator)
    workers = worker_count("auto", device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    print(
        f"{member}, batches of {recipe.train.batch_size}, {workers} workers. {name} {machine()}\n"
    )
    print("| side of the image | composed, images/s | learned, images/s |\n|--:|--:|--:|")
    shares = growth(recipe.train.curriculum, recipe.epochs)
    for share in sorted(set(shares)):
        composed, batch = composed_rate(recipe, shares.index(share), workers, float(seconds))
        learned = learned_rate(recipe, batch, device, float(seconds))
        side = f"{share:g} ({batch[0].shape[-1]} px)"
        print(f"| {side} | {composed:,.0f} | {learned:,.0f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
