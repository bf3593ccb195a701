"""A picture of sets of images, a row of each."""

from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from foldwise.charts.examples import CELL, FONT, FONT_SIZE, GAP, LINE, RIGHT, in_cell

MOST = 8
"""Images of a row."""


def draw_rows(rows: Mapping[str, Sequence[np.ndarray]]) -> PIL.Image.Image:
    """Rows of images below each other, each under its title.

    Args:
        rows: by title, arrays (height, width[, channels]) of uint8, grey or RGB; `MOST` at most.
    """
    height = LINE + CELL + GAP
    size = (MOST * (CELL + GAP) + GAP, GAP + len(rows) * height)
    sheet = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.truetype(FONT, FONT_SIZE)
    for row, (title, images) in enumerate(rows.items()):
        top = GAP + row * height
        draw.text((GAP, top), title, fill=RIGHT, font=font)
        for column, pixels in enumerate(images):
            sheet.paste(in_cell(pixels), (GAP + column * (CELL + GAP), top + LINE))
    return sheet
