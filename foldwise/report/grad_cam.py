"""Heat maps: where in an image a network sees a class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.views import CENTRE

BATCH = 32
"""Images at a time; their activations are kept for the gradient."""


def heat_maps(
    network: nn.Module,
    normalize: Normalizer,
    images: torch.Tensor,
    classes: Sequence[int],
) -> np.ndarray:
    """float32 (images, height, width): Grad-CAM of one class per image, 0 to 1, the largest 1.

    The channels of the network's last map of features, weighted by the mean gradient of the class's
    logit, added up; what speaks against the class is 0 (Selvaraju et al. 2017, "Grad-CAM: visual
    explanations from deep networks via gradient-based localization"), by captum, enlarged
    bilinearly. A map is 0 all over where nothing speaks for the class.

    Args:
        network: on any device; its parameters, and which of its modules are training, stay as
            they are.
        normalize: from pixels to what the network takes.
        images: uint8 (images, [crops,] channels, height, width); of crops, the centre one.
        classes: (images,): index of the class of each.

    Raises:
        UserError: the network has no map of features, as a vision transformer has none.
    """
    squares = images[:, CENTRE] if images.ndim == 5 else images
    maps = np.zeros((len(squares), *squares.shape[-2:]), np.float32)
    if not len(squares):
        return maps
    device = next(network.parameters()).device
    normalize = normalize.to(device)
    with _still(network), torch.enable_grad():
        layer = last_map(network, normalize(squares[:1].to(device)))
        method = LayerGradCam(network, layer)
        for start in range(0, len(squares), BATCH):
            part = slice(start, start + BATCH)
            pixels = normalize(squares[part].to(device))
            targets = [int(each) for each in classes[part]]
            found = method.attribute(pixels, targets, relu_attributions=True)
            large = LayerAttribution.interpolate(found, tuple(pixels.shape[-2:]), "bilinear")
            maps[part] = large.detach()[:, 0].cpu().numpy()
    most = maps.max((1, 2), keepdims=True)
    return np.divide(maps, most, out=np.zeros_like(maps), where=most > 0)


@torch.no_grad()
def last_map(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """The module whose output is the last map of features, (images, channels, height, width).

    Args:
        network: in the mode in which it is to be looked at.
        image: normalised, (1, channels, height, width).

    Raises:
        UserError: there is none, or after it positions are still told apart by other means:
            tokens, or channels that come last.
    """
    last: nn.Module | None = None
    tokens = False

    def look(module: nn.Module, _: object, output: object) -> None:
        nonlocal last, tokens
        if not isinstance(output, torch.Tensor) or output.ndim < 3:
            return
        height, width = output.shape[-2:]
        square = output.ndim == 4 and height * image.shape[-1] == width * image.shape[-2]
        if square and height > 1:
            last, tokens = module, False
        elif output.shape[1:].numel() > max(output.shape[1:]):
            tokens = True

    # Not a head's queries, which look at all places of a map alike: its gradient says where.
    whole = network.backbone if isinstance(network, Classifier) else network
    hooks = [each.register_forward_hook(look) for each in whole.modules()]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    if last is None or tokens:
        raise UserError(
            "params.yaml: evaluate.heatmaps: the network of the first member has no map of "
            "features (channels, height, width) before its head; write `heatmaps: false`"
        )
    return last


@contextmanager
def _still(network: nn.Module) -> Iterator[None]:
    """Every module in its mode of inference, and cuDNN exact from run to run; then as before."""
    training = [each for each in network.modules() if each.training]
    network.eval()
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        for each in training:
            each.training = True
