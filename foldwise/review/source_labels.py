"""The labels that the source itself has, where corrections were applied to them."""

from collections.abc import Mapping

import pandas as pd

SourceLabels = Mapping[str, Mapping[str, int]]
"""Of an image's id and a class's name the source's label; of those alone that were looked at."""


def source_labels(corrected: pd.DataFrame) -> dict[str, dict[str, int]]:
    """What labels.parquet no longer tells once corrections are applied.

    Args:
        corrected: as `foldwise.core.corrected.read_corrected` gives it.

    >>> said = {"id": ["a.png"], "class": ["cat"], "was": [1], "is": [0], "why": ["wrong"]}
    >>> source_labels(pd.DataFrame(said))
    {'a.png': {'cat': 1}}
    """
    found: dict[str, dict[str, int]] = {}
    rows = corrected[["id", "class", "was"]].itertuples(index=False, name=None)
    for id, name, was in rows:
        found.setdefault(id, {})[name] = int(was)
    return found


def of_the_source(labels: pd.DataFrame, known: SourceLabels) -> pd.DataFrame:
    """A table of labels, ids as index and a column per class, as it was before corrections.

    >>> of_the_source(pd.DataFrame({"cat": [0]}, index=["a.png"]), {"a.png": {"cat": 1}})
           cat
    a.png    1
    """
    before = labels.copy()
    for id, row in known.items():
        for name, was in row.items():
            if id in before.index and name in before.columns:
                before.at[id, name] = was
    return before
