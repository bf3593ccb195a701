"""Mixup and CutMix for labels of several classes, by torchvision."""

from typing import Any

import torch


class Mixing:
    """Blends every image of a batch with another, and their labels alike.

    What either of two images ignores, their blend ignores. Draws from torch's global state.
    """

    def __init__(self, mixup: float, cutmix: float) -> None:
        """
        Args:
            mixup: alpha of mixup's Beta distribution; 0: no mixup.
            cutmix: alpha of CutMix's; 0: no CutMix.
        """
        self._choices: list[Any] = []
        if mixup or cutmix:
            # Only who mixes needs torchvision, which takes a second to import.
            from torchvision.transforms.v2 import CutMix, MixUp

            makers = ((MixUp, mixup), (CutMix, cutmix))
            self._choices = [maker(alpha=alpha) for maker, alpha in makers if alpha > 0]

    def __call__(
        self, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """All mixed.

        Args:
            images: float (images, channels, height, width).
            targets: labels, and what else images have, each (images, numbers); -1 is ignored.
        """
        if not self._choices:
            return images, list(targets)
        which = int(torch.randint(len(self._choices), ()))
        together = torch.cat(targets, 1)
        # Ignoring is mixed beside the labels, as if it were classes of its own.
        beside = torch.cat([together.clamp(min=0), (together < 0).float()], 1)
        images, beside = self._choices[which](images, beside)
        mixed, ignored = beside.chunk(2, 1)
        mixed = torch.where(ignored > 0, -1.0, mixed)
        return images, list(torch.split(mixed, [each.shape[1] for each in targets], 1))
