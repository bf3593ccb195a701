"""Settings of `split`: how the train part is divided."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foldwise.core.settings import Fraction, Number, Settings


class Split(Settings):
    """How the train part is divided into folds."""

    method: Literal["kfold", "holdout", "list"]
    """`list`: as the source says, by its validation list or its column of folds."""
    shuffle: bool = True
    """False: contiguous folds, in the order of the labels."""
    stratify: bool = False
    """Every fold gets its share of every class."""
    group: bool = False
    """Images of one group (the source's `group` column) stay together, in folds of similar size."""
    duplicates: Literal["together", "ignore"] = "together"
    """Exact and near duplicates stay together, or are only counted. Of a source's own lists and
    test part they are told in either case."""
    near: Annotated[int, Field(ge=-1, le=16)] = 2
    """Bits (of 64) in which the perceptual hashes of near duplicates differ at most; -1: only exact
    duplicates count."""
    fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """`holdout` only: share of the train part that is held out."""
    test: Fraction = 0.2
    """Share kept apart as test part, where the source brings none of its own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stratify and not self.shuffle:
            raise ValueError("stratify: needs `shuffle: true`")
        if self.method == "list" and (self.stratify or self.group):
            raise ValueError("method: list: the source has divided; drop `stratify` and `group`")
        return self
