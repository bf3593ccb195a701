"""`foldwise/bottleneck_resnet`: a residual network of bottleneck blocks, trained from scratch.

After He et al., "Deep Residual Learning for Image Recognition" (2016), but each block widens its
channels twofold where theirs do fourfold.
"""

from collections.abc import Sequence

import torch
from torch import nn

from foldwise.model.pooling import GlobalPool

EXPANSION = 2


class Bottleneck(nn.Module):
    """1x1 to `width`, 3x3 with the stride, 1x1 to twice the width, added to a shortcut."""

    def __init__(self, channels: int, width: int, stride: int, drop: float = 0.0) -> None:
        super().__init__()
        out = EXPANSION * width
        self.residual = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        self.drop: nn.Module = nn.Identity()
        if drop:
            # Only who drops pays for torchvision's import.
            from torchvision.ops import StochasticDepth

            self.drop = StochasticDepth(drop, "row")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(images, channels, height, width) to (images, 2 * width, height / stride, ...)."""
        return torch.relu(self.drop(self.residual(features)) + self.shortcut(features))


class BottleneckResnet(nn.Module):
    """7x7 stem of stride 2, max pooling, stages of bottleneck blocks, average pooling, one layer.

    Every stage but the first halves height and width.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 3, 5, 3),
        drop_path: float = 0.0,
    ) -> None:
        """
        Args:
            channels: of the input.
            classes: outputs.
            widths: channels inside the blocks of each stage; twice as many leave it.
            depths: blocks of each stage.
            drop_path: share of the images that pass the last block by its shortcut alone, in
                training; of L blocks, block l is passed l / L times as often.
        """
        super().__init__()
        if len(widths) != len(depths):
            raise ValueError("widths and depths need one number per stage each")
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
        )
        blocks: list[nn.Module] = []
        inner = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                drop = drop_path * (len(blocks) + 1) / sum(depths)
                blocks.append(Bottleneck(inner, width, stride, drop))
                inner = EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.pool = GlobalPool("avg", flatten=True)
        self.fc = nn.Linear(inner, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(images, channels, height, width) to logits (images, classes)."""
        return self.fc(self.pool(self.blocks(self.stem(images))))
