"""Many very small pictures as one."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from foldwise.report.thumbnails import QUALITY, shrunk

CELLS = (32, 28, 24, 20, 16, 12)
"""Sides of a picture's cell in pixels, of which the largest is taken that fits."""
GREY = 128
"""Around a picture that is no square."""


@dataclass(frozen=True)
class Sprite:
    """Pictures in rows, from the left, from the top."""

    side: int
    """Of a cell, in pixels."""
    columns: int
    encoded: str
    """WebP in base64."""


def make_sprite(pictures: Iterable[np.ndarray], room: int) -> Sprite:
    """All pictures, as large as they fit; else as small as may be.

    Args:
        pictures: (height, width, 3) BGR of uint8, one at a time; one at least.
        room: bytes of base64.

    >>> black = np.zeros((40, 20, 3), np.uint8)
    >>> sprite = make_sprite([black, black, black], 10_000)
    >>> sprite.side, sprite.columns
    (32, 2)
    """
    cells = np.stack([_in_cell(each) for each in pictures])
    columns = int(np.ceil(len(cells) ** 0.5))
    rows = -(-len(cells) // columns)
    filled = np.full((rows * columns, *cells.shape[1:]), GREY, np.uint8)
    filled[: len(cells)] = cells
    for side in CELLS:
        smaller = np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA)
                            for each in filled])  # fmt: skip
        sheet = smaller.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
        encoded = _webp(sheet.reshape(rows * side, columns * side, 3))
        if len(encoded) <= room:
            break
    return Sprite(side, columns, encoded)


def _in_cell(picture: np.ndarray) -> np.ndarray:
    """A picture in the middle of a cell; one that is smaller than that is enlarged."""
    side = CELLS[0]
    longest = max(picture.shape[:2])
    if longest < side:
        height, width = (max(1, each * side // longest) for each in picture.shape[:2])
        size = width, height
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    picture = shrunk(picture, side)
    height, width = picture.shape[:2]
    cell = np.full((side, side, 3), GREY, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    cell[top : top + height, left : left + width] = picture
    return cell


def _webp(pixels: np.ndarray) -> str:
    done, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of {pixels.shape} pixels cannot be written as WebP")
    return base64.b64encode(data.tobytes()).decode("ascii")
