"""Losses by name; a target of -1 takes no part."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from foldwise.core.errors import UserError
from foldwise.training.options import LossName, LossOptions


class Loss(nn.Module):
    """A loss by its name.

    `multilabel_soft_margin` is the mean binary cross-entropy over all that is not ignored (torch's
    `MultiLabelSoftMarginLoss`). `bce` is the mean over classes of each class's own mean, so that a
    class that many images ignore counts as much as the others; classes that all of a batch ignores
    are left out. `focal` is torchvision's (Lin et al., "Focal Loss for Dense Object Detection",
    2017), averaged likewise over all. `asymmetric` is timm's (Ridnik et al., "Asymmetric Loss for
    Multi-Label Classification", 2021), summed over classes and averaged over images.
    `cross_entropy` is torch's, of a softmax, averaged over images that ignore nothing; it is for
    one class per image.

    Where several processes share a batch, each gets its part of the sum, times their number: the
    mean of all gradients, which is what DistributedDataParallel makes of them, is then the gradient
    of the whole batch's loss.
    """

    pos_weight: torch.Tensor | None

    def __init__(self, name: LossName, options: LossOptions, labels: torch.Tensor) -> None:
        """
        Args:
            name: of the loss.
            options: its arguments.
            labels: (images, classes) of the train images, for `pos_weight: prevalence`.

        Raises:
            UserError: `pos_weight` does not have one value per class, or `cross_entropy` is to
                learn images of several classes.
        """
        super().__init__()
        self.name = name
        self.options = options
        self.register_buffer("pos_weight", _pos_weight(options, labels), persistent=False)
        self.asymmetric: nn.Module | None = None
        if name == "asymmetric":
            # Only where it is used, as torchvision below: both take long to import.
            from timm.loss import AsymmetricLossMultiLabel

            self.asymmetric = AsymmetricLossMultiLabel(
                options.gamma_negative, options.gamma_positive, options.clip, reduction="none"
            )
        check_labels(name, labels)

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        shared: bool = False,
        weights: torch.Tensor | None = None,
        counted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A scalar.

        Args:
            logits: (images, classes).
            targets: (images, classes): 1 present, 0 absent, -1 ignore, or between 0 and 1.
            shared: the other processes have the rest of the batch.
            weights: (images, 1), by which each image's loss is multiplied; None: 1.
            counted: (images, classes) bool: what the mean is over, beside what is not ignored.
        """
        # In bf16 a count of more than 256 would be rounded.
        logits = logits.float()
        used = (targets >= 0).float()
        if self.name == "cross_entropy":
            used = used.amin(1, keepdim=True).expand_as(used)
        each = self._each(logits, targets.clamp(min=0)) * used
        if weights is not None:
            each = each * weights
        if counted is not None:
            used = torch.maximum(used, counted.float())
        processes = dist.get_world_size() if shared else 1
        if self.name == "bce":
            counts = _total(used.sum(0), shared)
            of_class = each.sum(0) / counts.clamp(min=1)
            return processes * of_class.sum() / (counts > 0).sum().clamp(min=1)
        by_image = self.name in ("asymmetric", "cross_entropy")
        count = used.amax(1).sum() if by_image else used.sum()
        return processes * each.sum() / _total(count, shared).clamp(min=1)

    def _each(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(images, classes)."""
        smoothing = self.options.label_smoothing
        middle = 1 / targets.shape[1] if self.name == "cross_entropy" else 0.5
        targets = targets * (1 - smoothing) + middle * smoothing
        if self.name == "cross_entropy":
            return -targets * F.log_softmax(logits, 1)
        if self.asymmetric is not None:
            return self.asymmetric(logits, targets)
        if self.name == "focal":
            from torchvision.ops import sigmoid_focal_loss

            alpha = -1.0 if self.options.alpha is None else self.options.alpha
            return sigmoid_focal_loss(logits, targets, alpha, self.options.gamma)
        return F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=self.pos_weight, reduction="none"
        )


def check_labels(name: LossName, labels: torch.Tensor) -> None:
    """Raise `UserError` if a loss cannot learn or judge images of these labels."""
    if name == "cross_entropy" and not bool(((labels == 1).sum(1) == 1).all()):
        raise UserError(
            "params.yaml: train.loss: cross_entropy is for images of one class each, and some "
            "have none or several; use multilabel_soft_margin or bce"
        )


def _total(counts: torch.Tensor, shared: bool) -> torch.Tensor:
    """Counts over all processes."""
    if shared:
        counts = counts.clone()
        dist.all_reduce(counts)
    return counts


def _pos_weight(options: LossOptions, labels: torch.Tensor) -> torch.Tensor | None:
    """(classes,) or None."""
    if options.pos_weight is None:
        return None
    if options.pos_weight == "prevalence":
        positive, negative = (labels == 1).sum(0), (labels == 0).sum(0)
        return negative / positive.clamp(min=1)
    if len(options.pos_weight) != labels.shape[1]:
        raise UserError(
            f"params.yaml: train.loss_options.pos_weight: has {len(options.pos_weight)} values for "
            f"{labels.shape[1]} classes; write one for each"
        )
    return torch.tensor(options.pos_weight)
