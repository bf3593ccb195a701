"""Names of what is kept between runs: hashes of all that decides what is in it."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foldwise.core.damage import file_sum
from foldwise.model.dataset import LabelledDataset
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


def run_key(recipe: Recipe, fold: int, data: list[Any], parts: Iterable[LabelledDataset]) -> str:
    """A hash of what decides the weights: the recipe, the data, our code, versions of libraries.

    Args:
        recipe: of the member.
        fold: that is held out.
        data: anything with a stable `repr` that tells one data set from another.
        parts: the images that are trained on, and those that are held out, with their labels.
    """
    told = [*data, *((each.ids, each.labels.numpy().tobytes()) for each in parts)]
    if isinstance(recipe.model.pretrained, str) and Path(recipe.model.pretrained).is_file():
        told.append(file_sum(Path(recipe.model.pretrained)))
    return key_of(TRAINING, recipe.model_dump_json(), fold, told)
