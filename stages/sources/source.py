"""What every source gives to `fetch`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stages.errors import UserError


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
    """The image file's bytes at a position of `ids`; raises `UserError` if it cannot be had."""
    label: Callable[[int], str]
    """How a person finds the image at a position: its path, say."""
    submission: dict[str, Any] = field(default_factory=lambda: {"index": "id"})
    """`index`: header of the id column; `classes`: order of the columns, where it differs."""
    origin: dict[str, Any] = field(default_factory=dict)
    """Where the data came from, for dataset.json."""

    def table(self) -> pd.DataFrame:
        """`id`, `part` and one nullable int8 column per class.

        Raises `UserError` if a class has the name of another column.
        """
        columns: dict[str, Any] = {"id": self.ids, "part": self.parts}
        for name in {*columns, "group"} & set(self.classes):
            raise UserError(f"{self.name}: a class may not be called '{name}'; rename its column")
        for index, name in enumerate(self.classes):
            column = self.labels[:, index]
            columns[name] = pd.arrays.IntegerArray(column.copy(), column == UNLABELLED)
        return pd.DataFrame(columns)


UNLABELLED = np.int8(-128)
"""Stands in `Source.labels` where an image has no labels at all; null in labels.parquet."""
