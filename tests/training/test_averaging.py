"""Averages of weights, against their definitions."""

from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from foldwise.training.averaging import MeanOfEpochs, MovingAverage


class Steps:
    """A trainer that only counts."""

    def __init__(self, per_epoch: int) -> None:
        self.global_step = 0
        self.per_epoch = per_epoch
        self.strategy = SimpleNamespace(root_device=torch.device("cpu"))

    @property
    def is_last_batch(self) -> bool:
        return self.global_step % self.per_epoch == 0


def averaged(callback: Any, values: list[float], per_epoch: int) -> list[float]:
    """The average after every step, when a weight takes these values."""
    module = pl.LightningModule()
    module.layer = torch.nn.Linear(1, 1, bias=False)
    trainer: Any = Steps(per_epoch)
    callback.setup(trainer, module, "fit")
    found = []
    for value in values:
        torch.nn.init.constant_(module.layer.weight, value)
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, module, None, None, 0)
        found.append(callback._average_model.module.layer.weight.item())
    return found


def test_averages_of_weights() -> None:
    values = [float(each) for each in np.random.default_rng(0).normal(size=12)]
    moving = averaged(MovingAverage(0.3), values, 3)
    wanted = values[0]
    for count, value in enumerate(values[1:], 1):
        kept = min(0.3, (1 + count) / (10 + count))
        wanted = kept * wanted + (1 - kept) * value
    assert moving[0] == pytest.approx(values[0])
    assert moving[-1] == pytest.approx(wanted)
    mean = averaged(MeanOfEpochs(first=2), values, 3)
    assert mean[2] == pytest.approx(values[2])
    assert mean[5] == pytest.approx(values[5])
    assert mean[8] == pytest.approx(values[8])
    assert mean[11] == pytest.approx((values[8] + values[11]) / 2)
