"""Logits of a trained network, for every view of every image."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.network.normalize import Normalizer
from stages.network.views import View


@torch.inference_mode()
def view_logits(
    network: nn.Module,
    normalize: Normalizer,
    batches: Iterable[Any],
    views: list[View],
    device: torch.device,
) -> np.ndarray:
    """float32 (views, images, classes).

    Args:
        network: ready for inference.
        normalize: from pixels to what the network takes.
        batches: of (images uint8 (images, [crops,] channels, height, width), anything).
        views: each is applied to every batch.
        device: to run on.
    """
    network = network.to(device)
    normalize = normalize.to(device)
    parts = []
    for images, _ in batches:
        pixels = normalize(images.to(device, non_blocking=True))
        logits = [network(view(pixels)).float().cpu() for view in views]
        parts.append(torch.stack(logits))
    return torch.cat(parts, 1).numpy()
