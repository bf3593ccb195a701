"""Source `glyphs`: images composed from single characters that come with the installation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.kept import Composed
from foldwise.core.errors import UserError
from foldwise.sources.extra import class_names_of_ours
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
    everything = _glyph_set(data, tree, problems, keep)
    _refuse_all_in_one(data, everything)
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


def load_composed(
    data: Data,
    name: str,
    tree: Tree,
    problems: Problems,
    keep: Path,
    ours: Source,
    tested: GlyphSet | None,
) -> Composed:
    """What images of the extra source `name` are composed of.

    Args:
        data: the settings.
        name: of the extra source.
        tree: its files.
        problems: notes what is wrong with them.
        keep: a folder for what a glyph set downloads.
        ours: the data set.
        tested: the glyphs that test images of the data set show, which no image here may.

    Raises:
        UserError: the settings do not suit the glyphs or the data set.
    """
    own = data.of_extra(name)
    everything = _glyph_set(own, tree, problems, keep)
    problems.check()
    if tested is not None:
        everything = everything.without(tested)
    glyphs = everything.called(class_names_of_ours(data, name, everything.classes, ours.classes))
    compose = own.glyphs.compose
    if ours.task == "multiclass" and compose.glyphs != (1, 1):
        raise UserError(
            f"params.yaml: data.extra.{name}.glyphs.compose.glyphs: images of data have one class "
            "each; write [1, 1]"
        )
    _refuse_all_in_one(own, glyphs)
    distractors = hangul(tree) if compose.distractors[1] else None
    return Composed(name, glyphs, compose, own.glyphs.seed, distractors, own.glyphs.fit)


def tested_glyphs(data: Data, tree: Tree, problems: Problems, keep: Path) -> GlyphSet:
    """The glyphs that only test images show, of a data set that is composed of some."""
    settings = data.glyphs
    everything = _glyph_set(data, tree, problems, keep)
    return everything.divide(settings.test_glyphs, settings.seed)[0]


def _glyph_set(data: Data, tree: Tree, problems: Problems, keep: Path) -> GlyphSet:
    glyph_sets: dict[str, Callable[[], GlyphSet]] = {
        "digits": digits,
        "letters": partial(letters, tree, problems),
        "emnist": partial(emnist, Path(data.path), keep),
        "fonts": partial(fonts, tree),
    }
    return glyph_sets[data.glyphs.glyphs_from]()


def _refuse_all_in_one(data: Data, glyphs: GlyphSet) -> None:
    """Raise `UserError` if images cannot show so many classes, or would all show the same."""
    low, high = data.glyphs.compose.glyphs
    classes = len(glyphs.classes)
    if high > classes or low == classes:
        raise UserError(
            f"params.yaml: data.glyphs.compose.glyphs: [{low}, {high}] different ones of "
            f"{classes}: every image would show all; take fewer, or other glyphs"
        )


def _png(composers: dict[str, Composer], images: list[tuple[str, int]], position: int) -> bytes:
    part, index = images[position]
    return cv2.imencode(".png", composers[part].paint(index))[1].tobytes()
