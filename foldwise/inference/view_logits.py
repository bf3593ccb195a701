"""Logits of a trained network, for every view of every image."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from foldwise.deploy.merge_torch import softmax_log_odds
from foldwise.inference.runtime import Forward
from foldwise.model.normalize import Normalizer
from foldwise.model.views import CENTRE, View


@torch.inference_mode()
def view_logits(
    forward: Forward,
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
        forward: the network's pass, on the device.
        normalize: from pixels to what the network takes.
        batches: of (images uint8 (images, [crops,] channels, height, width), anything).
        views: each is applied to every batch.
        device: to run on.
        softmax: the network's outputs are a softmax's, as after cross_entropy.
        cut: the images come as their five crops, of which each view takes one.
    """
    normalize = normalize.to(device)
    parts = []
    for images, _ in batches:
        pixels = normalize(images.to(device, non_blocking=True))
        crops = pixels.unbind(1) if cut else [pixels] * (CENTRE + 1)
        logits = torch.stack([forward(view(crops[view.crop])).float().cpu() for view in views])
        parts.append(softmax_log_odds(logits) if softmax else logits)
    return torch.cat(parts, 1).numpy()
