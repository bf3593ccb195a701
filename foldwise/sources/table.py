"""Source `table`: a CSV or Parquet file; `data.table` says what is in it."""

import posixpath
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.csv_files import EncodingError, read_table, require_columns
from foldwise.sources.labels import (
    class_order,
    indicators,
    one_hot,
    refuse_leftovers,
    repeated,
    unlabelled,
)
from foldwise.sources.names import normal
from foldwise.sources.pairs import rows_and_images
from foldwise.sources.paths import Resolver, plain_paths
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data, Table
from foldwise.sources.source import Source
from foldwise.sources.table_rows import BETWEEN, one_row_per_image
from foldwise.sources.tree import Tree

IMAGE = "\0image"
"""A column that no table has: its header would hold a control character."""
FOLDS = {str(number) for number in range(-1, 1000)}


def load_table(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read the table, and those of the validation list and the test part where there are any.

    Raises `UserError` for a table or column that is missing; notes rows without an image, images
    without a row, repeated files, wrong cells, and classes that are not those expected.
    """
    assert data.table is not None  # checked by `Data`
    settings = plain_paths(
        data.table, tree, "file", "valid", "test", "sample", "images", "test_images"
    )
    given, found = _given(tree, settings, problems)
    first = given[settings.file]
    parts = _parts(settings, first, tree.label(settings.file), problems)
    learned = [first[parts == "train"]]
    learned += [given[settings.valid]] if settings.valid else []
    train = pd.concat(learned).fillna("")
    classes = _classes(data, train, tree.label(settings.file), problems)
    names: list[str] = []
    cells: list[str] = []
    all_parts: list[str] = []
    held_out: list[int] = []
    labels = []
    extra: dict[str, list[str]] = {key: [] for key in ("group", "fold") if getattr(settings, key)}
    for file, (given_rows, given_names) in found.items():
        whole = pd.Series("test" if file == settings.tested else "train", given_rows.index)
        part = parts[given_rows.index] if file == settings.file else whole
        rows, present = _with_class(
            settings, given_rows, given_names, part, tree.label(file), problems
        )
        part = part[rows.index]
        labels.append(table_labels(settings, rows, part, classes, tree.label(file), problems))
        names += present
        cells += rows[settings.column].tolist()
        all_parts += part.tolist()
        held_out += [0 if file == settings.valid else -1] * len(rows)
        for key, values in extra.items():
            column = getattr(settings, key)
            values += rows[column].tolist() if column in rows else [""] * len(rows)
    folds = table_folds(settings, extra["fold"], tree, problems) if settings.fold else None
    again = pd.Series(cells).duplicated(keep=False)
    submission: dict[str, Any] = {"index": settings.column}
    if settings.labels == "class":
        submission["class"] = settings.label
    return Source(
        name=settings.file,
        task="multiclass" if settings.labels == "class" else "multilabel",
        classes=classes,
        # As the table spells them: that is how its owner wants them back.
        ids=[
            name if twice and part != "test" else cell
            for name, cell, part, twice in zip(names, cells, all_parts, again, strict=True)
        ],
        parts=all_parts,
        labels=np.concatenate(labels),
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        groups=extra.get("group"),
        folds=held_out if settings.valid else folds,
        submission=submission,
        origin={"path": data.path},
    )


def _given(
    tree: Tree, settings: Table, problems: Problems
) -> tuple[dict[str, pd.DataFrame], dict[str, tuple[pd.DataFrame, list[str]]]]:
    """Each table, and of each the rows whose image is there and the images' names.

    Each image once.
    """
    files = dict.fromkeys(each for each in (settings.file, settings.valid, settings.tested) if each)
    given, named = {}, {}
    owner: dict[str, str] = {}
    for name in files:
        table = _rows(tree, settings, name, name != settings.tested, problems)
        table = _resolved(tree, settings, name, table, problems)
        wanted: list[str] = table[IMAGE].tolist()
        for each in sorted(set(wanted) & owner.keys()):
            problems.add(tree.label(name), f"names {each}, as {owner[each]} does; drop one")
        owner |= dict.fromkeys(wanted, name)
        given[name], named[name] = table, (table, wanted)
    folders = dict.fromkeys(settings.folder_of(name) for name in given)
    return given, rows_and_images(tree, named, folders, problems)


def _rows(
    tree: Tree, settings: Table, name: str, labelled: bool, problems: Problems
) -> pd.DataFrame:
    try:
        table = read_table(tree, name, problems, encoding=settings.encoding)
    except EncodingError as error:
        if settings.encoding is not None:
            raise
        raise UserError(f"{error}, or name its code page by data.table.encoding") from None
    label = tree.label(name)
    columns = [settings.column]
    if labelled:
        columns += [each for each in (settings.group, settings.fold, settings.part) if each]
        columns += [] if settings.labels == "columns" else [settings.label]
        columns += [settings.present] if settings.present else []
    require_columns(table, label, columns, "data.table")
    # What a sample submission says of labels is there to be replaced.
    table = table[[settings.column]] if name == settings.sample else table
    if settings.labels == "rows":
        return one_row_per_image(settings, table, label, problems)
    return table


def _resolved(
    tree: Tree, settings: Table, name: str, table: pd.DataFrame, problems: Problems
) -> pd.DataFrame:
    """The rows with their images' names in the tree as column `IMAGE`, each image once.

    Where no folder is named, a table may lie beside its images.
    """
    cells = table[settings.column]
    folder = settings.folder_of(name)
    resolver = Resolver(tree, folder, settings.suffix)
    table, cells = _in_one_folder(table, cells, resolver, tree.label(name), problems)
    found = resolver.names(cells.tolist())
    beside = posixpath.dirname(name)
    if beside and not folder and any(each not in tree.files for each in found):
        near = Resolver(tree, beside, settings.suffix).names(cells.tolist())
        found = [
            other if each not in tree.files and other in tree.files else each
            for each, other in zip(found, near, strict=True)
        ]
    names = pd.Series(found, table.index)
    again = repeated(names, tree.label(name), "file", problems, cells)
    return table.assign(**{IMAGE: names})[~again]


def _in_one_folder(
    table: pd.DataFrame, cells: pd.Series, resolver: Resolver, label: str, problems: Problems
) -> tuple[pd.DataFrame, pd.Series]:
    """The rows, and their cells, but for those whose image is in several folders below one."""
    several = {row: resolver.several(cell) for row, cell in cells.items()}
    for row, places in several.items():
        if places:
            problems.bad_image(
                f"{label}: {row}",
                f"may be {' or '.join(places)}",
                "write the folder into the cell",
            )
    alone = np.array([not places for places in several.values()], bool)
    return table[alone], cells[alone]


def _with_class(
    settings: Table,
    rows: pd.DataFrame,
    names: list[str],
    parts: pd.Series,
    label: str,
    problems: Problems,
) -> tuple[pd.DataFrame, list[str]]:
    """The rows to learn from that have a class, where each must have one, and all of the test part;
    and their images' names."""
    if settings.labels != "class" or settings.label not in rows:
        return rows, names
    lacks = ((rows[settings.label] == "") & (parts == "train")).to_numpy()
    for row in rows.index[lacks]:
        problems.bad_image(
            f"{label}: {row}", f"has no class in '{settings.label}'", "add it or remove the row"
        )
    return rows[~lacks], [name for name, lack in zip(names, lacks, strict=True) if not lack]


def _parts(settings: Table, table: pd.DataFrame, label: str, problems: Problems) -> pd.Series:
    if settings.part is None:
        return pd.Series("train", table.index)
    parts = table[settings.part].str.strip()
    for row, part in parts[~parts.isin(["train", "test"])].items():
        problems.add(
            f"{label}: {row}, column '{settings.part}'",
            f"{part!r} is neither train nor test; correct it",
        )
    return parts


def _classes(data: Data, train: pd.DataFrame, label: str, problems: Problems) -> list[str]:
    settings = data.table
    assert settings is not None
    if settings.labels == "columns":
        if data.classes is not None:
            wanted = [normal(name.strip()) for name in data.classes]
            require_columns(train, label, wanted, "data.classes")
            return wanted
        other = {IMAGE, settings.column, settings.group, settings.fold, settings.part}
        return [name for name in train.columns if name not in other]
    found = {name for names in class_names(settings, train) for name in names}
    if settings.labels == "separated" and data.classes is None:
        chosen = "separator" in settings.model_fields_set
        refuse_leftovers(found, settings.separator, label, chosen)
    return class_order(data.classes, found, label, problems)


def class_names(settings: Table, table: pd.DataFrame) -> list[set[str]]:
    """Of each row, the classes that its cell names."""
    separator = {"separated": settings.separator, "rows": BETWEEN}.get(settings.labels)
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
    if settings.labels in ("separated", "rows"):
        # An empty cell says "no class", unless all of the test part's are empty.
        known |= known[test].any()
    known |= ~test
    rows = table[known]
    if settings.labels == "columns":
        labels[known] = indicators(rows, classes, label, problems)
        return labels
    names = class_names(settings, rows)
    for row, found in zip(rows.index, names, strict=True):
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
