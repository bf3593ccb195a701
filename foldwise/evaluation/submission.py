"""The test part's labels, in the form that the data set's owner wants them in."""

import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

NUMBER = re.compile(r"[0-9]+")


def submission(
    dataset: dict[str, Any], ids: list[str], best: np.ndarray, predicted: np.ndarray
) -> pd.DataFrame:
    """A row per image: its labels, a column each, or its one class.

    Args:
        dataset: `classes` and `submission`, as the source described them.
        ids: of the images, in the source's order.
        best: (images,): index of the likeliest class, where the form has one class per image.
        predicted: (images, classes): 1 or 0, what a form with a column per class shows.

    >>> dataset = {"classes": ["cat", "dog"], "submission": {"index": "file", "class": "animal"}}
    >>> best, predicted = np.array([1, 0]), np.array([[0, 1], [1, 0]])
    >>> submission(dataset, ["1", "2"], best, predicted).to_dict("list")
    {'file': ['1', '2'], 'animal': ['dog', 'cat']}
    >>> dataset["submission"] = {"index": "file", "columns": ["dog", "cat"]}
    >>> submission(dataset, ["1", "2"], best, predicted).to_dict("list")
    {'file': ['1', '2'], 'dog': [1, 0], 'cat': [0, 1]}
    """
    form = dataset["submission"]
    names = [PurePosixPath(id).name for id in ids] if form.get("file_names") else ids
    if len(set(names)) < len(names):
        # In folders per class names repeat: a bare one would not say which image is meant.
        names = ids
    if "class" in form:
        classes = [dataset["classes"][index] for index in best]
        table = pd.DataFrame({form["class"]: classes}, dtype=object)
    else:
        table = pd.DataFrame(predicted, columns=dataset["classes"])[form["columns"]]
    table.insert(0, form["index"], names)
    if form.get("sort"):
        table = table.iloc[np.argsort([_number(name) for name in names], kind="stable")]
    return table


def _number(name: str) -> int:
    """The first number in a file name, 0 if it has none."""
    found = NUMBER.search(name)
    return int(found[0]) if found else 0
