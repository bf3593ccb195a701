"""Names of what is kept between runs: hashes of all that decides what is in it."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.damage import file_sum
from foldwise.training.settings import Recipe

ROOT = Path(__file__).parents[2]
"""What paths of code are relative to."""
LIBRARIES = (
    "albumentations",
    "efficientnet-pytorch",
    "lightning",
    "opencv-python-headless",
    "timm",
    "torch",
    "torchvision",
)
TRAINING = (
    "foldwise/core",
    "foldwise/images",
    "foldwise/model",
    "foldwise/revisions.py",
    "foldwise/training",
    "foldwise/view_names.py",
    "stages/train.py",
)
"""What decides the weights, as dvc.yaml names it: no checkpoint of other code is gone on from."""


def key_of(code: Iterable[str], *parts: Any, root: Path = ROOT) -> str:
    """A name for what is kept between runs, which differs where the content would.

    Args:
        code: folders and files of ours that decide the content, from the repository's root; of
            folders all modules below them.
        parts: anything else that does, with a stable `repr`. Versions of libraries are among it
            anyway.
        root: of the repository.
    """
    named = [root / each for each in code]
    files = [path for each in named for path in (each.rglob("*.py") if each.is_dir() else [each])]
    content = sorted((path.relative_to(root).as_posix(), path.read_bytes()) for path in files)
    digest = hashlib.sha256()
    for part in (content, [version(each) for each in LIBRARIES], *parts):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def run_key(
    recipe: Recipe,
    fold: int,
    commit: str | None,
    labels: pd.DataFrame,
    folds: pd.DataFrame,
    classes: list[str],
    shas: dict[str, str],
) -> str:
    """A hash of what decides the weights: the recipe, the data, our code, versions of libraries.

    Args:
        recipe: of the member.
        fold: that is held out.
        commit: whose weights the member starts from, as `starting_commit` gives it.
        labels: `id` and a column per class, of all images.
        folds: `id` and `fold`.
        classes: names, in order.
        shas: the sha256 of every image of the data set, by id.
    """
    data: list[Any] = [classes, commit, sorted(shas.items())]
    if isinstance(recipe.model.pretrained, str) and Path(recipe.model.pretrained).is_file():
        data.append(file_sum(Path(recipe.model.pretrained)))
    for part in parts_of_fold(labels, folds, fold, classes):
        data.append((part.index.tolist(), part.to_numpy().tobytes()))
    return key_of(TRAINING, recipe.model_dump_json(), fold, data)


def parts_of_fold(
    labels: pd.DataFrame, folds: pd.DataFrame, fold: int, classes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images that are trained on, and those that are held out.

    Args:
        labels: `id` and a column per class, of all images.
        folds: `id` and `fold`.
        fold: that is held out.
        classes: names, in order.

    Returns:
        int8 labels of either, a row per image, by its id.
    """
    table = labels.set_index("id")[classes]
    held_out = folds["fold"] == fold
    train, valid = (table.loc[folds.loc[rows, "id"]] for rows in (~held_out, held_out))
    return train.astype(np.int8), valid.astype(np.int8)
