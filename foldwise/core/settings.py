"""What every section of params.yaml is made of: frozen, strictly typed, no unknown keys."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

T = TypeVar("T")


class Settings(BaseModel):
    """One section of params.yaml."""

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


Number = Annotated[float, BeforeValidator(_yaml_1_1_float), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

# A YAML list, kept as a tuple: strict for what is in it, lax about list or tuple.
Many = Annotated[tuple[T, ...], Strict(False)]
Range = Annotated[tuple[Number, Number], Strict(False)]
IntRange = Annotated[tuple[int, int], Strict(False)]
