"""Source `glyphs`: images composed from single characters that come with the installation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.core.errors import UserError
from foldwise.sources.glyphs.fonts import fonts, hangul
from foldwise.sources.glyphs.sets import digits, emnist, letters
from foldwise.sources.labels import refuse_wanted
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree

# Names the random stream of a part, so that train and test images never share one.
STREAMS = {"train": 0, "test": 1}


def load_glyphs(data: Data, tree: Tree, problems: Problems, keep: Path) -> Source:
    """Compose `data.glyphs.images` images; the parts share no glyph.

    `keep` is a folder for what a glyph set downloads.
    """
    settings = data.glyphs
    glyph_sets: dict[str, Callable[[], GlyphSet]] = {
        "digits": digits,
        "letters": partial(letters, tree, problems),
        "emnist": partial(emnist, Path(data.path), keep),
        "fonts": partial(fonts, tree),
    }
    everything = glyph_sets[settings.glyphs_from]()
    low, high = settings.compose.glyphs
    classes = len(everything.classes)
    if high > classes or low == classes:
        raise UserError(
            f"params.yaml: data.glyphs.compose.glyphs: [{low}, {high}] different ones of "
            f"{classes}: every image would show all; take fewer, or other glyphs"
        )
    refuse_wanted(data, everything.name)
    distractors = hangul(tree) if settings.compose.distractors[1] else None
    test_glyphs, train_glyphs = everything.divide(settings.test_glyphs, settings.seed)
    pools: dict[str, GlyphSet] = {"train": train_glyphs, "test": test_glyphs}
    counts = {"train": settings.images.train, "test": settings.images.test}
    composers = {
        part: Composer(pools[part], settings.compose, settings.seed, STREAMS[part], distractors)
        for part in pools
    }
    images = [(part, index) for part, count in counts.items() for index in range(count)]
    return Source(
        name=f"glyphs ({everything.name})",
        task="multilabel",
        classes=everything.classes,
        ids=[f"{part}-{index:06d}" for part, index in images],
        parts=[part for part, _ in images],
        labels=np.stack([composers[part].labels(index) for part, index in images]),
        read=partial(_png, composers, images),
        label=lambda position: f"composed image {images[position]}",
        origin={
            "glyphs": everything.name,
            "train_glyphs": len(train_glyphs.labels),
            "test_glyphs": len(test_glyphs.labels),
            "distractors": 0 if distractors is None else len(distractors),
        },
    )


def _png(composers: dict[str, Composer], images: list[tuple[str, int]], position: int) -> bytes:
    part, index = images[position]
    return cv2.imencode(".png", composers[part].paint(index))[1].tobytes()
