"""How right a trained member is on composed images that no epoch has shown.

`python -m benchmarks.fresh MEMBER [images] [accelerator]`, in a project whose member was trained on
composed images, fold 0: it composes whole images as of the epoch after the last and prints the
element-wise accuracy at a probability of 0.5, by one view and by four rotations. They show the
letters that the member was trained on, otherwise placed, turned and blurred.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmarks.composing import recipe_of
from foldwise.core import files
from foldwise.ensembling.merge import merge_logits
from foldwise.inference.view_logits import ThroughViews, view_logits
from foldwise.model.dataset import Key
from foldwise.model.hardware import choose_device, worker_count
from foldwise.model.loader import Batches, make_loader
from foldwise.model.saved import load_member
from foldwise.model.views import make_view
from foldwise.scoring.probability import sigmoid
from foldwise.training.composed import ComposedDataset
from foldwise.training.fold import all_rows, datasets

BATCH = 128
VIEWS = ("identity", "rot90", "rot180", "rot270")


class Later(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The images of one epoch, in order."""

    def __init__(self, composed: ComposedDataset, epoch: int) -> None:
        self._composed, self._epoch = composed, epoch

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, torch.Tensor]:
        return self._composed[self._epoch, key[1], True]


def main(member: str, images: str = "4096", accelerator: str = "auto") -> None:
    recipe = recipe_of(member)
    longer = recipe.model_copy(update={"epochs": recipe.epochs + 1})
    rows = all_rows(longer, datasets(recipe, 0)[0], files.read_dataset()["classes"])
    assert rows is not None
    composed = rows.composed[0]
    count = min(int(images), len(composed))
    device = choose_device(accelerator)
    network = load_member(files.MODELS / member / "0").network.to(device)
    network.use_channels_last()
    seen = ThroughViews(network, recipe.model, [make_view(name) for name in VIEWS])
    workers = worker_count("auto", device)
    loader = make_loader(Later(composed, recipe.epochs), Batches(count, BATCH), workers)
    labels = []

    def noted() -> Iterator[Any]:
        for pixels, truth in loader:
            labels.append(truth.numpy())
            yield pixels, truth

    logits = view_logits(seen, noted(), device, member)
    truth = np.concatenate(labels)
    one, four = sigmoid(logits[0]), sigmoid(merge_logits(logits, "mean_probability"))
    print(f"{count} images; 0 everywhere scores {1 - truth.mean():.4f}.")
    right = [float(((each > 0.5) == truth).mean()) for each in (one, four)]
    print(f"One view {right[0]:.4f}, four rotations {right[1]:.4f}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
