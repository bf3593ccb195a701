"""Test-time augmentation: every view's logits of every image."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from foldwise.inference.finite import check_finite
from foldwise.inference.last_features import LastFeatures
from foldwise.inference.log_odds import softmax_log_odds
from foldwise.inference.runtime import Forward
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.settings import Model
from foldwise.model.views import CENTRE, View

AT_ONCE = 1024
"""Images whose features are in memory together."""


class ThroughViews(nn.Module):
    """A network that looks at pixels through every view."""

    def __init__(
        self,
        network: Forward,
        model: Model,
        views: Sequence[View],
        softmax: bool = False,
        together: bool = False,
        last: LastFeatures | None = None,
    ) -> None:
        """
        Args:
            network: normalised images to logits; a module, or what `ready` makes of one.
            model: says how pixels are normalised.
            views: that an image is seen through. Where one of them is of a corner, images come as
                their five crops, of which each view takes one.
            softmax: the network's outputs are a softmax's; each class's log-odds are given.
            together: all views in one pass, so that a graph has every layer once; else one after
                the other, in the memory of one.
            last: keeps what the last layer is given through the first view, which it watches.
        """
        super().__init__()
        self.network = network
        self.normalize = Normalizer(*model.mean_and_std())
        self._views = tuple(views)
        self._softmax = softmax
        self._together = together
        self._last = last
        self.cut = cut_to_crops(views)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of each class, float32 (views, images, classes); sigmoids are probabilities.

        Args:
            images: uint8 (images, [5 crops,] channels, height, width).
        """
        pixels = self.normalize(images)
        crops = pixels.unbind(1) if self.cut else [pixels] * (CENTRE + 1)
        if self._together:
            seen = torch.cat([view(crops[view.crop]) for view in self._views])
            found = self.network(seen)
            logits = found.reshape(len(self._views), images.shape[0], found.shape[1])
        else:
            each = []
            for view in self._views:
                each.append(self.network(view(crops[view.crop])).float())
                if self._last is not None and len(each) == 1:
                    self._last.keep(images.shape[0])
            logits = torch.stack(each)
        if logits.device.type == "mps":
            # Apple's GPUs have no float64, which log-odds and merging need.
            logits = logits.cpu()
        return softmax_log_odds(logits) if self._softmax else logits


def cut_to_crops(views: Sequence[View]) -> bool:
    """Whether images have to come as their five crops: a view is of one of the corners."""
    return any(view.crop != CENTRE for view in views)


def input_of(model: Model, views: Sequence[View]) -> Model:
    """What images must be cut to for a member that sees them through these views."""
    return model.model_copy(update={"views": "five_crop"}) if cut_to_crops(views) else model


@torch.inference_mode()
def head_logits(
    network: Classifier,
    features: Callable[[int, Sequence[str]], np.ndarray],
    views: int,
    ids: Sequence[str],
    softmax: bool,
    source: str,
    last: LastFeatures | None = None,
) -> np.ndarray:
    """float32 (views, images, classes), of features that were computed before.

    Args:
        network: on the CPU, ready for inference; its head alone is used.
        features: float32 (images, [crops,] features) through the view of a position, of some ids.
        views: how many.
        ids: of the images.
        softmax: as for `ThroughViews`.
        source: of the network, for people.
        last: keeps what the last layer is given of the first view, which it watches.

    Raises:
        UserError: some logits are no finite numbers.
    """
    parts = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        each = []
        for view in range(views):
            each.append(network.head(torch.from_numpy(features(view, some))))
            if last is not None and view == 0:
                last.keep(len(some))
        logits = torch.stack(each)
        parts.append(
            check_finite((softmax_log_odds(logits) if softmax else logits).numpy(), source)
        )
    return np.concatenate(parts, 1)


@torch.inference_mode()
def view_logits(
    seen: ThroughViews, batches: Iterable[Any], device: torch.device, source: str
) -> np.ndarray:
    """float32 (views, images, classes) of all batches.

    Args:
        seen: the network and its views.
        batches: of (images uint8 (images, [crops,] channels, height, width), anything).
        device: that the network is on.
        source: of the network, for people.

    Raises:
        UserError: some logits are no finite numbers.
    """
    seen.normalize.to(device)
    parts: list[np.ndarray] = []
    before: torch.Tensor | None = None
    for images, _ in batches:
        found = seen(images.to(device, non_blocking=True))
        # Fetched one batch later, when the device has the next one to work on.
        if before is not None:
            parts.append(check_finite(before.cpu().numpy(), source))
        before = found
    assert before is not None
    parts.append(check_finite(before.cpu().numpy(), source))
    return np.concatenate(parts, 1)
