"""Rows and the images that they speak of: neither goes without the other."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import pandas as pd
from PIL import Image

from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree


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
        problems.add(
            label,
            f"of its {len(names)} images none is there, not even {tree.root}/{names[0]}; put the "
            "folder or archive of images in its place",
        )
        return table.iloc[:0], []
    for row, name, there in zip(table.index, names, present, strict=True):
        if not there:
            problems.bad_image(
                f"{label}: {row}",
                f"has no image {tree.root}/{name}",
                "add the image or remove the row",
            )
    return table[present], [name for name in names if name in tree.files]


def images_without_rows(
    tree: Tree, folder: str, wanted: Iterable[str], table_name: str, problems: Problems
) -> None:
    """Note the files of a folder that no row speaks of.

    Args:
        tree: holds the images.
        folder: where every file must have a row; in `""`, every file that is called an image.
        wanted: names in the tree that rows speak of.
        table_name: where a row would stand.
        problems: notes images without a row.
    """
    wanted = set(wanted)
    for name in tree.below(folder):
        if name not in wanted and (folder or is_called_an_image(name)):
            problems.bad_image(
                tree.label(name), f"has no row in {table_name}", "add the row or remove the image"
            )


def is_called_an_image(name: str) -> bool:
    """Whether a file has a suffix of images."""
    return PurePosixPath(name).suffix.lower() in Image.registered_extensions()
