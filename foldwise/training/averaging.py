"""Averages of the weights over training, by Lightning's callback."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from foldwise.training.settings import Recipe

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def make_averaging(recipe: Recipe) -> list[pl.Callback]:
    """The recipe's averaging while it trains; none where it has none, or a soup at the end."""
    settings = recipe.train.averaging
    if settings is None or settings.method == "soup":
        return []
    if settings.method == "ema":
        return [MovingAverage(settings.decay)]
    return [MeanOfEpochs(first=int(settings.start * recipe.epochs))]


class AveragedWeights(WeightAveraging):
    """Lightning's, on the device that is trained on: at setup the weights are not there yet."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


class MovingAverage(AveragedWeights):
    """Exponential moving average, which follows faster in the first steps.

    After n updates it keeps min(decay, (1 + n) / (10 + n)) of itself, as TensorFlow's
    ExponentialMovingAverage with `num_updates`: a constant decay would validate and, in short
    trainings, save little more than the initial weights.
    """

    def __init__(self, decay: float) -> None:
        def average(means: Tensors, currents: Tensors, updates: Any) -> None:
            kept = min(decay, (1 + int(updates)) / (10 + int(updates)))
            get_ema_multi_avg_fn(kept)(means, currents, updates)

        super().__init__(multi_avg_fn=average)


class MeanOfEpochs(AveragedWeights):
    """Stochastic weight averaging: the mean of the weights at the ends of the last epochs.

    Until then it holds the current weights. Running statistics of batch normalisation are averaged
    like weights, which spares the pass over all images that would compute them anew.
    """

    def __init__(self, first: int) -> None:
        """
        Args:
            first: epoch, counted from 0, whose weights are the first in the mean.
        """

        def average(means: Tensors, currents: Tensors, updates: Any) -> None:
            # Counted from the first of the mean, which replaces what was there, as it does for
            # the integers that count batches.
            count = max(0, int(updates) - first) if means[0].is_floating_point() else 0
            if count:
                get_swa_multi_avg_fn()(means, currents, count)
            else:
                torch._foreach_copy_(means, currents)

        super().__init__(multi_avg_fn=average)
        self._trainer: pl.Trainer | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._trainer = trainer
        super().setup(trainer, pl_module, stage)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After the last step of an epoch: its end itself comes after validation."""
        assert self._trainer is not None
        return step_idx is not None and self._trainer.is_last_batch
