"""params.yaml as frozen, typed objects: the only reader of that file."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from foldwise.core.errors import UserError
from foldwise.core.settings import Count, Many, Positive, Settings
from foldwise.ensembling.settings import Ensemble, Evaluate, Threshold, Tta
from foldwise.folds.settings import Split
from foldwise.model.compute import Compute
from foldwise.model.geometry import cut, resize
from foldwise.model.settings import Model
from foldwise.sources.data_settings import Data
from foldwise.training.augment import apply_augment, build_augment
from foldwise.training.settings import Recipe, Train
from foldwise.view_names import corner_of

PARAMS = Path("params.yaml")

# A member's name is part of stage names, folder names and params' keys.
Name = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]


class Params(Settings):
    """The whole of params.yaml.

    Keys that dvc.yaml names have no default, here and in the sections: DVC would stop at the first
    stage that tracks a missing one, after all the work before it.
    """

    lr: Positive
    epochs: Count
    seed: Annotated[int, Field(ge=0)]
    folds: Annotated[Many[int], Field(min_length=1)]
    members: Annotated[Many[Name], Field(min_length=1)]
    data: Data
    split: Split
    models: dict[Name, Model]
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
        model = self.models[member]
        train = {name: getattr(self.train, name) for name in Train.model_fields}
        try:
            merged = Train.model_validate({**train, **model.train})
            return Recipe(
                member=member,
                model=model,
                lr=model.lr or self.lr,
                epochs=model.epochs or self.epochs,
                seed=self.seed,
                train=merged,
            )
        except ValidationError as error:
            raise UserError(_describe(error, Train, ("models", member, "train"))) from None


def read_params(path: Path = PARAMS, build: bool = False) -> Params:
    """Read and check all of params.yaml.

    With `build`, every member's augmentation is tried as well, which takes seconds: for stages that
    long work follows, to refuse what would otherwise fail much later.

    Raises `UserError` that names every wrong key, its value and what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, got {type(content).__name__}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise UserError(_describe(error, Params, ())) from None
    for member in params.models:
        recipe = params.recipe(member)
        if build and member in params.members:
            _try_augment(recipe)
    return params


def _try_augment(recipe: Recipe) -> None:
    """Augment a blank image, wider than high, on its way to the network."""
    model = recipe.model
    blank = np.zeros((model.image_size, model.image_size * 4 // 3, model.channels), np.uint8)
    pipeline = build_augment(recipe.train.augment)
    if recipe.train.augment_from == "original":
        cut(resize(apply_augment(pipeline, blank, seed=0), model), model)
    else:
        cut(apply_augment(pipeline, resize(blank, model), seed=0), model)


def _describe(error: ValidationError, model: type[Settings], prefix: tuple[str, ...]) -> str:
    found = error.errors()
    # A list whose items are wrong counts as too short as well: that says nothing new.
    wrong = {each["loc"][:-1] for each in found}
    problems = [
        _line(each, model, prefix)
        for each in found
        if not (each["type"] == "too_short" and each["loc"] in wrong)
    ]
    return f"{PARAMS}: " + "; ".join(dict.fromkeys(problems))


def _line(problem: ErrorDetails, model: type[Settings], prefix: tuple[str, ...]) -> str:
    # pydantic adds the tried branch of a union to the location; only real keys are shown.
    location = [part for part in problem["loc"] if isinstance(part, int) or part.isidentifier()]
    key = ".".join(map(str, (*prefix, *location)))
    if problem["type"] == "extra_forbidden":
        allowed = _allowed(model, problem["loc"][:-1])
        close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, 1)
        hint = f"did you mean '{close[0]}'?" if close else "allowed: " + ", ".join(allowed)
        return f"{key}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{key}: is missing; add it"
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    message = message[0].lower() + message[1:].replace("tuple", "list")
    return f"{key}: got {problem['input']!r}; {message}"


def _allowed(model: type[Settings], location: tuple[Any, ...]) -> list[str]:
    """Names of the keys that the section at this location may have."""
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        annotation = field.annotation if field is not None else Model
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        current = next(
            (each for each in candidates if isinstance(each, type) and issubclass(each, Settings)),
            current,
        )
    return [field.alias or name for name, field in current.model_fields.items()]
