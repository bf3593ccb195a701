"""Test-time augmentation: each view is an exact transform of a batch, with a name."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from foldwise.core.errors import UserError
from foldwise.view_names import CORNERS, corner_of

Transform = Callable[[torch.Tensor], torch.Tensor]

CENTRE = len(CORNERS)

FIXED: dict[str, Transform] = {
    "identity": lambda images: images,
    "hflip": lambda images: images.flip(-1),
    "vflip": lambda images: images.flip(-2),
    "rot90": lambda images: images.rot90(1, (-2, -1)),
    "rot180": lambda images: images.rot90(2, (-2, -1)),
    "rot270": lambda images: images.rot90(3, (-2, -1)),
    "transpose": lambda images: images.transpose(-2, -1),
    "antitranspose": lambda images: images.transpose(-2, -1).flip(-2, -1),
}


@dataclass(frozen=True)
class View:
    """An exact transform of images (..., channels, height, width) to the same shape."""

    factors: tuple[Transform, ...]
    crop: int = CENTRE
    """Which of an image's five crops it is of: a corner in the order of `CORNERS`, or the centre,
    which is the image itself where it was not cut."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The images, or their crops of the right corner, transformed."""
        for factor in reversed(self.factors):
            images = factor(images)
        return images


def make_view(name: str) -> View:
    """The view of that name.

    `transpose` mirrors at the falling diagonal, `antitranspose` at the rising one. `rot90` and its
    like turn counter-clockwise, as `rotate(degrees)` does about the centre; `scale(factor)`
    enlarges (or shrinks) about the centre; both interpolate bilinearly. `shift(right, down)` moves
    by whole pixels. Where a transform looks beyond the border, the border's pixels are repeated.
    `a * b` is b, then a; `top_left` and its like, always the last, are a crop of the whole image.
    """
    corner = corner_of(name)
    names = [each.strip() for each in name.split("*")]
    if corner is None:
        return View(tuple(_single(each) for each in names))
    return View(tuple(_single(each) for each in names[:-1]), CORNERS.index(corner))


def _single(name: str) -> Transform:
    if name in FIXED:
        return FIXED[name]
    match = re.fullmatch(r"(rotate|shift|scale)\((.+)\)", name)
    if match is None:
        raise UserError(f"params.yaml: there is no view '{name}'")
    numbers = [float(each) for each in match[2].split(",")]
    if match[1] == "shift":
        return lambda images: shift(images, int(numbers[0]), int(numbers[1]))
    degrees, factor = (numbers[0], 1.0) if match[1] == "rotate" else (0.0, numbers[0])
    return lambda images: turn(images, degrees, factor)


def shift(images: torch.Tensor, right: int, down: int) -> torch.Tensor:
    """Move the content by whole pixels; negative numbers move left and up."""
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[..., rows, :][..., columns]


def turn(images: torch.Tensor, degrees: float, factor: float) -> torch.Tensor:
    """Turn the content counter-clockwise about the image's centre, and enlarge it."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    cos, sin = float(angle.cos()) / factor, float(angle.sin()) / factor
    # Output to input, in coordinates that run from -1 to 1 over each side.
    matrix = torch.tensor(
        [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]],
        dtype=torch.float32,
        device=images.device,
    )
    flat = images.flatten(0, -4)
    grid = F.affine_grid(matrix[None], [1, *flat.shape[1:]], align_corners=False)
    grid = grid.expand(flat.shape[0], -1, -1, -1)
    seen = F.grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.reshape(images.shape)
