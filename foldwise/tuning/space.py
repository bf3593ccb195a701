"""What a study searches: keys of params.yaml, and what each of them may be.

    lr: {log: [1.0e-4, 1.0e-1]}
    train.loss: {choice: [bce, asymmetric]}
    train.loss_options.gamma_negative: {uniform: [0, 4]}
    tta.views: {choice: [[identity], [identity, hflip]]}

A key that the rest of a draw does not allow, as an option of another loss, is not drawn.
"""

import copy
import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial
from pydantic import Field, model_validator

from foldwise.core.errors import UserError
from foldwise.core.settings import IntRange, Many, Range, Settings, read_file, validated
from foldwise.params import checked_params, value_at
from foldwise.tuning.keys import json_text, used, with_value, without

RECIPE = "recipe"
"""The key whose choices are files: all of a recipe that decides a model, under the other keys."""
OF_RECIPE = ("lr", "epochs", "members", "models", "train", "tta", "ensemble", "threshold")
FIXED = {
    "data": "trials are compared on the same images and labels",
    "split": "trials are compared on the same folds",
    "folds": "trials are compared on the same folds",
    "seed": "it decides the folds, and to choose among seeds is to choose luck",
    "evaluate": "it decides no prediction",
    "map": "it decides no prediction",
    "compute": "it decides no result",
    "threshold.objective": "it says what is better",
}
"""Keys that a study leaves alone, and why."""
DIGITS = 4
"""Significant digits of a drawn number: more would say more than is known."""


class Dimension(Settings):
    """What one key may be; exactly one of these is given."""

    log: Range | None = None
    """Between two numbers, evenly in their logarithm."""
    uniform: Range | None = None
    """Between two numbers."""
    int: IntRange | None = None
    """A whole number between two, both included."""
    choice: Annotated[Many[Any], Field(min_length=2)] | None = None
    """One of several values, lists or mappings."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in Dimension.model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("write one of log, uniform, int and choice, as in {log: [1e-4, 1e-1]}")
        limits = self.log or self.uniform or self.int
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError(f"{given[0]}: the first number must be the smaller one")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError("log: both numbers must be above 0")
        if self.choice is not None:
            try:
                texts = list(map(json_text, self.choice))
            except TypeError:
                raise ValueError("choice: has a value that JSON has none for") from None
            if len(set(texts)) < len(texts):
                raise ValueError("choice: every value may be named once")
        return self

    @property
    def distribution(self) -> BaseDistribution:
        """Optuna's name for it; choices are JSON text, as it takes no lists."""
        if self.choice is not None:
            return CategoricalDistribution(list(map(json_text, self.choice)))
        if self.int is not None:
            return IntDistribution(*self.int)
        low, high = self.log or self.uniform or (0.0, 0.0)
        return FloatDistribution(low, high, log=self.log is not None)

    def suggest(self, trial: Trial, key: str) -> Any:
        """What Optuna draws."""
        if self.choice is not None:
            return trial.suggest_categorical(key, list(map(json_text, self.choice)))
        if self.int is not None:
            return trial.suggest_int(key, *self.int)
        low, high = self.log or self.uniform or (0.0, 0.0)
        return trial.suggest_float(key, low, high, log=self.log is not None)

    def drawn_as(self, value: Any) -> Any:
        """What Optuna would have drawn for a value; None if it could not have.

        >>> Dimension(log=(0.001, 1.0)).drawn_as(0.1), Dimension(choice=([1], [2])).drawn_as([3])
        (0.1, None)
        """
        if self.choice is not None:
            text = json_text(value)
            return text if text in map(json_text, self.choice) else None
        limits = self.int or self.log or self.uniform or (0, 0)
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return value if plain and limits[0] <= value <= limits[1] else None

    @property
    def samples(self) -> list[Any]:
        """Every choice, or both ends."""
        return list(self.choice or self.int or self.log or self.uniform or ())

    def value_of(self, drawn: Any) -> Any:
        """What is written to params.yaml for what Optuna drew.

        >>> Dimension(log=(0.001, 1.0)).value_of(0.0123456)
        0.01235
        >>> Dimension(choice=([1], [1, 2])).value_of("[1, 2]")
        [1, 2]
        """
        if self.choice is not None:
            return json.loads(drawn)
        limits = self.log or self.uniform
        if limits is None:
            return int(drawn)
        rounded = float(f"{drawn:.{DIGITS}g}")
        return min(max(rounded, limits[0]), limits[1])


