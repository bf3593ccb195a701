"""What the last layer of a network is given, kept on the way to logits: no pass of its own."""

from typing import Any

import numpy as np
import torch
from torch import nn

from foldwise.model.classifier import Classifier

LARGEST = float(np.finfo(np.float16).max)


class LastFeatures:
    """The last features of all images that go through a network, in the order in which they do.

    Of several crops and of the places of a map it is their mean.
    """

    def __init__(self) -> None:
        self._seen: torch.Tensor | None = None
        self._waiting: torch.Tensor | None = None
        self._parts: list[np.ndarray] = []
        self._watched = False

    def watch(self, network: Classifier) -> None:
        """Look at what its last layer is given from now on; a second time it does nothing."""
        if not self._watched:
            self._watched = True
            network.fc.register_forward_pre_hook(self._before_last)

    def _before_last(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        self._seen = given[0]

    def saw(self, given: torch.Tensor) -> None:
        """What the last layer of a network that cannot be watched was given."""
        self._seen = given

    def keep(self, images: int) -> None:
        """Keep the features of the latest pass.

        Args:
            images: that went through it, each as one input or as several.
        """
        assert self._seen is not None
        given, self._seen = self._seen, None
        # Crops stand side by side; what stands between an image and its features is places.
        pooled = given.float().reshape(images, -1, given.shape[-1]).mean(1)
        self._fetch()
        # No feature is lost for being too large: it is as large as may be.
        self._waiting = pooled.clamp(-LARGEST, LARGEST).half()

    def taken(self) -> np.ndarray:
        """float16 (images, features) of all that was kept since the last time; then no more."""
        self._fetch()
        assert self._parts
        parts, self._parts = self._parts, []
        return np.concatenate(parts)

    def _fetch(self) -> None:
        # One batch later, when the device has the next one to work on.
        if self._waiting is not None:
            self._parts.append(self._waiting.cpu().numpy())
            self._waiting = None


class WithFeatures(nn.Module):
    """A network whose outputs are its logits, and what its last layer was given."""

    def __init__(self, network: Classifier) -> None:
        """
        Args:
            network: ready for inference.
        """
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(images, [crops,] channels, height, width) to (images, classes) and (..., features)."""
        found: list[torch.Tensor] = []

        def before_last(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            found.append(given[0])

        handle = self.network.fc.register_forward_pre_hook(before_last)
        try:
            logits = self.network(images)
        finally:
            handle.remove()
        return logits, found[0]
