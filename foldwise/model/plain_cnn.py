"""`foldwise/plain_cnn`: a small convolutional network for small images, trained from scratch."""

import torch
from torch import nn

from foldwise.model.pooling import GlobalPool


class PlainCnn(nn.Module):
    """3x3 convolutions with batch normalisation, global maximum pooling and one linear layer.

    The maximum suits images that show several small things anywhere: one strong response is
    enough for a class, wherever it is.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: tuple[int, ...] = (16, 32, 64, 128, 128),
        pools: tuple[int, ...] = (0, 1, 2),
    ) -> None:
        """
        Args:
            channels: of the input.
            classes: outputs.
            widths: channels after each convolution.
            pools: convolutions, counted from 0, after which height and width are halved.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            if index in pools:
                layers.append(nn.MaxPool2d(2))
            channels = width
        self.features = nn.Sequential(*layers)
        self.pool = GlobalPool("max", flatten=True)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(images, channels, height, width) to logits (images, classes)."""
        return self.fc(self.pool(self.features(images)))
