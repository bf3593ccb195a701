"""Logits of a trained network, for every view of every image."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.network.classifier import Classifier
from stages.network.fuse import fuse_batch_norm
from stages.network.merging import softmax_log_odds
from stages.network.normalize import Normalizer
from stages.network.views import CENTRE, View


@torch.inference_mode()
def view_logits(
    network: nn.Module,
    normalize: Normalizer,
    batches: Iterable[Any],
    views: list[View],
    device: torch.device,
    softmax: bool = False,
    cut: bool = False,
) -> np.ndarray:
    """float32 (views, images, classes): the log-odds of each class, sigmoids of which are its
    probability.

    Args:
        network: ready for inference; a `Classifier`'s batch normalisations are fused.
        normalize: from pixels to what the network takes.
        batches: of (images uint8 (images, [crops,] channels, height, width), anything).
        views: each is applied to every batch.
        device: to run on.
        softmax: the network's outputs are a softmax's, as after cross_entropy.
        cut: the images come as their five crops, of which each view takes one.
    """
    network = network.to(device)
    normalize = normalize.to(device)
    parts = []
    for position, (images, _) in enumerate(batches):
        pixels = normalize(images.to(device, non_blocking=True))
        if position == 0 and isinstance(network, Classifier):
            fuse_batch_norm(network, pixels[0, CENTRE] if cut else pixels[0])
        crops = pixels.unbind(1) if cut else [pixels] * (CENTRE + 1)
        logits = torch.stack([network(view(crops[view.crop])).float().cpu() for view in views])
        parts.append(softmax_log_odds(logits) if softmax else logits)
    return torch.cat(parts, 1).numpy()
