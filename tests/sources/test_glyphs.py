"""Letters to compose images of: where they come from, and the competition's preset."""

import struct
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import ImageFont
from pydantic import ValidationError

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import PRESETS, Compose
from foldwise.core.errors import UserError
from foldwise.sources.glyphs import fonts as font_module
from foldwise.sources.glyphs.fonts import fonts, hangul, has
from foldwise.sources.glyphs.sets import LETTERS, MNIST_DATA, emnist, letters
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data, Glyphs
from foldwise.sources.tree import Tree
from foldwise.sources.tree_mount import open_tree

DEJAVU = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def blob(value: int) -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image[4:20, 8:12] = value
    return image


@pytest.fixture
def mnist_data(tmp_path: Path) -> Path:
    """Two glyphs of each letter, the first in upper case."""
    rows = [
        [index, 0, letter, *blob(100 + index).ravel()]
        for index, letter in enumerate([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *LETTERS])
    ]
    columns = ["id", "digit", "letter", *map(str, range(784))]
    path = tmp_path / MNIST_DATA
    path.parent.mkdir()
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return tmp_path


def read_letters(root: Path) -> GlyphSet:
    problems = Problems()
    found = letters(open_tree([root]), problems)
    problems.check()
    return found


def test_letters_of_mnist_data(mnist_data: Path) -> None:
    found = read_letters(mnist_data)
    assert found.classes == LETTERS
    assert found.labels.tolist() == [*range(26), *range(26)]
    assert np.array_equal(found.images[27], blob(127))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("letter", "7", "row 4: '7' is not a letter"),
        ("5", 300, "a pixel is not a number"),
        ("letter", "a", "fewer than two glyphs of 'c'"),
    ],
)
def test_letters_that_are_none(mnist_data: Path, column: str, value: Any, said: str) -> None:
    path = mnist_data / MNIST_DATA
    table = pd.read_csv(path, dtype=str)
    table.loc[2, column] = str(value)
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match=rf"mnist_data/train\.csv: .*{said}"):
        read_letters(mnist_data)
    table.drop(columns="783").to_csv(path, index=False)
    with pytest.raises(UserError, match="no column '783'"):
        read_letters(mnist_data)


