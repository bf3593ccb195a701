"""Where glyphs come from: single characters in grey, each with its class."""

import string
from pathlib import Path

import numpy as np

from foldwise.composing.glyph_set import GlyphSet
from foldwise.core.errors import UserError
from foldwise.sources.csv_files import read_table, require_columns
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree

LETTERS = list(string.ascii_lowercase)
MNIST_DATA = "mnist_data/train.csv"
PIXELS = [str(each) for each in range(28 * 28)]


def digits() -> GlyphSet:
    """The 1,797 handwritten digits (8x8, UCI optdigits) that scikit-learn ships."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return GlyphSet(
        "digits",
        [str(digit) for digit in range(10)],
        (bunch.images / 16).astype(np.float32),
        bunch.target.astype(np.int64),
    )


def letters(tree: Tree, problems: Problems) -> GlyphSet:
    """The letters of DACON's `mnist_data/train.csv`: columns id, digit, letter, 0, ..., 783.

    Raises `UserError` for a file or column that is missing; notes cells that are no letter or no
    pixel of 0 to 255.
    """
    table = read_table(tree, MNIST_DATA, problems)
    label = tree.label(MNIST_DATA)
    require_columns(table, label, ["letter", *PIXELS], "data.glyphs.from")
    classes = table["letter"].str.strip().str.lower()
    for row in table.index[~classes.isin(LETTERS)]:
        problems.add(f"{label}: {row}", f"'{table['letter'][row]}' is not a letter; correct it")
    problems.check()
    try:
        pixels = table[PIXELS].to_numpy(str).astype(np.uint8)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{label}: a pixel is not a number from 0 to 255 ({error})") from None
    return _complete("letters", label, pixels.reshape(-1, 28, 28), [ord(c) - 97 for c in classes])


def emnist(local: Path, keep: Path) -> GlyphSet:
    """EMNIST's letters (145,600, both cases as one class), by torchvision.

    Args:
        local: holds `EMNIST/raw/` with the unpacked files, if anything does.
        keep: where to download them to otherwise.

    Raises:
        UserError: they are not there, and cannot be downloaded.
    """
    from torchvision.datasets import EMNIST

    has_own = (local / "EMNIST").is_dir()
    root = local if has_own else keep
    try:
        parts = [
            EMNIST(str(root), split="letters", train=train, download=not has_own)
            for train in (True, False)
        ]
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{root}/EMNIST/raw: EMNIST's letters are not there, or are damaged, and cannot be "
            f"downloaded ({error}); put its unpacked files there"
        ) from None
    # EMNIST stores its images with rows and columns exchanged, and counts letters from 1.
    images = np.concatenate([each.data.numpy() for each in parts]).transpose(0, 2, 1)
    labels = np.concatenate([each.targets.numpy() for each in parts]) - 1
    return _complete("EMNIST letters", str(root), np.ascontiguousarray(images), labels.tolist())


def _complete(name: str, label: str, images: np.ndarray, labels: list[int]) -> GlyphSet:
    counts = np.bincount(labels, minlength=len(LETTERS))
    if counts.min() < 2:
        few = LETTERS[int(counts.argmin())]
        raise UserError(
            f"{label}: has fewer than two glyphs of '{few}'; train and test images need one each"
        )
    return GlyphSet(name, LETTERS, images, np.array(labels, np.int64))
