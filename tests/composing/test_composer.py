"""Glyph sets and the composer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import Compose
from foldwise.sources.glyphs.sets import digits
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree


@pytest.fixture(scope="module")
def handwriting() -> GlyphSet:
    return digits()


def test_digits_are_scikit_learns(handwriting: GlyphSet) -> None:
    assert handwriting.images.shape == (1797, 8, 8)
    assert handwriting.images.min() == 0
    assert handwriting.images.max() == 1
    assert handwriting.classes == list("0123456789")


def test_divided_sets_share_no_glyph_and_keep_all(handwriting: GlyphSet) -> None:
    test, train = handwriting.divide(0.25, seed=3)
    assert len(test.labels) + len(train.labels) == 1797
    seen = {image.tobytes() for image in train.images}
    repeated_in_source = 1797 - len({image.tobytes() for image in handwriting.images})
    assert repeated_in_source == 0
    assert not seen & {image.tobytes() for image in test.images}
    for each in range(10):
        share = (test.labels == each).sum() / (handwriting.labels == each).sum()
        assert share == pytest.approx(0.25, abs=0.01)


def test_an_image_is_a_function_of_seed_and_index(handwriting: GlyphSet) -> None:
    first = Composer(handwriting, Compose(), seed=5, stream=0)
    again = Composer(handwriting, Compose(), seed=5, stream=0)
    backwards = [again.paint(index) for index in reversed(range(6))][::-1]
    for index, image in enumerate(backwards):
        assert np.array_equal(first.paint(index), image)
    assert not np.array_equal(first.paint(0), first.paint(1))
    other_seed = Composer(handwriting, Compose(), seed=6, stream=0)
    other_stream = Composer(handwriting, Compose(), seed=5, stream=1)
    assert not np.array_equal(first.paint(0), other_seed.paint(0))
    assert not np.array_equal(first.paint(0), other_stream.paint(0))


def test_knobs_bound_what_is_drawn(handwriting: GlyphSet) -> None:
    settings = Compose(
        canvas=80,
        glyphs=(3, 4),
        size=(10.0, 12.0),
        angle=(30.0, 31.0),
        thickness=(0.4, 0.41),
        ink=(0.7, 0.71),
    )
    composer = Composer(handwriting, settings, seed=0, stream=0)
    counts = set()
    for index in range(50):
        placed, _ = composer.plan(index)
        classes = [int(handwriting.labels[each.glyph]) for each in placed]
        assert len(set(classes)) == len(classes)
        assert sorted(classes) == np.flatnonzero(composer.labels(index)).tolist()
        counts.add(len(placed))
        for each in placed:
            assert 10 <= each.size <= 12
            assert 30 <= each.angle <= 31
            assert 0.4 <= each.thickness <= 0.41
            assert 0.7 <= each.ink <= 0.71
            assert all(each.size / 2 <= at <= 80 - each.size / 2 for at in each.centre)
    assert counts == {3, 4}
    assert composer.paint(0).shape == (80, 80)


def test_ink_lies_where_the_plan_puts_it(handwriting: GlyphSet) -> None:
    settings = Compose(glyphs=(1, 1), noise=(0.0, 0.0), ink=(1.0, 1.0))
    composer = Composer(handwriting, settings, seed=0, stream=0)
    for index in range(20):
        (placed,), _ = composer.plan(index)
        ys, xs = np.nonzero(composer.paint(index) > 128)
        reach = placed.size * np.sqrt(0.5) + 1
        assert np.hypot(xs - placed.centre[0], ys - placed.centre[1]).max() <= reach
        assert len(xs) > 5


def test_thinner_and_noisier(handwriting: GlyphSet) -> None:
    def ink(**knobs: tuple[float, float]) -> float:
        settings = Compose.model_validate({"noise": (0.0, 0.0)} | knobs)
        composer = Composer(handwriting, settings, seed=0, stream=0)
        return float(np.mean([composer.paint(index) > 64 for index in range(20)]))

    assert ink(thickness=(0.7, 0.7)) < ink(thickness=(0.3, 0.3))
    assert ink(noise=(0.0, 0.0)) < ink(noise=(0.6, 0.6))


def test_more_images_never_change_the_first_ones() -> None:
    def source(train: int) -> Source:
        return load_glyphs(
            Data.model_validate(
                {
                    "source": "glyphs",
                    "path": ".",
                    "extra_path": "extra",
                    "glyphs": {"images": {"train": train, "test": 3}},
                }
            ),
            Tree(".", {}),
            Problems(),
            keep=Path(),
        )

    few, many = source(4), source(9)
    position = {id: index for index, id in enumerate(many.ids)}
    for index, id in enumerate(few.ids):
        assert few.read(index) == many.read(position[id])
        assert np.array_equal(few.labels[index], many.labels[position[id]])


def test_soft_strokes_have_slower_edges(handwriting: GlyphSet) -> None:
    """The same strokes at the same places: as much ink, but in more shades."""
    shades = []
    for sharp in (0.99, 0.5, 0.01):
        settings = Compose(noise=(0, 0), ink=(1, 1), thickness=(0.5, 0.5), sharp=(sharp, sharp))
        pixels = np.stack([Composer(handwriting, settings, 3, 0).paint(i) for i in range(20)])
        shades.append(((pixels > 20) & (pixels < 235)).mean() / (pixels > 20).mean())
    assert shades == sorted(shades)
    assert shades[2] > 1.5 * shades[0]


def test_crossing_strokes_add_up_or_not(handwriting: GlyphSet) -> None:
    common: dict[str, Any] = {
        "noise": (0, 0),
        "ink": (0.4, 0.4),
        "glyphs": (5, 5),
        "size": (26, 26),
    }
    one, other = (
        np.stack(
            [
                Composer(handwriting, Compose(**common, blend=blend), 3, 0).paint(i)
                for i in range(20)
            ]
        ).astype(int)
        for blend in ("max", "add")
    )
    assert one.max() == 102
    assert other.max() > 150
    assert (other >= one).all()
    assert ((one > 0) == (other > 0)).all()


def test_a_stream_may_be_of_an_epoch(handwriting: GlyphSet) -> None:
    first, again = (Composer(handwriting, Compose(), 5, (7, 2)) for _ in range(2))
    other = Composer(handwriting, Compose(), 5, (7, 3))
    assert np.array_equal(first.paint(0), again.paint(0))
    assert not np.array_equal(first.paint(0), other.paint(0))
    pixels, labels = first.compose(4)
    assert np.array_equal(pixels, first.paint(4))
    assert np.array_equal(labels, first.labels(4))


def test_grown_images_are_as_densely_covered(handwriting: GlyphSet) -> None:
    whole = Compose(canvas=128, glyphs=(4, 8), size=(12, 20), noise=(0.5, 1.0), distractors=(0, 2))
    half = whole.grown(0.5)
    assert (half.canvas, half.glyphs, half.distractors) == (64, (1, 2), (0, 0))
    assert (half.size, half.noise) == (whole.size, whole.noise)
    assert whole.grown(0.2).glyphs == (1, 1)
    with pytest.raises(ValueError, match="fewer than its largest glyph has"):
        whole.grown(0.15)
