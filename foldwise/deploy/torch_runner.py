"""Trained members as the ensemble uses them: pixels in, logits of all used views merged out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from foldwise.core.errors import UserError
from foldwise.deploy.merge_torch import MergedViews
from foldwise.ensembling.settings import Merge
from foldwise.inference.finite import check_finite
from foldwise.inference.view_logits import ThroughViews, input_of
from foldwise.model.classifier import Classifier
from foldwise.model.saved import load_member
from foldwise.model.settings import Model
from foldwise.model.views import make_view


class FoldNetwork(MergedViews):
    """A trained member of one fold, which knows where it was loaded from."""

    def __init__(self, seen: ThroughViews, merge: Merge, source: str) -> None:
        super().__init__(seen, merge)
        self.source = source


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
    return FoldNetwork(seen, merge, str(folder)).eval(), input_of(trained.model, made)


class TorchRunner:
    """Runs one fold's network on a device."""

    def __init__(self, module: FoldNetwork, device: torch.device) -> None:
        network = module.seen.network
        assert isinstance(network, Classifier)  # of `load_fold`
        network.use_channels_last()
        self._module = module.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 images, as `geometry.as_input` makes them, to float32 logits (images, classes).

        Raises `UserError` if some are no finite numbers.
        """
        logits = self._module(torch.from_numpy(images).to(self._device))
        return check_finite(logits.cpu().numpy(), self._module.source)
