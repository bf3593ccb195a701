"""The whole of params.yaml: checked before long work, and shown by the report.

`check_params` decides no result: it refuses, or does nothing. What a stage computes comes from the
sections that it reads itself, so that a new key of one section reruns no stage that reads another.
"""

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import model_validator

from foldwise.core.settings import (
    PARAMS,
    Count,
    Folds,
    MemberName,
    Members,
    Positive,
    Seed,
    Settings,
    read_file,
    validated,
)
from foldwise.decision.settings import Threshold
from foldwise.ensembling.settings import Ensemble, Tta
from foldwise.evaluation.settings import Evaluate
from foldwise.folds.settings import Split
from foldwise.model.settings import Compute, Model
from foldwise.sources.settings import Data
from foldwise.training.settings import Recipe, Train, make_recipe
from foldwise.view_names import corner_of


class Params(Settings):
    """Every section.

    Keys that dvc.yaml names have no default, here and in the sections: DVC would stop at the first
    stage that tracks a missing one, after all the work before it.
    """

    lr: Positive
    epochs: Count
    seed: Seed
    folds: Folds
    members: Members
    data: Data
    split: Split
    models: dict[MemberName, Model]
    train: Train
    tta: Tta
    ensemble: Ensemble
    threshold: Threshold
    evaluate: Evaluate
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.members)) < len(self.members):
            raise ValueError("members: every member may be named once")
        for member in self.members:
            if member not in self.models:
                known = ", ".join(self.models) or "none"
                raise ValueError(
                    f"members: '{member}' is not among `models` ({known}); add it there"
                )
            if any(map(corner_of, self.tta.views)) and not self.models[member].may_be_cut:
                raise ValueError(
                    f"tta.views: crops are cut from a larger image, which member '{member}' sees "
                    "whole; give it `shortest_edge` and `views: single`, or leave the crops out"
                )
        if self.folds != tuple(range(len(self.folds))):
            raise ValueError(f"folds: got {list(self.folds)}, expected 0, 1, 2, ... in this order")
        if self.split.method == "holdout" and self.folds != (0,):
            raise ValueError("folds: split.method holdout has one fold; write `folds: [0]`")
        if self.split.method == "kfold" and len(self.folds) < 2:
            raise ValueError(
                "folds: split.method kfold needs at least two folds, as in `folds: [0, 1, 2]`; "
                "for a single one choose split.method holdout"
            )
        return self

    def recipe(self, member: str) -> Recipe:
        """Everything that decides the weights of one member, with its overrides applied."""
        return make_recipe(member, self.models[member], self.train, self.lr, self.epochs, self.seed)


def read_params(path: Path = PARAMS) -> Params:
    """All sections, each member's recipe checked too.

    Raises `UserError` that names every wrong key, its value and what is allowed.
    """
    params: Params = validated(read_file(path), Params)
    for member in params.models:
        params.recipe(member)
    return params


def check_params(augment: bool = False, path: Path = PARAMS) -> None:
    """Refuse a params.yaml that some stage would refuse later, after long work.

    Args:
        augment: try every member's augmentation as well, which takes seconds.
        path: of the file.

    Raises:
        UserError: names every wrong key, its value and what is allowed.
    """
    params = read_params(path)
    for member in params.members:
        if augment:
            _try_augment(params.recipe(member))


def check_data(single: bool, classes: int) -> None:
    """Refuse a decision that does not suit the data set, before anything is trained on it.

    Args:
        single: every image has one label.
        classes: how many there are.

    Raises:
        UserError: the decoder gives several labels where images have one, or too many.
    """
    # Only here: SciPy and scikit-learn take a second to import.
    from foldwise.decision.decision import check_decision

    check_decision(read_params().threshold, single, classes)


def check_networks(classes: int, built: str) -> None:
    """Refuse other members whose networks cannot be built, before one member is trained for long.

    Args:
        classes: how many outputs they have.
        built: the member that is built anyway.

    Raises:
        UserError: a library has no such network, or refuses its options.
    """
    # Only here: torch takes seconds to import.
    from foldwise.model.classifier import build_network

    params = read_params()
    for member in params.members:
        if member != built:
            build_network(params.models[member], classes, pretrained=False)


def _try_augment(recipe: Recipe) -> None:
    """Augment a blank image, wider than high, on its way to the network."""
    from foldwise.model.geometry import cut, resize
    from foldwise.training.augment import make_augment

    model = recipe.model
    blank = np.zeros((model.image_size, model.image_size * 4 // 3, model.channels), np.uint8)
    augment = make_augment(recipe.train.augment)
    if augment is None:
        return
    if recipe.train.augment_from == "original":
        cut(resize(augment(blank, 0), model), model)
    else:
        cut(augment(resize(blank, model), 0), model)
