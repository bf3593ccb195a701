"""What every source gives to `fetch`, and how its images are taken over."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.progress import track
from foldwise.images.decode import Inspected, inspect
from foldwise.images.decoding import Decoding
from foldwise.images.store import ImageWriter
from foldwise.sources.problems import Problems

UNLABELLED = np.int8(-128)
"""Stands in `Source.labels` where an image has no labels at all; null in labels.parquet."""

CHUNK = 256
"""Images in flight between reading and writing: bounds the memory, whatever the size of the set."""


@dataclass(frozen=True)
class Source:
    """A labelled set of images, each read only when asked for."""

    name: str
    task: str
    """`multilabel` (any number of classes per image) or `multiclass` (exactly one)."""
    classes: list[str]
    ids: list[str]
    """Unique, in the order that everything downstream keeps."""
    parts: list[str]
    """`train` or `test`, one per image."""
    labels: np.ndarray
    """(images, classes) int8: 1 present, 0 absent, -1 ignore; whole rows of `UNLABELLED`."""
    read: Callable[[int], bytes]
    """The image file's bytes at a position of `ids`; raises `ValueError` if it cannot be had."""
    label: Callable[[int], str]
    """How a person finds the image at a position: its path, say."""
    groups: list[str] | None = None
    """What must stay together, one per image."""
    folds: list[int] | None = None
    """The source's own: which fold holds the image out, -1 for none (and for the test part)."""
    submission: dict[str, Any] = field(default_factory=lambda: {"index": "id"})
    """Form of the submission: `index`, header of the id column; `columns`, the classes' order where
    it differs; or `class`, header of one column with the class. `file_names`: the id column holds
    bare file names. `sort`: rows are sorted by the number in the file name."""
    origin: dict[str, Any] = field(default_factory=dict)
    """Where the data came from, for dataset.json."""

    def table(self, kept: Sequence[int]) -> pd.DataFrame:
        """`id`, `part`, `group` and `fold` where there are any, one nullable int8 column per class.

        Args:
            kept: positions of the images, in order.
        """
        rows = np.asarray(kept, np.int64)
        columns: dict[str, Any] = {
            "id": np.array(self.ids, object)[rows],
            "part": np.array(self.parts, object)[rows],
        }
        if self.groups is not None:
            columns["group"] = np.array(self.groups, object)[rows]
        if self.folds is not None:
            columns["fold"] = np.array(self.folds, np.int64)[rows]
        for index, name in enumerate(self.classes):
            column = self.labels[rows, index]
            columns[name] = pd.arrays.IntegerArray(column.copy(), column == UNLABELLED)
        return pd.DataFrame(columns)


def copy_images(
    source: Source,
    max_pixels: int,
    writer: ImageWriter,
    problems: Problems,
    decoding: Decoding | None = None,
) -> list[int]:
    """Copy images into the store, each decoded once to be sure that it is one.

    Args:
        source: of the images.
        max_pixels: height x width above which an image counts as bad.
        writer: of the store.
        problems: gets what is wrong with images.
        decoding: as far as it is known before all images are.

    Returns:
        Positions of those that are good.
    """

    def read(position: int) -> tuple[bytes, Inspected] | str:
        try:
            content = source.read(position)
            return content, inspect(content, max_pixels, decoding)
        except ValueError as error:
            return str(error)

    positions = range(len(source.ids))
    chunks = [positions[start : start + CHUNK] for start in positions[::CHUNK]]
    kept = []
    # More threads than cores would only wait for each other where images are small.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = (image for chunk in chunks for image in pool.map(read, chunk))
        for position, image in enumerate(track(images, len(positions), "fetch")):
            if isinstance(image, str):
                problems.bad_image(source.label(position), image, "replace or remove it")
            else:
                writer.add(source.ids[position], *image)
                kept.append(position)
    return kept
