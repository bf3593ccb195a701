"""A trained network made ready to run: the same function, as fast as this machine has it."""

import copy
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from foldwise.core.errors import UserError
from foldwise.inference.last_features import LastFeatures, WithFeatures
from foldwise.inference.onnx import export_network, open_session
from foldwise.model.classifier import Classifier

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Normalised images, or their crops, to logits (images, classes), both on the device."""

WORTH = 3e12
"""Floating-point operations, about a minute of two cores, from which on a CPU onnxruntime saves
more time than bringing the network to it takes."""
DEPTHWISE = 100
"""Operations of other convolutions that take torch as long, on a CPU, as one of a depthwise one."""
# What tracing ends in where a forward pass depends on shapes or values; it stays as it is then.
UNTRACEABLE = (TraceError, TypeError, ValueError, RuntimeError, AttributeError, LookupError)
# Largest difference of features, relative to the largest feature.
TOLERANCE = 1e-4


class FeaturesAlone(Classifier):
    """A classifier whose outputs are its features."""

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """The features as they are."""
        return features


def features_alone(network: Classifier) -> FeaturesAlone:
    """The backbone of a network, copied, ready for inference: images to features."""
    backbone, fc = copy.deepcopy((network.backbone, network.fc))
    return FeaturesAlone(backbone, fc, norm=None, dropout=0.0).eval()


def ready(
    network: Classifier,
    image: torch.Tensor,
    device: torch.device,
    engine: Literal["auto", "torch", "onnx"],
    passes: int,
    last: LastFeatures | None = None,
) -> Forward:
    """The network's forward pass, of `features_alone` to features.

    Args:
        network: ready for inference; it is moved to the device, and may be changed.
        image: normalised, ([crops,] channels, height, width), by which the network is looked at.
        device: to run on.
        engine: `auto` takes onnxruntime on a CPU where it is worth it.
        passes: how many images will go through.
        last: is to see what the last layer is given.

    Raises:
        UserError: onnxruntime is asked for, and cannot run this network or on this device.
    """
    network.to(device)
    image = image.to(device)
    if engine == "onnx" and device.type != "cpu":
        raise UserError("params.yaml: compute.engine: onnx runs on the CPU alone; write auto")
    worth = device.type == "cpu" and passes * operations(network, image, DEPTHWISE) >= WORTH
    if engine == "onnx" or (engine == "auto" and worth):
        try:
            return _by_onnxruntime(network, image, last)
        except ValueError as error:
            if engine == "onnx":
                raise UserError(
                    f"params.yaml: compute.engine: this network cannot be brought to ONNX ({error})"
                    "; write auto"
                ) from None
            print(f"not by onnxruntime, but by torch: {error}", file=sys.stderr)
    fuse_batch_norm(network, image)
    if last is not None:
        last.watch(network)
    return network


@torch.inference_mode()
def operations(network: Classifier, image: torch.Tensor, depthwise: int = 1) -> int:
    """Floating-point operations of one image's convolutions and linear layers.

    Two per weight and place that it is applied at, as torch's FlopCounterMode counts them; that
    one's import takes longer than many a prediction.

    Args:
        network: on any device.
        image: normalised, on the same.
        depthwise: how often an operation of a depthwise convolution counts.
    """
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        # A weight of shape (out, ...) makes each of the output's numbers from the rest of it.
        weight = getattr(layer, "weight")  # noqa: B009  # to mypy a module or a tensor
        slow = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        total += 2 * output.numel() * weight[0].numel() * (depthwise if slow else 1)

    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [each.register_forward_hook(count) for each in layers]
    try:
        network(image.unsqueeze(0))
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _by_onnxruntime(network: Classifier, image: torch.Tensor, last: LastFeatures | None) -> Forward:
    outputs = ["logits"] if last is None else ["logits", "features"]
    module = network if last is None else WithFeatures(network).eval()
    example = image.unsqueeze(0).repeat(2, *([1] * image.ndim))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "network.onnx"
        export_network(module, example, path, {}, outputs)
        graph = open_session(path, torch.get_num_threads())

    def forward(images: torch.Tensor) -> torch.Tensor:
        found = graph.run(outputs, {"images": images.contiguous().numpy()})
        if last is not None:
            last.saw(torch.from_numpy(found[1]))
        return torch.from_numpy(found[0])

    return forward


@contextmanager
def whole_float32() -> Iterator[None]:
    """GPUs convolve float32 with all its bits, and not with the 10 of TF32's mantissa."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


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
    with whole_float32():
        wanted = network.features(image.unsqueeze(0))
        network.backbone = fused
        found = network.features(image.unsqueeze(0))
    same = bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())
    if not same:
        network.backbone = plain
    return same