def problem_of(content: dict[str, Any]) -> str | None:
    """Why params would be refused, or None."""
    try:
        checked_params(content)
    except UserError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Space:
    """All keys of a study, on the ground of the base's params.

    >>> Space({}, {"lr": Dimension(log=(0.1, 1.0))}).keys
    ['lr']
    """

    base: dict[str, Any]
    dimensions: dict[str, Dimension]

    @property
    def keys(self) -> list[str]:
        """In the order of the file, a recipe first."""
        return sorted(self.dimensions, key=lambda key: key != RECIPE)

    def draw(
        self, suggest: Callable[[str, Dimension], Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One draw.

        Args:
            suggest: says what Optuna drew for a key.

        Returns:
            The params, and the values of the keys that were drawn.
        """
        content, values = copy.deepcopy(self.base), {}
        for position, key in enumerate(self.keys):
            later = self.keys[position + 1 :]
            if not used(content, key):
                continue
            dimension = self.dimensions[key]
            if not all(self._fits(content, key, each, later) for each in dimension.samples):
                # What the base says of it belongs to what the base says of others.
                content = without(content, key)
                continue
            values[key] = dimension.value_of(suggest(key, dimension))
            content = self._set(content, key, values[key])
        return content, values

    def _set(self, content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
        if key != RECIPE:
            return with_value(content, key, value)
        recipe = read_file(Path(value))
        kept = {name: each for name, each in recipe.items() if name in OF_RECIPE}
        return {**content, **copy.deepcopy(kept)}

    def _fits(self, content: dict[str, Any], key: str, sample: Any, others: list[str]) -> bool:
        """Whether params allow a sample of a key, as they are or without others."""
        changed = self._set(content, key, sample)
        if problem_of(changed) is None:
            return True
        for other in others:
            if other in self._optional:
                changed = without(changed, other)
        return problem_of(changed) is None

    @cached_property
    def _optional(self) -> set[str]:
        """Keys that params may lack."""
        return {key for key in self.dimensions if problem_of(without(self.base, key)) is None}

    def drawn_by_base(self) -> dict[str, Any]:
        """What Optuna would have drawn, had it drawn the base's values, where it could."""
        found = {
            key: each.drawn_as(value_at(self.base, key)) for key, each in self.dimensions.items()
        }
        return {key: value for key, value in found.items() if value is not None}

    def check(self) -> None:
        """Refuse keys, types and ranges that no draw of the others allows.

        Raises:
            UserError: a line for each.
        """
        problems = []
        contents = list(self._grounds())
        for key in self.keys:
            others = [each for each in self.keys if each != key]
            samples = self.dimensions[key].samples
            if any(all(self._fits(each, key, x, others) for x in samples) for each in contents):
                continue
            wrong = next(x for x in samples if not self._fits(self.base, key, x, others))
            reason = problem_of(self._set(self.base, key, wrong)) or "is refused"
            reason = reason.splitlines()[0].removeprefix("params.yaml: ")
            problems.append(f"{key}: {json_text(wrong)} is refused in every draw: {reason}")
        if problems:
            raise UserError(*problems)

    def _grounds(self) -> Iterator[dict[str, Any]]:
        """The base, and it with every choice of every other key."""
        yield self.base
        for key, dimension in self.dimensions.items():
            for sample in dimension.choice or ():
                yield self._set(self.base, key, sample)


def read_space(path: Path, base: dict[str, Any]) -> Space:
    """The space of a file, checked against the typed settings.

    Args:
        path: of the YAML file.
        base: what params.yaml of the base holds.

    Raises:
        UserError: a line for every key that is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; name a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected keys of params.yaml, as in lr: {{log: [1e-4, 1e-1]}}")
    try:
        dimensions = {
            str(key): validated(each, Dimension, (str(key),)) for key, each in content.items()
        }
        for key in dimensions:
            _searchable(key, base)
        space = Space(base, dimensions)
        for sample in dimensions[RECIPE].samples if RECIPE in dimensions else ():
            if not Path(str(sample)).is_file():
                raise UserError(f"recipe: {sample}: no such file")
            read_file(Path(str(sample)))
        space.check()
    except UserError as error:
        lines = [line.removeprefix("params.yaml: ") for line in error.args]
        raise UserError(*(f"{path}: {line}" for line in lines)) from None
    return space


def _searchable(key: str, base: dict[str, Any]) -> None:
    for fixed, reason in FIXED.items():
        if key == fixed or key.startswith(f"{fixed}.") or fixed.startswith(f"{key}."):
            raise UserError(f"{key}: is not searched, as {reason}; leave it out")
    first = key.split(".")[0]
    known = [RECIPE, *base]
    if first not in known:
        close = difflib.get_close_matches(first, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else "keys are params.yaml's own, with dots"
        raise UserError(f"{key}: unknown key; {hint}")
    if not all(key.split(".")):
        raise UserError(f"{key}: is no key; write it as params.yaml has it, with dots")
