"""Losses of multi-label classification; a target of -1 takes no part."""

import torch
import torch.nn.functional as F


def multilabel_soft_margin(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy over all images and classes that are not ignored.

    Without ignored targets this is `torch.nn.MultiLabelSoftMarginLoss`.

    Args:
        logits: (images, classes).
        targets: (images, classes): 1 present, 0 absent, -1 ignore.
    """
    used = (targets >= 0).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(
        logits, targets.clamp(min=0), weight=used, reduction="sum"
    )
    return each / used.sum().clamp(min=1)


LOSSES = {"multilabel_soft_margin": multilabel_soft_margin}
