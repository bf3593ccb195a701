"""Metrics of each epoch, by torchmetrics."""

from typing import Any

import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MultilabelAccuracy,
    MultilabelAveragePrecision,
)
from torchmetrics.utilities import dim_zero_cat

from foldwise.training.losses import Loss


class MacroAveragePrecision(MultilabelAveragePrecision):
    """Mean of the classes' average precisions; classes without a positive label have none."""

    def __init__(self, classes: int) -> None:
        # Unchecked: one class alone, which torchmetrics calls a mistake, is everyday work.
        super().__init__(classes, average=None, ignore_index=-1, validate_args=False)

    def compute(self) -> Any:
        """A scalar, NaN if no class has a positive label."""
        present = (dim_zero_cat(self.target) == 1).any(0)
        # Of one class alone it comes as a scalar.
        return super().compute().reshape(-1)[present].mean()


class EpochLoss(Metric):
    """The loss of all images at once: not the mean of batches, which would depend on their size."""

    logits: list[torch.Tensor]
    targets: list[torch.Tensor]

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        # Not a module of this one: it belongs to the member.
        self._loss = (loss,)
        self.add_state("logits", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, logits: torch.Tensor, targets: torch.Tensor) -> None:
        self.logits.append(logits)
        self.targets.append(targets)

    def compute(self) -> torch.Tensor:
        """A scalar."""
        return self._loss[0](dim_zero_cat(self.logits), dim_zero_cat(self.targets))


class EpochMetrics:
    """valid_loss, valid_accuracy and valid_macro_ap.

    Accuracy is element-wise at a probability of 0.5 or, for a softmax, how often the most probable
    class is the right one.
    """

    def __init__(self, classes: int, loss: Loss) -> None:
        self._softmax = softmax = loss.name == "cross_entropy"
        accuracy: Metric = (
            MulticlassAccuracy(classes, average="micro")
            if softmax
            # Unchecked for the same reason.
            else MultilabelAccuracy(classes, average="micro", ignore_index=-1, validate_args=False)
        )
        self.metrics = MetricCollection(
            {
                "valid_loss": EpochLoss(loss),
                "valid_accuracy": accuracy,
                "valid_macro_ap": MacroAveragePrecision(classes),
            },
            compute_groups=False,
        )

    def update(self, labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Take note of a batch: labels and logits, both (images, classes)."""
        truth = labels.int()
        self.metrics["valid_loss"].update(logits, labels)
        probability = logits.softmax(1) if self._softmax else logits.sigmoid()
        self.metrics["valid_macro_ap"].update(probability, truth)
        if self._softmax:
            self.metrics["valid_accuracy"].update(logits, truth.argmax(1))
        else:
            self.metrics["valid_accuracy"].update(probability, truth)

    def compute_and_reset(self) -> dict[str, torch.Tensor]:
        """The epoch's metrics, of all processes; what they were computed from is forgotten."""
        found = self.metrics.compute()
        self.metrics.reset()
        return found
