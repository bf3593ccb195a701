"""The whole of params.yaml: all sections, and what they must be to each other."""

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from foldwise.core.errors import UserError
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
from foldwise.embedding.settings import MapSettings
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
    map: MapSettings
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
        if self.map.member not in (None, *self.members):
            raise ValueError(
                f"map.member: '{self.map.member}' is not among `members` "
                f"({', '.join(self.members)}); name one of them, or leave it out"
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
    return checked_params(read_file(path))


def checked_params(content: Any) -> Params:
    """All sections of what a params.yaml holds, or would hold; raises as `read_params` does."""
    params: Params = validated(content, Params)
    for member in params.models:
        _check_extra(params.recipe(member), params.data)
    return params


def _check_extra(recipe: Recipe, data: Data) -> None:
    """Refuse extra rows of no source, or asked for in a way that their source cannot give."""
    for name, rows in recipe.train.extra.items():
        key = f"params.yaml: train.extra.{name}"
        if name not in data.extra:
            known = ", ".join(data.extra) or "none"
            raise UserError(f"{key}: is no source of `data.extra` ({known}); add it there")
        if data.extra[name].source != "glyphs":
            continue
        if rows.per_epoch is None:
            raise UserError(
                f"{key}.per_epoch: is missing; composed images have no end, say how many an epoch "
                "shows"
            )
        if recipe.frozen_epochs:
            raise UserError(
                f"{key}: composed images are never the same twice, so their features cannot be "
                "kept; drop freeze"
            )
    growing = recipe.train.growing_epochs
    if growing >= recipe.epochs:
        raise UserError(
            f"params.yaml: train.curriculum: has {growing} epochs in all, where `epochs` is "
            f"{recipe.epochs}, so that none shows whole images; raise `epochs`, or shorten it"
        )
    teacher = recipe.train.teacher
    if teacher is not None and {"extra", "unlabelled"} & set(teacher.rows) and not data.extra:
        raise UserError(
            "params.yaml: train.teacher.rows: extra and unlabelled are rows of data.extra, which "
            "has no source; add one there, or leave them out"
        )
    composed = [name for name in recipe.train.extra if data.extra[name].source == "glyphs"]
    if recipe.train.curriculum and not composed:
        raise UserError(
            "params.yaml: train.curriculum: is of composed images, and no source of train.extra "
            "is composed; drop it"
        )


def value_at(content: dict[str, Any], key: str) -> Any:
    """The value of a key, None where there is none.

    >>> value_at({"train": {"loss": "bce"}}, "train.loss"), value_at({}, "train.loss")
    ('bce', None)
    """
    found: Any = content
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
