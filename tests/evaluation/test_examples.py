"""The picture of example images."""

import numpy as np
import PIL.ImageFont

from foldwise.charts.examples import FONT, draw_examples, writable


def test_names_that_the_font_lacks_are_given_by_number() -> None:
    font = PIL.ImageFont.truetype(FONT, 15)
    names = ["cat", "고양이", "naïve", "x\N{WAVING HAND SIGN}", "</b>", "кошка"]
    assert writable(names, font) == ["cat", "#2", "naïve", "#4", "</b>", "кошка"]


def test_two_such_names_look_different() -> None:
    """Not the same row of boxes."""
    image = [np.zeros((8, 8, 3), np.uint8)]
    none = np.zeros((1, 2), np.int8)
    first = draw_examples(image, np.array([[1, 0]]), none, ["고양이", "호랑이"])
    second = draw_examples(image, np.array([[0, 1]]), none, ["고양이", "호랑이"])
    assert first.tobytes() != second.tobytes()
