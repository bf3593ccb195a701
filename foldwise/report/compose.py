"""The report with as many galleries as it has room for."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from foldwise.charts.style import hardest
from foldwise.evaluation.part import Part
from foldwise.report.budget import LIMIT, Pictured, pictured
from foldwise.report.galleries import Gallery, class_gallery
from foldwise.report.page import MOST_ROWS, Report, render
from foldwise.report.thumbnails import SIDES, Key, Thumbnails

MOST_GALLERIES = 100
"""Classes with a gallery of their own."""
MARGIN = 4_000
"""Bytes for notes that a page gets once it is known what does not fit."""


def class_galleries(
    part: Part, name: str, classes: pd.DataFrame, names: list[str]
) -> list[Gallery]:
    """A gallery for each of the classes with the lowest average precision, the lowest first.

    The page drops the last ones where it has no room.

    Args:
        part: whose images are shown.
        name: of that part.
        classes: `class`, `part`, `ap`.
        names: of the classes, in the order of the arrays' columns.
    """
    places = {each: index for index, each in enumerate(names)}
    own = classes[classes["part"] == name].set_index("class")["ap"]
    return [
        class_gallery(part, places[each], "" if np.isnan(own[each]) else f"AP {own[each]:.4f}")
        for each in hardest(classes, MOST_GALLERIES)
    ]


def compose(
    report: Report, galleries: list[Gallery], images: Mapping[Key, np.ndarray], limit: int = LIMIT
) -> str:
    """The page's HTML, of at most `limit` bytes in UTF-8.

    Args:
        report: all but the galleries.
        galleries: the most important first; the last are left out if there is no room.
        images: of every key that they need, (height, width, 3) BGR of uint8.
        limit: bytes.

    Raises:
        ValueError: there is no room even without galleries.
    """
    bare = render(report, Pictured([], Thumbnails(SIDES[0], [])))
    room = limit - len(bare.encode()) - MARGIN
    if room < 0:
        raise ValueError(f"a report without images has {limit - room} bytes, more than {limit}")
    fits, count = pictured(galleries, images, room)
    notes = list(report.notes)
    total = len(report.names)
    if total > MOST_ROWS:
        notes.append(
            f"Rows of {total - MOST_ROWS:,} of {total:,} classes: those after the first "
            f"{MOST_ROWS:,}."
        )
    of_classes = sum(each.class_index is not None for each in galleries[:count])
    if of_classes < total:
        notes.append(
            f"Images of {total - of_classes:,} of {total:,} classes: those shown have the lowest "
            f"average precision, as far as a page of {limit / 1e6:g} MB has room."
        )
    side = fits.thumbnails.side
    if fits.thumbnails.encoded and side < SIDES[0]:
        notes.append(
            f"Detail of images: their longer side is {side} pixels at most, so that the page stays "
            f"below {limit / 1e6:g} MB."
        )
    return render(replace(report, notes=notes), fits)
