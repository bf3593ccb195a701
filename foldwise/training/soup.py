"""A greedy soup: the mean of several epochs' weights, as far as it does not hurt."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from foldwise.training.checkpoint import load_checkpoint
from foldwise.training.curves import Curves
from foldwise.training.lightning_module import MemberModule

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Ingredient:
    """An epoch whose weights may be in the soup."""

    epoch: int
    """Counted from 1."""
    path: Path
    """Of its checkpoint."""
    score: float
    """Of the held-out images, as logged at its end."""


def ingredients_of(
    kept: ModelCheckpoint, count: int, rows: Sequence[dict[str, float]], metric: str
) -> list[Ingredient]:
    """The epochs that may be in the soup, the best first and, of equals, the earlier.

    Args:
        kept: holds their checkpoints, and one more (see `make_callbacks`).
        count: how many there may be.
        rows: the metrics of every epoch.
        metric: that judges.
    """
    paths = list(kept.best_k_models)
    if len(paths) > count:
        paths.remove(kept.kth_best_model_path)
    found = []
    for path in map(Path, paths):
        epoch = int(load_checkpoint(path)["epoch"]) + 1
        found.append(Ingredient(epoch, path, rows[epoch - 1][metric]))
    lower = metric.endswith("loss")
    return sorted(found, key=lambda each: (each.score if lower else -each.score, each.epoch))


def greedy_soup(
    ingredients: Sequence[Ingredient], lower: bool, judge: Callable[[Weights], float]
) -> tuple[Weights, list[int], float]:
    """The greedy soup of Wortsman et al., "Model soups", 2022 (recipe 1).

    One epoch's weights after the other are taken into the mean, from the best on, and stay there
    unless the held-out score falls. Running statistics of batch normalisation are averaged like
    weights; integers are the best epoch's.

    Args:
        ingredients: the best first.
        lower: whether a lower score is better.
        judge: the held-out score of weights.

    Returns:
        The mean, the epochs in it (from 1) in the order in which they came, and its score.
    """
    best = ingredients[0]
    soup: Weights = load_checkpoint(best.path)["state_dict"]
    epochs, score = [best.epoch], best.score
    for each in ingredients[1:]:
        taken = _mean_with(soup, load_checkpoint(each.path)["state_dict"], len(epochs))
        found = judge(taken)
        if found <= score if lower else found >= score:
            soup, score = taken, found
            epochs.append(each.epoch)
    return soup, epochs, score


def _mean_with(soup: Weights, other: Weights, count: int) -> Weights:
    """The mean of `count` epochs' weights with another's."""
    return {
        name: each.lerp(other[name], 1 / (count + 1)) if each.is_floating_point() else each
        for name, each in soup.items()
    }


def cook_soup(
    trainer: pl.Trainer,
    member: MemberModule,
    data: pl.LightningDataModule,
    kept: ModelCheckpoint,
    curves: Curves,
) -> int:
    """Give a trained network the soup of its epochs, and say what is in it.

    Args:
        trainer: that has trained it.
        member: the network, and how it is trained.
        data: with the held-out images, which judge.
        kept: holds the checkpoints.
        curves: hold every epoch's metrics.

    Returns:
        How many epochs the youngest weights in it were trained.
    """
    averaging, metric = member.recipe.train.averaging, member.recipe.train.monitor
    assert averaging is not None

    def judge(weights: Weights) -> float:
        member.load_state_dict(weights)
        (found,) = trainer.validate(member, datamodule=data, verbose=False)
        return float(found[metric])

    ingredients = ingredients_of(kept, averaging.epochs, curves.rows, metric)
    soup, epochs, score = greedy_soup(ingredients, metric.endswith("loss"), judge)
    member.load_state_dict(soup)
    if trainer.is_global_zero:
        print(
            f"{curves.title}: a soup of {len(epochs)} of the {averaging.of} {len(ingredients)} "
            f"epochs ({', '.join(map(str, epochs))}): {metric} {score:.4f}, of the best of them "
            f"{ingredients[0].score:.4f}",
            file=sys.stderr,
            flush=True,
        )
    return max(epochs)
