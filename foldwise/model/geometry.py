"""From a decoded image of any size to the squares that a network takes."""

import cv2
import numpy as np

from foldwise.core.errors import UserError
from foldwise.model.settings import Model


def resize(pixels: np.ndarray, model: Model) -> np.ndarray:
    """(height, width, channels), stretched to a square of image_size or to the shortest edge."""
    height, width = pixels.shape[:2]
    size = resized_shape(height, width, model)
    if (height, width) == size:
        return pixels
    shrinks = min(height, width) > min(size)
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation)
    return resized.reshape(*size, pixels.shape[2])


def as_input(pixels: np.ndarray, model: Model) -> np.ndarray:
    """A decoded image as a network takes it: uint8 ([5 crops,] channels, size, size)."""
    return np.ascontiguousarray(np.moveaxis(cut(resize(pixels, model), model), -1, -3))


def resized_shape(height: int, width: int, model: Model) -> tuple[int, int]:
    """Height and width that `resize` brings an image to."""
    if model.shortest_edge is None:
        return model.image_size, model.image_size
    scale = model.shortest_edge / min(height, width)
    return round(height * scale), round(width * scale)


def centre(height: int, width: int, model: Model) -> tuple[int, int]:
    """Where in a resized image the centre square begins: its first row and column."""
    return round((height - model.image_size) / 2), round((width - model.image_size) / 2)


def over_whole(square: np.ndarray, height: int, width: int, model: Model) -> np.ndarray:
    """An array (size, size) of the centre square as one of the whole resized image, 0 elsewhere.

    Args:
        square: of what the network saw.
        height: of the image before it was resized, as `width`.
        model: says how it was.
    """
    whole = np.zeros(resized_shape(height, width, model), square.dtype)
    top, left = centre(whole.shape[0], whole.shape[1], model)
    whole[top : top + model.image_size, left : left + model.image_size] = square
    return whole


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
    corners = [centre(pixels.shape[0], pixels.shape[1], model)]
    if model.views == "five_crop":
        corners = [(0, 0), (0, beside), (below, 0), (below, beside), *corners]
    squares = [pixels[top : top + side, left : left + side] for top, left in corners]
    return np.stack(squares) if model.views == "five_crop" else squares[0]


def scaled(squares: np.ndarray, side: int) -> np.ndarray:
    """Squares (size, size, channels), or (5, size, size, channels), of fewer pixels."""
    if squares.ndim == 4:
        return np.stack([scaled(square, side) for square in squares])
    if len(squares) == side:
        return squares
    resized = cv2.resize(squares, (side, side), interpolation=cv2.INTER_AREA)
    return resized.reshape(side, side, squares.shape[2])
