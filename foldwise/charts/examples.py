"""A picture of images with their labels, predicted and true."""

from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

CELL = 192
GAP = 12
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""It has the letters of more languages than Pillow's own."""
FONT_SIZE = 14
LINE = 20
LINES = 3
COLUMNS = 4

# Okabe and Ito's palette: told apart by colour-blind readers; the marks do not need colour.
RIGHT, MISSED, WRONG = "#222222", "#0072B2", "#D55E00"


def draw_examples(
    images: list[np.ndarray], labels: np.ndarray, predicted: np.ndarray, classes: list[str]
) -> PIL.Image.Image:
    """A grid of images; under each its labels: found, (missed) and +wrongly added.

    A class whose name the font cannot write is given by its number, from #1 on.

    Args:
        images: arrays (height, width, channels) of uint8, grey or RGB.
        labels: (images, classes): 1, 0 or -1.
        predicted: (images, classes): 1 or 0.
        classes: their names.
    """
    rows = -(-len(images) // COLUMNS)
    height = CELL + LINES * LINE + GAP
    sheet = PIL.Image.new(
        "RGB", (COLUMNS * (CELL + GAP) + GAP, LINE + 2 * GAP + rows * height), "white"
    )
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.truetype(FONT, FONT_SIZE)
    legend = [("found", RIGHT), ("(missed)", MISSED), ("+wrongly added", WRONG)]
    shown = writable(classes, font)
    if shown != classes:
        legend.append(("#n: the n-th class", RIGHT))
    _write(draw, font, legend, GAP, GAP, sheet.width)
    for index, pixels in enumerate(images):
        left = GAP + index % COLUMNS * (CELL + GAP)
        top = LINE + 2 * GAP + index // COLUMNS * height
        sheet.paste(in_cell(pixels), (left, top))
        words = []
        for name, truth, guess in zip(shown, labels[index], predicted[index], strict=True):
            if truth == 1:
                words.append((name, RIGHT) if guess else (f"({name})", MISSED))
            elif truth == 0 and guess:
                words.append((f"+{name}", WRONG))
        _write(draw, font, words, left, top + CELL + 2, left + CELL)
    return sheet


def in_cell(pixels: np.ndarray) -> PIL.Image.Image:
    """An image (height, width[, channels]) as large as a cell allows, small ones by whole times."""
    picture = PIL.Image.fromarray(pixels.squeeze()).convert("RGB")
    picture.thumbnail((CELL, CELL))
    scale = CELL // max(picture.size)
    return picture.resize(
        (picture.width * scale, picture.height * scale), PIL.Image.Resampling.NEAREST
    )


def writable(names: list[str], font: PIL.ImageFont.FreeTypeFont) -> list[str]:
    """The names, or `#n` for the n-th where the font has no glyph for one of its characters."""
    none = _drawn(font, "\U0010ffff")  # no character, so what is drawn for any that is lacking
    known = {each: _drawn(font, each) != none for name in names for each in name}
    return [
        name if all(known[each] for each in name) else f"#{number}"
        for number, name in enumerate(names, 1)
    ]


def _drawn(font: PIL.ImageFont.FreeTypeFont, text: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(text)
    return mask.size, bytes(mask)


def _write(
    draw: PIL.ImageDraw.ImageDraw,
    font: PIL.ImageFont.FreeTypeFont,
    words: list[tuple[str, str]],
    left: int,
    top: int,
    right: int,
) -> None:
    """Write coloured words, wrapped at `right`; what does not fit `LINES` lines becomes '...'."""
    x, line = float(left), 0
    for word, colour in words:
        width = draw.textlength(word + " ", font=font)
        if x + width > right and x > left:
            x, line = float(left), line + 1
        if line == LINES - 1 and x + 2 * width > right:
            draw.text((x, top + line * LINE), "...", fill=RIGHT, font=font)
            return
        draw.text((x, top + line * LINE), word, fill=colour, font=font)
        x += width
