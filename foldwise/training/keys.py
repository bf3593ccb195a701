"""The name of a run's checkpoints: a hash of all that decides the weights."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from foldwise.core.damage import file_sum
from foldwise.features.kept import CODE
from foldwise.features.keys import key_of
from foldwise.model.dataset import LabelledDataset
from foldwise.model.installed import LITE, installed_weights
from foldwise.training.settings import Recipe

TRAINING = (
    # The whole room of inference, of which features need two files.
    *(each for each in CODE if not each.startswith("foldwise/inference/")),
    "foldwise/composing",
    "foldwise/ensembling/merge.py",
    "foldwise/ensembling/settings.py",
    "foldwise/inference",
    "foldwise/revisions.py",
    "foldwise/scoring/cross_fitting.py",
    "foldwise/scoring/probability.py",
    "foldwise/training",
    "stages/train.py",
)
"""What decides the weights, as dvc.yaml names it: no checkpoint of other code is gone on from."""


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
    if recipe.model.pretrained is True and recipe.model.backbone.startswith(LITE):
        # Its name has the beginning of its sum.
        with suppress(OSError):  # which building the network tells of
            told.append(installed_weights(recipe.model.backbone.removeprefix(LITE)).name)
    return key_of(TRAINING, recipe.model_dump_json(), fold, told)
