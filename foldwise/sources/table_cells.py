"""What the cells of the source `table` say: classes, labels, folds."""

import numpy as np
import pandas as pd

from foldwise.sources.csv_files import require_columns
from foldwise.sources.labels import indicators, one_hot, unlabelled
from foldwise.sources.names import normal
from foldwise.sources.problems import Problems
from foldwise.sources.source_settings import Table
from foldwise.sources.tree import Tree

FOLDS = {str(number) for number in range(-1, 1000)}


def class_names(settings: Table, table: pd.DataFrame) -> list[set[str]]:
    """Of each row, the classes that its cell names."""
    separator = settings.separator if settings.labels == "separated" else None
    names = []
    for cell in table[settings.label]:
        parts = cell.split(separator) if separator else [cell]
        names.append({normal(part.strip()) for part in parts} - {""})
    return names


def table_labels(
    settings: Table,
    table: pd.DataFrame,
    parts: pd.Series,
    classes: list[str],
    label: str,
    problems: Problems,
) -> np.ndarray:
    """(rows, classes) int8. Test rows have none where the columns are missing or empty."""
    labels = unlabelled(len(table), classes)
    columns = classes if settings.labels == "columns" else [settings.label]
    test = (parts == "test").to_numpy()
    if test.any() and not set(columns) & set(table.columns):
        return labels
    require_columns(table, label, columns, "data.table")
    known = (table[columns] != "").any(axis=1).to_numpy(copy=True)
    if settings.labels == "separated":
        # An empty cell says "no class", unless all of the test part's are empty.
        known |= known[test].any()
    known |= ~test
    rows = table[known]
    if settings.labels == "columns":
        labels[known] = indicators(rows, classes, label, problems)
        return labels
    names = class_names(settings, rows)
    for row, found in zip(rows.index, names, strict=True):
        if settings.labels == "class" and not found:
            problems.add(f"{label}: {row}", f"has no class in '{settings.label}'; add it")
        for name in sorted(found - set(classes)):
            # In the train part, `class_order` says it once for all rows.
            if parts[row] == "test":
                problems.add(f"{label}: {row}", f"class '{name}' is not in the train part")
    labels[known] = one_hot(names, classes)
    return labels


def table_folds(settings: Table, cells: list[str], tree: Tree, problems: Problems) -> list[int]:
    folds = []
    for position, cell in enumerate(cells):
        number = cell.strip().removesuffix(".0") or "-1"
        if number not in FOLDS:
            problems.add(
                f"{tree.label(settings.file)}: image {position + 1}, column '{settings.fold}'",
                f"{cell!r} is not a fold's number; correct it",
            )
            number = "-1"
        folds.append(int(number))
    return folds
