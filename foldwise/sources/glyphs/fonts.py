"""Letters that come with installed packages, and characters of fonts that the user adds."""

import io
import string
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from foldwise.composing.glyph_set import GlyphSet
from foldwise.core.errors import UserError
from foldwise.sources.glyphs.sets import LETTERS
from foldwise.sources.tree import Tree

SIDE = 32
"""Height and width of a glyph, in pixels."""
MARGIN = 2
DRAWN = 96
"""Height at which characters are drawn before they are scaled down, in pixels."""

HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
# Syllables without a final consonant, which are the plainest, a few of each initial.
HANGUL = [chr(code) for code in range(0xAC00, 0xD7A4, 28 * 6)]
NO_CHARACTER = "\U0010ffff"

Font = ImageFont.FreeTypeFont


def fonts(tree: Tree) -> GlyphSet:
    """The letters a-z, both cases, in matplotlib's DejaVu, OpenCV's Hershey and added fonts."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    written = [_dejavu(name) for name in _dejavu_names()] + added_fonts(tree)
    for index, letter in enumerate(LETTERS):
        drawn = []
        for character in (letter, letter.upper()):
            drawn += [_draw(character, font) for font in written if has(font, character)]
            drawn += [_stroke(character, font) for font in HERSHEY]
        # Fonts share some of their shapes; train and test images may not.
        distinct = {glyph.tobytes(): glyph for glyph in map(_centred, drawn)}
        images += distinct.values()
        labels += [index] * len(distinct)
    return GlyphSet("fonts", LETTERS, np.stack(images), np.array(labels, np.int64))


def hangul(tree: Tree) -> np.ndarray:
    """(characters, height, width) uint8: Hangul of those added fonts that have it, maybe none."""
    drawn = [
        _centred(_draw(character, font))
        for font in added_fonts(tree)
        for character in HANGUL
        if has(font, character)
    ]
    return np.stack(drawn) if drawn else np.empty((0, SIDE, SIDE), np.uint8)


def added_fonts(tree: Tree) -> list[Font]:
    """Every .ttf and .otf file of the data's folder.

    Raises `UserError` for one that is no font.
    """
    found = []
    for name in tree.files:
        if name.lower().endswith((".ttf", ".otf")):
            try:
                found.append(ImageFont.truetype(io.BytesIO(tree.require(name)), DRAWN))
            except OSError:
                raise UserError(f"{tree.label(name)}: is no readable font; replace it") from None
    return found


def has(font: Font, character: str) -> bool:
    """Whether a font has a character, rather than nothing or an empty box in its place."""
    ink = bytes(font.getmask(character))
    return any(ink) and ink != bytes(font.getmask(NO_CHARACTER))


def _dejavu_names() -> list[str]:
    styles = ("", "-Bold", "-Oblique", "-BoldOblique")
    serif = ("", "-Bold", "-Italic", "-BoldItalic")
    return [
        *(f"DejaVuSans{style}" for style in styles),
        *(f"DejaVuSansMono{style}" for style in styles),
        *(f"DejaVuSerif{style}" for style in serif),
    ]


def _dejavu(name: str) -> Font:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), DRAWN)


def _draw(character: str, font: Font) -> np.ndarray:
    image = Image.new("L", (3 * DRAWN, 3 * DRAWN))
    ImageDraw.Draw(image).text((DRAWN, DRAWN), character, font=font, fill=255)
    return np.asarray(image)


def _stroke(character: str, font: int) -> np.ndarray:
    assert character in string.ascii_letters
    image = np.zeros((3 * DRAWN, 3 * DRAWN), np.uint8)
    cv2.putText(image, character, (DRAWN, 2 * DRAWN), font, 4, 255, 7, cv2.LINE_AA)
    return image


def _centred(drawn: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8: the ink of a drawing in the middle, its longer side filling it."""
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    ink = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = (SIDE - 2 * MARGIN) / max(ink.shape)
    height, width = (max(1, round(each * scale)) for each in ink.shape)
    glyph = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    glyph[top : top + height, left : left + width] = cv2.resize(
        ink, (width, height), interpolation=cv2.INTER_AREA
    )
    return glyph
