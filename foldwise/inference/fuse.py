"""Batch normalisation folded into the convolution before it: the same function, faster."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from foldwise.model.classifier import Classifier

# What tracing ends in where a forward pass depends on shapes or values; it stays as it is then.
UNTRACEABLE = (TraceError, TypeError, ValueError, RuntimeError, AttributeError, LookupError)
# Largest difference of features, relative to the largest feature.
TOLERANCE = 1e-4


@torch.no_grad()
def fuse_batch_norm(network: Classifier, image: torch.Tensor) -> bool:
    """Fold a trained network's batch normalisations into its convolutions, where that can be done.

    Args:
        network: ready for inference; its backbone is replaced.
        image: normalised, ([crops,] channels, height, width), on the network's device; the features
            of the new backbone are checked by it.

    Returns:
        Whether it was: the forward pass can be traced, and gives the same features.
    """
    plain = network.backbone
    if not any(isinstance(each, nn.BatchNorm2d) for each in plain.modules()):
        return False
    try:
        fused = fuse(plain)
    except UNTRACEABLE:
        return False
    wanted = network.features(image.unsqueeze(0))
    network.backbone = fused
    found = network.features(image.unsqueeze(0))
    same = bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())
    if not same:
        network.backbone = plain
    return same
