"""Rows and the images that they speak of: neither goes without the other."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from foldwise.images.decode import SUFFIXES
from foldwise.sources.paths import folder_and_below, what_misses
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree

TEXTS = {".csv", ".tsv", ".json", ".jsonl", ".md", ".parquet", ".txt", ".xlsx", ".xml", ".yaml"}
READ_ME = {"AUTHORS", "CHANGELOG", "COPYING", "LICENCE", "LICENSE", "NOTICE", "README"}
"""What lies beside images that have no suffix either."""


def rows_and_images(
    tree: Tree,
    tables: dict[str, tuple[pd.DataFrame, list[str]]],
    folders: Iterable[str],
    problems: Problems,
) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Of each table the rows whose image is there, and the images' names.

    Args:
        tree: holds the images.
        tables: by name: each table, and (rows): the names in the tree of the images that its rows
            speak of.
        folders: where every image must have a row; see `images_without_rows`.
        problems: notes rows without an image and, unless all of a table's rows miss, when it is the
            rows that are wrong, images without a row.
    """
    found = {
        name: rows_with_images(tree, name, table, names, problems)
        for name, (table, names) in tables.items()
    }
    if all(found[name][1] or not names for name, (_, names) in tables.items()):
        wanted = {each for _, names in tables.values() for each in names}
        for folder in folders:
            images_without_rows(tree, folder, wanted, " or ".join(tables), problems)
    return found


def rows_with_images(
    tree: Tree, table_name: str, table: pd.DataFrame, names: list[str], problems: Problems
) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose image is there, and the images' names.

    Args:
        tree: holds the images.
        table_name: of the file that holds the rows.
        table: its index holds the rows' numbers.
        names: (rows): in the tree, of the image that each row speaks of.
        problems: notes rows without an image.
    """
    label = tree.label(table_name)
    present = [name in tree.files for name in names]
    if names and not any(present):
        common = what_misses(tree, names)
        problems.add(
            label,
            f"of its {len(names)} images none is there{common and f' ({common})'}, not even "
            f"{tree.root}/{names[0]}; put the folder or archive of images in its place",
        )
        return table.iloc[:0], []
    for row, name, there in zip(table.index, names, present, strict=True):
        if not there:
            problems.bad_image(
                f"{label}: {row}",
                f"has no image {tree.root}/{name}",
                "add the image or remove the row",
            )
    # An empty list would choose no columns instead of no rows.
    return table[np.array(present, bool)], [name for name in names if name in tree.files]


def images_without_rows(
    tree: Tree, folder: str, wanted: Iterable[str], table_name: str, problems: Problems
) -> None:
    """Note the images of a folder that no row speaks of.

    Args:
        tree: holds the images.
        folder: where every image must have a row; `""`: everywhere; see `folder_and_below`. An
            image is what is called one or, in a folder, what is called like those that rows speak
            of.
        wanted: names in the tree that rows speak of.
        table_name: where a row would stand.
        problems: notes images without a row.
    """
    wanted = set(wanted)
    folder, _ = folder_and_below(folder)
    alike = {PurePosixPath(name).suffix.lower() for name in wanted} if folder else set()
    for name in tree.below(folder):
        suffix = PurePosixPath(name).suffix.lower()
        is_text = suffix in TEXTS or (not suffix and PurePosixPath(name).name.upper() in READ_ME)
        if name not in wanted and (is_called_an_image(name) or (suffix in alike and not is_text)):
            problems.bad_image(
                tree.label(name), f"has no row in {table_name}", "add the row or remove the image"
            )


def is_called_an_image(name: str) -> bool:
    """Whether a file has a suffix of images."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES
