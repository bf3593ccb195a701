"""What data/dataset.json must hold."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class SubmissionForm(BaseModel):
    """The form that `Source.submission` describes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    index: str
    columns: list[str]
    class_: str | None = Field(default=None, alias="class")
    file_names: bool = False
    sort: bool = False


class DatasetFile(BaseModel):
    """What data/dataset.json must hold, beside what only some read."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str
    task: Literal["multilabel", "multiclass"]
    classes: list[str] = Field(min_length=1)
    images: dict[str, int]
    submission: SubmissionForm
    origin: dict[str, Any]
    dropped: list[dict[str, str]]
