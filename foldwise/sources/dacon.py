"""Source `dacon`: the layout of DACON's dirty_mnist_2nd competition.

`data.path` holds `dirty_mnist_2nd_answer.csv` (index, then a 0/1 column per letter), its images
`dirty_mnist_2nd/00000.png`, ..., the unlabelled images `test_dirty_mnist_2nd/50000.png`, ... and
`sample_submission.csv`, which lists them; instead of the folders, the competition's zip files. The
index is a plain number, file names have five digits.
"""

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.csv_files import read_table
from foldwise.sources.labels import indicators, refuse_wanted, repeated, unlabelled
from foldwise.sources.pairs import rows_and_images
from foldwise.sources.paths import Resolver
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree

ANSWERS = "dirty_mnist_2nd_answer.csv"
SAMPLE = "sample_submission.csv"
TRAIN = "dirty_mnist_2nd"
TEST = "test_dirty_mnist_2nd"


def load_dacon(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read both tables and match them with the images' names.

    Raises `UserError` for a missing table; notes a row without an image, an image without a row, a
    duplicate index, a column that one table lacks, and a label other than 0, 1 and -1.
    """
    refuse_wanted(data, ANSWERS)
    answers = _answers_table(tree, ANSWERS, problems)
    sample = _answers_table(tree, SAMPLE, problems)
    index, *classes = answers.columns
    sample_index, *sample_classes = sample.columns
    for column in sorted(set(sample_classes) - set(classes)):
        problems.add(
            tree.label(ANSWERS), f"has no column '{column}', which {SAMPLE} has; add its labels"
        )
    for column in sorted(set(classes) - set(sample_classes)):
        problems.add(tree.label(SAMPLE), f"has no column '{column}', which {ANSWERS} has; add it")
    in_both = sample[sample_index].isin(answers[index])
    for row, value in sample.loc[in_both, sample_index].items():
        problems.add(
            f"{tree.label(SAMPLE)}: {row}",
            f"index {value} stands in {ANSWERS} too; each image has an index of its own",
        )
    answers, train_names = _match(tree, ANSWERS, answers, TRAIN, problems)
    sample, test_names = _match(tree, SAMPLE, sample[~in_both], TEST, problems)
    labels = indicators(answers, classes, tree.label(ANSWERS), problems)
    names = train_names + test_names
    return Source(
        name="dacon dirty_mnist_2nd",
        task="multilabel",
        classes=classes,
        ids=[*answers[index], *sample[sample_index]],
        parts=["train"] * len(answers) + ["test"] * len(sample),
        labels=np.concatenate([labels, unlabelled(len(sample), classes)]),
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        submission={"index": sample_index, "columns": sample_classes},
        origin={"path": data.path},
    )


def _answers_table(tree: Tree, name: str, problems: Problems) -> pd.DataFrame:
    """A table of strings whose first column is the index, as a plain number."""
    table = read_table(tree, name, problems)
    label = tree.label(name)
    if len(table.columns) < 2:
        raise UserError(f"{label}: has no class columns; is it the right file?")
    index = table.columns[0]
    number = (
        table[index]
        .map(lambda value: value.isascii() and value.isdigit() and len(value) < 19)
        .astype(bool)
    )
    for row in table.index[~number]:
        problems.add(f"{label}: {row}", f"index '{table[index][row]}' is not a whole number")
    table = table[number]
    # "7" and "007" name the same file.
    table = table.assign(**{index: table[index].map(int).astype(str)})
    return table[~repeated(table[index], label, "index", problems)]


def _match(
    tree: Tree, table_name: str, table: pd.DataFrame, folder: str, problems: Problems
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have an image, and the images' names."""
    index = table[table.columns[0]]
    names = Resolver(tree, folder, ".png").names([f"{int(value):05d}" for value in index])
    return rows_and_images(tree, {table_name: (table, names)}, [folder], problems)[table_name]
