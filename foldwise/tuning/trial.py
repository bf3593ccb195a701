"""One trial: a run of the pipeline with params of its own, as far as it is worth going."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from foldwise.core import files
from foldwise.params import Params, checked_params
from foldwise.tuning.halving import rungs
from foldwise.tuning.workspace import StageError, StoppedError, Workspace

State = Literal["complete", "pruned", "failed"]
DECIDES_WEIGHTS = ("lr", "epochs", "seed", "train")
"""Keys that stage `train` reads of every member, beside `models.<member>`."""
AFTER = ("ensemble", "threshold", "evaluate")

Report = Callable[[int, int, float], bool]
"""Takes a rung, its epochs and the score there; says whether the trial is to end."""


@dataclass
class Outcome:
    """How a trial ended."""

    state: State
    seconds: float = 0.0
    epochs: int = 0
    """Trained in all, over members and folds."""
    predicted: np.ndarray | None = None
    """int8 (images, classes): cross-fitted labels of a complete one, images as in `ids`."""
    ids: np.ndarray | None = None
    reason: str = ""
    """Why it was pruned, or failed."""
    scores: dict[int, float] = field(default_factory=dict)
    """Of the first fold, by epoch."""


def trained_members(content: dict[str, Any], base: dict[str, Any]) -> list[str]:
    """Members whose models the base does not have.

    >>> own = {"members": ["a"], "models": {"a": {"lr": 1}}, "lr": 1, "epochs": 2, "seed": 3}
    >>> trained_members(own | {"train": {}, "tta": {"views": []}}, own | {"train": {}})
    []
    >>> trained_members(own | {"train": {}, "lr": 2}, own | {"train": {}})
    ['a']
    """
    shared = all(content.get(key) == base.get(key) for key in DECIDES_WEIGHTS)
    return [
        member
        for member in content["members"]
        if not shared
        or member not in base["members"]
        or content["models"][member] != base["models"].get(member)
    ]


@dataclass(frozen=True)
class TrialRun:
    """What it takes to run one trial."""

    workspace: Workspace
    number: int
    content: dict[str, Any]
    """Of params.yaml."""
    base: dict[str, Any]
    report: Report

    def __call__(self) -> Outcome:
        """Run it, or go on with it where a killed study has left it.

        Raises:
            StoppedError: the study was interrupted.
        """
        began = time.monotonic()
        workspace = self.workspace
        params = checked_params(self.content)
        trained = trained_members(self.content, self.base)
        if workspace.holds != self.number:
            workspace.reset(workspace.base)
            workspace.write_params(self.content)
            workspace.drop_others(params.members)
            workspace.forget_curves(trained)
        before = workspace.mark(self.number)
        outcome = Outcome("complete")
        try:
            if trained and not self._first_fold(params, trained[0], outcome):
                outcome.state = "pruned"
            else:
                workspace.repro(
                    self._targets(params, self.content["members"] != self.base["members"])
                )
                outcome.ids, outcome.predicted = out_of_fold(workspace.folder)
                outcome.epochs = sum(
                    len(workspace.scores_of(member, fold))
                    for member in trained
                    for fold in params.folds
                )
        except StageError as error:
            outcome.state, outcome.reason = "failed", str(error)
        outcome.seconds = before + time.monotonic() - began
        return outcome

    def _first_fold(self, params: Params, member: str, outcome: Outcome) -> bool:
        """Train a member's first fold; False if it is not worth going on."""
        fold = params.folds[0]
        marks = dict(enumerate(rungs(params.recipe(member).epochs)))
        ended = threading.Event()

        def watch() -> bool:
            outcome.scores = self.workspace.scores_of(member, fold)
            for rung, epochs in marks.items():
                if epochs in outcome.scores and rung not in reported:
                    reported.add(rung)
                    if self.report(rung, epochs, outcome.scores[epochs]):
                        outcome.reason = f"at {epochs} of {marks[len(marks) - 1]} epochs"
                        outcome.epochs = max(outcome.scores)
                        ended.set()
                        return True
            return False

        reported: set[int] = set()
        try:
            self.workspace.repro([f"train@{member}-{fold}"], watch)
        except StoppedError:
            if not ended.is_set():
                raise
            return False
        # What ended between two looks.
        return not watch()

    @staticmethod
    def _targets(params: Params, other_members: bool) -> list[str]:
        names = [f"{member}-{fold}" for member in params.members for fold in params.folds]
        folds = [f"{stage}@{name}" for name in names for stage in ("train", "predict")]
        # `split` reads who the members are; what it writes stays the same.
        return [*(["split"] if other_members else []), *folds, *AFTER]


def out_of_fold(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids and cross-fitted labels, int8 (images, classes), of the run below `root`."""
    arrays = files.read_arrays(root / files.OUT_OF_FOLD, "threshold")
    return arrays["oof_id"], arrays["labels"]
