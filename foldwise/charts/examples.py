"""A picture of images with their labels, predicted and true."""

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

CELL = 192
GAP = 12
FONT_SIZE = 15
LINE = 20
LINES = 3
COLUMNS = 4

# Okabe and Ito's palette: told apart by colour-blind readers; the marks do not need colour.
RIGHT, MISSED, WRONG = "#222222", "#0072B2", "#D55E00"


def draw_examples(
    images: list[np.ndarray], labels: np.ndarray, predicted: np.ndarray, classes: list[str]
) -> PIL.Image.Image:
    """A grid of images; under each its labels: found, (missed) and +wrongly added.

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
    font = PIL.ImageFont.load_default(FONT_SIZE)
    legend = [("found", RIGHT), ("(missed)", MISSED), ("+wrongly added", WRONG)]
    _write(draw, font, legend, GAP, GAP, sheet.width)
    for index, pixels in enumerate(images):
        left = GAP + index % COLUMNS * (CELL + GAP)
        top = LINE + 2 * GAP + index // COLUMNS * height
        picture = PIL.Image.fromarray(pixels.squeeze()).convert("RGB")
        picture.thumbnail((CELL, CELL))
        scale = CELL // max(picture.size)
        picture = picture.resize(
            (picture.width * scale, picture.height * scale), PIL.Image.Resampling.NEAREST
        )
        sheet.paste(picture, (left, top))
        words = []
        for name, truth, guess in zip(classes, labels[index], predicted[index], strict=True):
            if truth == 1:
                words.append((name, RIGHT) if guess else (f"({name})", MISSED))
            elif truth == 0 and guess:
                words.append((f"+{name}", WRONG))
        _write(draw, font, words, left, top + CELL + 2, left + CELL)
    return sheet


def _write(
    draw: PIL.ImageDraw.ImageDraw,
    font: PIL.ImageFont.ImageFont | PIL.ImageFont.FreeTypeFont,
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
