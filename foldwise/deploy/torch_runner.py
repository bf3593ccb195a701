"""Trained members as the ensemble uses them: pixels in, logits of all used views merged out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.deploy.merge_torch import MergedViews
from foldwise.ensembling.settings import Merge
from foldwise.inference.finite import check_finite
from foldwise.inference.view_logits import ThroughViews, input_of
from foldwise.model.classifier import Classifier
from foldwise.model.saved import load_member, weights_sum
from foldwise.model.settings import Model
from foldwise.model.views import make_view

BUILT_BY = {"backbone", "options", "pooling", "head"}
"""Of a model's settings those that its backbone is made by, beside its weights."""


class FoldNetwork(MergedViews):
    """A trained member of one fold, which knows where it was loaded from."""

    def __init__(self, seen: ThroughViews, merge: Merge, source: str, frozen: bool) -> None:
        super().__init__(seen, merge)
        self.source = source
        self.frozen = frozen
        """Its backbone is that of every fold."""

    @property
    def network(self) -> Classifier:
        """What looks at every view."""
        network = self.seen.network
        assert isinstance(network, Classifier)  # of `load_fold`
        return network


class SharedBackbone(nn.Module):
    """A backbone of several networks, which are shown the same images one after the other."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (images, features), computed once for as long as the images are the same."""
        if self._last is None or not _same(self._last[0], images):
            self._last = images, self.backbone(images)
        return self._last[1]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def share_backbones(loaded: Iterable[tuple[FoldNetwork, Model]]) -> None:
    """Let networks whose frozen backbones are the same run them once per batch of images.

    Args:
        loaded: by `load_fold`.
    """
    shared: dict[tuple[str, str], SharedBackbone] = {}
    for module, model in loaded:
        if module.frozen:
            network = module.network
            # What a forward pass does, its layers need not tell: pooling of tokens, say.
            built = repr((model.model_dump(include=BUILT_BY), network.backbone))
            own = SharedBackbone(network.backbone)
            network.backbone = shared.setdefault((built, weights_sum(network.backbone)), own)


def load_fold(
    folder: Path, classes: Sequence[str], views: Sequence[str], merge: Merge
) -> tuple[FoldNetwork, Model]:
    """A trained member of one fold (on CPU, ready for inference).

    Args:
        folder: of its weights.
        classes: names that its outputs will be given, in order.
        views: that its images are seen through.
        merge: how their logits become one.

    Returns:
        The network, and what its input must be.

    Raises:
        UserError: the folder holds no trained member, a damaged one, or one of other classes.
    """
    trained = load_member(folder)
    if trained.classes != list(classes):
        raise UserError(f"{folder}: was trained on other classes; run `dvc repro`")
    made = [make_view(name) for name in views]
    seen = ThroughViews(trained.network, trained.model, made, trained.softmax, together=True)
    module = FoldNetwork(seen, merge, str(folder), trained.frozen).eval()
    return module, input_of(trained.model, made)


class TorchRunner:
    """Runs one fold's network on a device."""

    def __init__(self, module: FoldNetwork, device: torch.device) -> None:
        module.network.use_channels_last()
        self._module = module.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 images, as `geometry.as_input` makes them, to float32 logits (images, classes).

        Raises `UserError` if some are no finite numbers.
        """
        logits = self._module(torch.from_numpy(images).to(self._device))
        return check_finite(logits.cpu().numpy(), self._module.source)
