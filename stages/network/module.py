"""One member as a Lightning module: what happens to a batch."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelAccuracy, MultilabelAveragePrecision

from stages.network.losses import Loss
from stages.network.normalize import Normalizer
from stages.network.optimize import make_optimizer, make_scheduler
from stages.settings.network import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]


class Member(pl.LightningModule):
    """Trains a network; logs train_loss, valid_loss, valid_accuracy, valid_macro_ap per epoch."""

    def __init__(self, network: nn.Module, recipe: Recipe, labels: torch.Tensor, seed: int) -> None:
        """
        Args:
            network: images to logits.
            recipe: how it is trained.
            labels: (images, classes) of the train images.
            seed: of what is drawn while it is trained.
        """
        super().__init__()
        classes = labels.shape[1]
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.seed_of_run = seed
        self.normalize = Normalizer(*recipe.model.mean_and_std())
        self.loss = Loss(recipe.train.loss, recipe.train.loss_options, labels)
        self.scores = MetricCollection(
            {
                "valid_accuracy": MultilabelAccuracy(classes, average="micro", ignore_index=-1),
                "valid_macro_ap": MultilabelAveragePrecision(
                    classes, average="macro", ignore_index=-1
                ),
            },
            compute_groups=False,
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (images, channels, height, width) to logits (images, classes)."""
        pixels = self.normalize(images)
        return self.network(pixels.contiguous(memory_format=torch.channels_last))

    def on_train_epoch_start(self) -> None:
        # Dropout draws from the global state, which a resumed run would find elsewhere.
        torch.manual_seed(self.seed_of_run * 100_003 + self.current_epoch)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        images, labels = batch
        loss = self.loss(self(images), labels)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(images))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        images, labels = batch
        logits = self(images).float()
        loss = self.loss(logits, labels)
        self.log("valid_loss", loss, on_epoch=True, batch_size=len(images))
        self.scores.update(logits.sigmoid(), labels.int())

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.scores.compute())
        self.scores.reset()

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.recipe)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = make_scheduler(optimizer, self.recipe, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
