"""One member as a Lightning module: what happens to a batch."""

from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from foldwise.model.classifier import Classifier, Normalizer
from foldwise.training.losses import Loss
from foldwise.training.metrics import EpochMetrics
from foldwise.training.mixed_dataset import MixedItem
from foldwise.training.mixup import Mixing
from foldwise.training.optimizer import make_optimizer, make_schedules
from foldwise.training.sampling import shifts_of
from foldwise.training.settings import Recipe
from foldwise.training.teacher_loss import TeacherLoss

Batch = tuple[torch.Tensor, torch.Tensor] | MixedItem


class MemberModule(pl.LightningModule):
    """Trains a network; logs train_loss, valid_loss, valid_accuracy, valid_macro_ap per epoch.

    A batch holds images (uint8) or, while the backbone is frozen, its features (float32).
    """

    shifts: torch.Tensor | None

    def __init__(
        self, network: Classifier, recipe: Recipe, labels: torch.Tensor, seed: int
    ) -> None:
        """
        Args:
            network: images to logits.
            recipe: how it is trained.
            labels: (images, classes) of the train images.
            seed: of what is drawn while it is trained.
        """
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed_of_run = seed
        self.normalize = Normalizer(*recipe.model.mean_and_std())
        self.loss = Loss(recipe.train.loss, recipe.train.loss_options, labels)
        # Not in checkpoints: it comes from the recipe and the labels.
        self.register_buffer("shifts", shifts_of(recipe, labels), persistent=False)
        self.mixing = Mixing(recipe.train.mixup, recipe.train.cutmix)
        self.scores = EpochMetrics(labels.shape[1], self.loss)
        teacher = recipe.train.teacher
        self.teacher_loss = TeacherLoss(recipe.train.loss, teacher) if teacher else None
        self.steps: int | None = None
        """Of the optimizer in all epochs, where Lightning cannot know: epochs differ."""
        # Lightning brings only modules to the network's device.
        self.metrics = self.scores.metrics

    @property
    def _shared(self) -> bool:
        """Whether other processes have the rest of each batch."""
        return self.trainer.world_size > 1

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Images uint8 (images, [crops,] channels, height, width) or features to logits."""
        if inputs.is_floating_point():
            return self.network.head(inputs)
        return self.network(self.normalize(inputs))

    def on_train_epoch_start(self) -> None:
        # Dropout and mixing draw from the global state, which a resumed run would find elsewhere.
        drawn = self.seed_of_run * 100_003 + self.current_epoch + 7_919 * self.global_rank
        torch.manual_seed(drawn)
        if self.recipe.train.batch_norm == "frozen":
            # At every epoch: Lightning brings modules back to what they were before validation.
            for layer in self.network.backbone.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        inputs, *targets = batch
        if inputs.is_floating_point():
            logits = self(inputs)
        else:
            pixels, targets = self.mixing(self.normalize(inputs), *targets)
            logits = self.network(pixels)
        if self.shifts is not None:
            logits = logits + self.shifts
        labels, *beside = targets
        loss = self._loss_of(logits, labels, *beside)
        images = len(inputs)
        if self._shared:
            # The mean over processes is the batch's loss; it weighs as much in each of them.
            # Not the image that makes up the numbers.
            total = (torch.cat([labels, *beside[1:]], 1) >= 0).any(1).sum()
            dist.all_reduce(total)
            images = int(total)
        self.log(
            "train_loss",
            loss,
            on_epoch=True,
            on_step=False,
            batch_size=images,
            sync_dist=self._shared,
        )
        return loss

    def _loss_of(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None = None,
        taught: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Against labels and, where there is a teacher, against what it says.

        Both are means over all images that have either: where few have labels, a mean over these
        alone would be that of one or two in a batch.
        """
        if self.teacher_loss is None or taught is None:
            return self.loss(logits, labels, self._shared, weights)
        assert self.recipe.train.teacher is not None
        share = self.recipe.train.teacher.weight
        counted = (labels >= 0) | (taught >= 0)
        loss = self.loss(logits, labels, self._shared, weights, counted)
        followed = self.teacher_loss(logits, taught, self._shared, weights, counted)
        return (1 - share) * loss + share * followed

    def validation_step(self, batch: Batch, _: int) -> None:
        inputs, labels = batch[:2]
        logits = self(inputs).float()
        counts = (labels >= 0).any(1)
        logits, labels = logits[counts], labels[counts]
        if len(logits):
            self.scores.update(labels, logits)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.scores.compute_and_reset(), sync_dist=self._shared)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.recipe)
        steps = self.steps or int(self.trainer.estimated_stepping_batches)
        return [optimizer], make_schedules(optimizer, self.recipe, steps)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        # Lightning's own moment for it is after the epoch's checkpoint, which a resumed run lacks.
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(float(self.trainer.callback_metrics[str(config.monitor)]))
