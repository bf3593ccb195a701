"""From a decoded image of any size to the squares that a network takes."""

import cv2
import numpy as np

from stages.errors import UserError
from stages.settings.model import Model


def resize(pixels: np.ndarray, model: Model) -> np.ndarray:
    """(height, width, channels), stretched to a square of image_size or to the shortest edge."""
    height, width = pixels.shape[:2]
    if model.shortest_edge is None:
        size = (model.image_size, model.image_size)
    else:
        scale = model.shortest_edge / min(height, width)
        size = (round(height * scale), round(width * scale))
    if (height, width) == size:
        return pixels
    shrinks = min(height, width) > min(size)
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation)
    return resized.reshape(*size, pixels.shape[2])


def as_input(pixels: np.ndarray, model: Model) -> np.ndarray:
    """A decoded image as a network takes it: uint8 ([5 crops,] channels, size, size)."""
    return np.ascontiguousarray(np.moveaxis(cut(resize(pixels, model), model), -1, -3))


def cut(pixels: np.ndarray, model: Model) -> np.ndarray:
    """Squares of image_size: the centre, (size, size, channels), or (5, size, size, channels).

    The five are the top left, top right, bottom left and bottom right corners and the centre, in
    torchvision's order.

    Raises `UserError` if augmentation left too little to cut them from or, where images are
    stretched to a square, another shape.
    """
    side = model.image_size
    stretched = model.shortest_edge is None
    if min(pixels.shape[:2]) < side or (stretched and pixels.shape[:2] != (side, side)):
        raise UserError(
            f"params.yaml: train.augment: makes images of {pixels.shape[0]} x {pixels.shape[1]} "
            f"pixels for a network that takes {side} x {side}; let it keep their size, or write "
            "`augment_from: original`"
        )
    below, beside = pixels.shape[0] - side, pixels.shape[1] - side
    corners = [(round(below / 2), round(beside / 2))]
    if model.views == "five_crop":
        corners = [(0, 0), (0, beside), (below, 0), (below, beside), *corners]
    squares = [pixels[top : top + side, left : left + side] for top, left in corners]
    return np.stack(squares) if model.views == "five_crop" else squares[0]
