"""From pixels to what a network takes."""

import torch
from torch import nn


class Normalizer(nn.Module):
    """Pixels 0-255 to numbers of mean 0 and deviation 1, per channel."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """
        Args:
            mean: of pixels scaled to 0-1, one value per channel.
            std: likewise.
        """
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 to float32, both (images, channels, height, width)."""
        return images.float().div_(255).sub_(self.mean).div_(self.std)