def test_emnist_from_local_files(tmp_path: Path) -> None:
    """The files that torchvision reads, in EMNIST's own orientation and numbering."""
    raw = tmp_path / "EMNIST/raw"
    raw.mkdir(parents=True)
    image = np.arange(784, dtype=np.uint8).reshape(28, 28)
    for part in ("train", "test"):
        stem = f"emnist-letters-{part}"
        images = np.stack([image.T] * 26).astype(np.uint8)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, 26, 28, 28) + images.tobytes()
        )
        numbers = np.arange(1, 27, dtype=np.uint8)
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, 26) + numbers.tobytes()
        )
    found = emnist(tmp_path, tmp_path / "elsewhere")
    assert np.array_equal(found.images[30], image)
    assert found.labels.tolist() == [*range(26)] * 2
    (raw / "emnist-letters-test-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"EMNIST/raw: .*put its unpacked files there"):
        emnist(tmp_path, tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory: pytest.TempPathFactory) -> GlyphSet:
    return fonts(open_tree([tmp_path_factory.mktemp("empty")]))


def test_fonts_need_no_files(alphabet: GlyphSet) -> None:
    assert alphabet.classes == LETTERS
    # Both cases in 12 fonts of DejaVu and 6 of Hershey, but for those that look the same.
    assert np.bincount(alphabet.labels).tolist() == [32] * 26
    assert alphabet.images.shape[1:] == (32, 32)
    inked = alphabet.images > 128
    assert inked.any((1, 2)).all()
    # An i is a thin line, in every font narrower than its font's m is.
    wide = [inked[alphabet.labels == each].any(1).sum(1).mean() for each in (8, 12)]
    assert wide[0] < 0.7 * wide[1]
    for each in range(26):
        own = alphabet.images[alphabet.labels == each]
        assert len({image.tobytes() for image in own}) == len(own)


def test_added_fonts_join_and_may_have_distractors(
    tmp_path: Path, alphabet: GlyphSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.ttf").write_bytes(DEJAVU.read_bytes())
    tree = open_tree([tmp_path])
    # The same font once more adds nothing.
    assert len(fonts(tree).labels) == len(alphabet.labels)
    other = DEJAVU.with_name("STIXGeneral.ttf")
    (tmp_path / "other.ttf").write_bytes(other.read_bytes())
    assert len(fonts(open_tree([tmp_path])).labels) == len(alphabet.labels) + 52
    # DejaVu has no Hangul; of Georgian, which it has, distractors are made in the same way.
    assert len(hangul(tree)) == 0
    monkeypatch.setattr(font_module, "HANGUL", ["ა", "ბ", "가"])
    assert hangul(tree).shape == (2, 32, 32)
    (tmp_path / "broken.otf").write_text("no font")
    with pytest.raises(UserError, match=r"broken\.otf: is no readable font"):
        fonts(open_tree([tmp_path]))


def test_a_font_knows_what_it_lacks() -> None:
    font = ImageFont.truetype(str(DEJAVU), 40)
    assert has(font, "ა")
    assert not has(font, "가")


def test_the_preset_is_the_competition(alphabet: GlyphSet) -> None:
    settings = Glyphs.model_validate({"from": "fonts", "preset": "dirty_mnist"}).compose
    composer = Composer(alphabet, settings, seed=0, stream=0)
    counts, overlaps = set(), []
    for index in range(60):
        placed, _ = composer.plan(index)
        classes = {int(alphabet.labels[each.glyph]) for each in placed}
        assert len(classes) == len(placed)
        assert composer.labels(index).sum() == len(placed)
        counts.add(len(placed))
        for number, each in enumerate(placed):
            for other in placed[:number]:
                sides = [
                    min(a + each.size / 2, b + other.size / 2)
                    - max(a - each.size / 2, b - other.size / 2)
                    for a, b in zip(each.centre, other.centre, strict=True)
                ]
                shared = max(sides[0], 0) * max(sides[1], 0)
                overlaps.append(shared / min(each.size, other.size) ** 2)
    assert counts == {10, 11, 12, 13, 14}
    # Slight: never beyond what is set, and yet there.
    assert max(overlaps) <= settings.overlap + 1e-9
    assert max(overlaps) > settings.overlap / 2
    image = np.stack([composer.paint(index) for index in range(4)])
    assert image.shape == (4, 256, 256)
    # Letters only brighten the noise, which is uniform over all grey levels.
    histogram = np.bincount(image.ravel(), minlength=256) / image.size
    assert histogram[5:225].max() < 1.4 * histogram[5:225].min()


def test_images_that_would_show_every_class_are_refused() -> None:
    data = Data.model_validate(
        {
            "source": "glyphs",
            "path": ".",
            "extra_path": "extra",
            "glyphs": {"from": "digits", "preset": "dirty_mnist"},
        }
    )
    with pytest.raises(UserError, match=r"compose\.glyphs: \[10, 14\] different ones of 10"):
        load_glyphs(data, Tree(".", {}), Problems(), keep=Path())
    data = Data.model_validate(
        {"source": "glyphs", "path": ".", "extra_path": "extra", "classes": ["0"]}
    )
    with pytest.raises(UserError, match=r"data\.classes: digits has classes of its own"):
        load_glyphs(data, Tree(".", {}), Problems(), keep=Path())


def test_what_is_written_comes_before_the_preset() -> None:
    chosen = Glyphs.model_validate({"preset": "dirty_mnist", "compose": {"canvas": 128}}).compose
    assert chosen.canvas == 128
    assert chosen.glyphs == tuple(PRESETS["dirty_mnist"]["glyphs"])
    with pytest.raises(ValidationError):
        Glyphs.model_validate({"preset": "clean_mnist"})


def test_distractors_are_drawn_and_not_labelled(alphabet: GlyphSet) -> None:
    settings = Compose(
        glyphs=(1, 1), distractors=(3, 3), noise=(0.0, 0.0), ink=(1.0, 1.0), canvas=96
    )
    block = np.full((1, 32, 32), 255, np.uint8)
    plain = Composer(alphabet, settings, seed=0, stream=0)
    crowded = Composer(alphabet, settings, seed=0, stream=0, distractors=block)
    for index in range(5):
        assert crowded.labels(index).sum() == 1
        assert np.array_equal(crowded.labels(index), plain.labels(index))
        placed, _ = crowded.plan(index)
        assert [each.distractor for each in placed] == [False, True, True, True]
        assert (crowded.paint(index) > 128).sum() > 2 * (plain.paint(index) > 128).sum()


@pytest.mark.parametrize("name", ["fonts", "letters"])
def test_a_source_of_letters(mnist_data: Path, name: str) -> None:
    described = {"from": name, "preset": "dirty_mnist", "images": {"train": 3, "test": 2}}
    data = Data.model_validate(
        {"source": "glyphs", "path": str(mnist_data), "extra_path": "extra", "glyphs": described}
    )
    source = load_glyphs(data, open_tree([mnist_data]), Problems(), keep=mnist_data)
    assert source.classes == LETTERS
    assert source.parts == ["train"] * 3 + ["test"] * 2
    assert all(10 <= count <= 14 for count in source.labels.sum(1))
    pixels = cv2.imdecode(np.frombuffer(source.read(0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.shape == (256, 256)
