"""Settings of `evaluate`: what it writes."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from foldwise.core.settings import Settings
from foldwise.revisions import shown

OURS = {"benchmarks", "docs", "foldwise", "metrics", "plots", "recipes", "stages", "tests"}
"""Folders that hold other things."""


def _inside(path: str) -> str:
    # DVC deletes it before the stage that writes it runs.
    folder = PurePosixPath(path).parent
    hidden = any(part.startswith(".") for part in PurePosixPath(path).parts)
    if hidden or set(folder.parts[:1]) & OURS:
        raise ValueError("submission: must lie where nothing else does, as data/submission.csv")
    if folder.parts[:1] == ("data",) and len(folder.parts) > 1:
        raise ValueError("submission: must lie in data/ itself, or in a folder of its own")
    if not path.isprintable():
        raise ValueError("submission: holds what cannot be printed; write another name")
    return path


class Evaluate(Settings):
    """What `evaluate` writes."""

    submission: Annotated[str, Field(pattern=r"^[^/\\]+(/[^/\\]+)*\.csv$"), AfterValidator(_inside)]
    """File of the test part's labels, in the form that the source asks for; in this folder."""
    examples: Annotated[int, Field(ge=1, le=100)] = 12
    """How many images the picture of examples shows."""
    heatmaps: bool = False
    """Whether the report shows where in an image the first member sees a class (Grad-CAM)."""
    base: Annotated[str, Field(min_length=1)] | None = None
    """The run that this one is to be better than, by its commit (hash or tag): one more rung of the
    ladder."""

    test: bool = True
    """Whether the test part is looked at; false: its labels stay unseen while you search, and its
    predictions are written all the same."""

    @property
    def base_step(self) -> str:
        """Name of the base's rung, whose gain is over the base and not over the rung below.

        >>> Evaluate(submission="labels.csv", base="v1.0").base_step
        'against base v1.0'
        """
        return f"against base {shown(self.base or 'none')}"
