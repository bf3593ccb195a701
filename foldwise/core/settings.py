"""params.yaml in frozen, typed sections: what they are made of, and the reader of one section.

A stage reads the sections that dvc.yaml names for it, by the very same keys, and no others: DVC
then reruns it for what it read, and what it did not read can neither change nor stop it.
"""

import difflib
import re
import types
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, overload

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from foldwise.core.errors import UserError

T = TypeVar("T")

PARAMS = Path("params.yaml")


class Settings(BaseModel):
    """One section of params.yaml: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _yaml_1_1_float(value: Any) -> Any:
    """Read `1e-06` as the number it is meant to be.

    `dvc exp run -S lr=1e-6` writes `1e-06`, which YAML 1.1 (PyYAML) takes for a string because
    the mantissa has no dot.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


# A number that YAML 1.1 takes for text: with an exponent, but without a dot or its sign.
MISSED = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")


def _yaml_1_1_floats(value: Any) -> Any:
    """Read such numbers anywhere in dictionaries and lists; any other text stays one."""
    if isinstance(value, dict):
        return {name: _yaml_1_1_floats(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_yaml_1_1_floats(each) for each in value]
    if isinstance(value, str) and MISSED.fullmatch(value):
        return float(value)
    return value


FreeForm = Annotated[dict[str, Any], BeforeValidator(_yaml_1_1_floats)]
"""Names and values that a library takes, and nobody here knows."""
Number = Annotated[float, BeforeValidator(_yaml_1_1_float), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]

# A YAML list, kept as a tuple: strict for what is in it, lax about list or tuple.
Many = Annotated[tuple[T, ...], Strict(False)]
Range = Annotated[tuple[Number, Number], Strict(False)]
IntRange = Annotated[tuple[int, int], Strict(False)]

# A member's name is part of stage names, folder names and params' keys.
MemberName = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
Folds = Annotated[Many[int], Field(min_length=1)]
"""Numbers of the folds: 0, 1, 2, ..."""
Members = Annotated[Many[MemberName], Field(min_length=1)]
"""Keys of `models` that form the ensemble."""


@overload
def read(key: str, kind: type[T], default: T | None = None) -> T: ...
@overload
def read(key: str, kind: Any, default: Any = None) -> Any: ...
def read(key: str, kind: Any, default: Any = None) -> Any:
    """One section of params.yaml, or one value of it.

    Args:
        key: with dots, as dvc.yaml's `params` has it: `lr`, `tta.views`, `models.cnn`.
        kind: what it must be: a `Settings`, or anything that pydantic validates.
        default: for a section that may be missing; None: it may not.

    Raises:
        UserError: it is missing, or wrong: a line that names every wrong key, its value and what
            is allowed.
    """
    found: Any = read_file()
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            if default is not None:
                return default
            raise UserError(f"{PARAMS}: {key}: is missing; add it")
        found = found[part]
    return validated(found, kind, tuple(key.split(".")))


def read_file(path: Path = PARAMS) -> dict[str, Any]:
    """The keys and values of params.yaml, unchecked. Raises `UserError` if it holds none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, got {type(content).__name__}")
    return content


def validated(content: Any, kind: Any, prefix: tuple[str, ...] = ()) -> Any:
    """Content as what it must be.

    Args:
        content: of params.yaml, or of a part of it.
        kind: a `Settings`, or anything that pydantic validates.
        prefix: keys under which it stands.

    Raises:
        UserError: it is something else.
    """
    # As strict as the values of a section, which has a configuration of its own.
    config = None if _section(kind) else ConfigDict(strict=True)
    try:
        return TypeAdapter(kind, config=config).validate_python(content)
    except ValidationError as error:
        raise UserError(_describe(error, kind, prefix)) from None


def _describe(error: ValidationError, kind: Any, prefix: tuple[str, ...]) -> str:
    found = error.errors()
    # A list whose items are wrong counts as too short as well: that says nothing new.
    wrong = {each["loc"][:-1] for each in found if each["loc"]}
    problems = [
        _problem_line(each, kind, prefix)
        for each in found
        if not (each["type"] == "too_short" and each["loc"] in wrong)
    ]
    return f"{PARAMS}: " + "; ".join(dict.fromkeys(problems))


def _problem_line(problem: ErrorDetails, kind: Any, prefix: tuple[str, ...]) -> str:
    # pydantic adds the tried branch of a union to the location; only real keys are shown.
    location = [part for part in problem["loc"] if isinstance(part, int) or part.isidentifier()]
    key = ".".join(map(str, (*prefix, *location)))
    if problem["type"] == "extra_forbidden":
        allowed = _allowed(kind, problem["loc"][:-1])
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


def _allowed(kind: Any, location: tuple[Any, ...]) -> list[str]:
    """Names of the keys that the section at this location may have."""
    section = _section(kind)
    for part in location:
        field = None if section is None else section.model_fields.get(str(part))
        # What is no field is a key of a dictionary of sections, or the tried branch of a union.
        if field is not None:
            section = _section(field.annotation) or section
    fields = {} if section is None else section.model_fields
    return [field.alias or name for name, field in fields.items()]


def _section(kind: Any) -> type[Settings] | None:
    """The section in a type: itself, or what a dictionary, a union or a list holds."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        return kind
    if get_origin(kind) in (Annotated, Union, types.UnionType, dict, tuple):
        return next(filter(None, map(_section, get_args(kind))), None)
    return None
