"""Source `dacon`: the layout of DACON's dirty_mnist_2nd competition.

`data.path` holds `dirty_mnist_2nd_answer.csv` (index, then a 0/1 column per letter), its images
`dirty_mnist_2nd/00000.png`, ..., the unlabelled images `test_dirty_mnist_2nd/50000.png`, ... and
`sample_submission.csv`, which lists them. The index is a plain number, file names have five digits.
"""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.errors import UserError
from stages.settings.data import Data
from stages.sources.source import UNLABELLED, Source

ANSWERS = "dirty_mnist_2nd_answer.csv"
SAMPLE = "sample_submission.csv"
TRAIN = "dirty_mnist_2nd"
TEST = "test_dirty_mnist_2nd"


def load(data: Data) -> Source:
    """Read both tables and check them against the images' names.

    Raises `UserError` for a missing file, a row without an image, an image without a row, a
    duplicate index, a column that one table lacks, or a label other than 0 and 1.
    """
    root = Path(data.path)
    answers = _table(root / ANSWERS)
    sample = _table(root / SAMPLE)
    index, *classes = answers.columns
    sample_index, *sample_classes = sample.columns
    for column in sorted(set(sample_classes) - set(classes)):
        raise UserError(
            f"{root / ANSWERS}: has no column '{column}', which {SAMPLE} has; add its labels"
        )
    for column in sorted(set(classes) - set(sample_classes)):
        raise UserError(f"{root / SAMPLE}: has no column '{column}', which {ANSWERS} has; add it")
    train_paths = _paths(root / ANSWERS, answers[index], root / TRAIN)
    test_paths = _paths(root / SAMPLE, sample[sample_index], root / TEST)
    ids = [*answers[index], *sample[sample_index]]
    repeated = set(answers[index]) & set(sample[sample_index])
    if repeated:
        raise UserError(
            f"{root / SAMPLE}: index {min(repeated)} stands in {ANSWERS} too; each image has "
            "an index of its own"
        )
    unlabelled = np.full((len(sample), len(classes)), UNLABELLED)
    paths = train_paths + test_paths
    return Source(
        name="dacon dirty_mnist_2nd",
        task="multilabel",
        classes=classes,
        ids=ids,
        parts=["train"] * len(answers) + ["test"] * len(sample),
        labels=np.concatenate([_labels(root / ANSWERS, answers), unlabelled]),
        read=partial(_read, paths),
        label=lambda position: str(paths[position]),
        submission={"index": sample_index, "classes": sample_classes},
        origin={"path": data.path},
    )


def _table(path: Path) -> pd.DataFrame:
    """A table of strings whose first column is the index."""
    try:
        with warnings.catch_warnings():
            # A row longer than the header would be cut with no more than a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; set data.path to the folder with the competition's files"
        ) from None
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise UserError(f"{path}: is no readable CSV table ({error})") from None
    if len(table) == 0 or len(table.columns) < 2:
        raise UserError(f"{path}: has no rows, or no class columns; is it the right file?")
    index = table[table.columns[0]]
    for row, value in zip(index.index, index, strict=True):
        if not value.isascii() or not value.isdigit():
            raise UserError(f"{path}: row {row + 2}: index '{value}' is not a whole number")
    # "7" and "007" name the same file.
    index = index.map(int).astype(str)
    table[table.columns[0]] = index
    if index.duplicated().any():
        row = int(index.duplicated().argmax())
        raise UserError(
            f"{path}: row {row + 2}: index {index[row]} appears a second time; remove one"
        )
    return table


def _paths(table: Path, index: pd.Series, folder: Path) -> list[Path]:
    """Every index's image, after making sure that index and folder hold the same images."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; unpack the competition's zip file there")
    present = {path.name for path in folder.iterdir() if path.suffix == ".png"}
    names = [f"{int(value):05d}.png" for value in index]
    for row, name in enumerate(names):
        if name not in present:
            raise UserError(
                f"{table}: row {row + 2}: index {index[row]} has no image {folder / name}; add the "
                "image or remove the row"
            )
    for name in sorted(present - set(names)):
        raise UserError(
            f"{folder / name}: has no row in {table.name}; add the row or remove the image"
        )
    return [folder / name for name in names]


def _labels(path: Path, table: pd.DataFrame) -> np.ndarray:
    """(images, classes) int8."""
    values = table[table.columns[1:]]
    wrong = ~values.isin(["0", "1"]).to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise UserError(
            f"{path}: row {row + 2}, column '{table.columns[column + 1]}': label "
            f"{values.iat[row, column]!r} is not 0 or 1"
        )
    return (values.to_numpy() == "1").astype(np.int8)


def _read(paths: list[Path], position: int) -> bytes:
    try:
        return paths[position].read_bytes()
    except OSError as error:
        raise UserError(f"{paths[position]}: cannot be read ({error.strerror})") from None
