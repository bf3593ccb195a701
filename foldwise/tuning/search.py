"""The search itself: trials one after another, or several at once, each told in a line."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from foldwise.core.errors import UserError
from foldwise.decision.ladder import ablation
from foldwise.params import checked_params
from foldwise.scoring.objective import Objective
from foldwise.tuning.keys import json_text, with_value
from foldwise.tuning.space import problem_of
from foldwise.tuning.study import Asked, Study
from foldwise.tuning.trial import Outcome, State, TrialRun
from foldwise.tuning.workspace import StoppedError, Workspace

UNSEEN = "evaluate.test"
"""The key that leaves the test part unseen: of all trials, the winner's alone is looked at."""
SHORT = 60
"""Characters of a value that a line shows."""


@dataclass
class Judge:
    """What trials are compared by: out-of-fold images, and the base's labels of them."""

    labels: np.ndarray
    """int8 (images, classes)."""
    ids: np.ndarray
    folds: np.ndarray
    """(images,)."""
    objective: Objective
    base: np.ndarray
    """int8 (images, classes): cross-fitted labels of the base."""

    def __call__(self, ids: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        """Of a trial's labels `score`, `low`, `high`, and of its `gain` over the base likewise.

        Raises:
            UserError: it is of other images.
        """
        ours = self.aligned(ids, predicted)
        rungs = {"base": [self.base], "own": [ours]}
        found = ablation(self.labels, rungs, self.objective)["own"]
        names = ("score", "low", "high", "gain", "gain_low", "gain_high", "verdict")
        return {name: found[name] for name in names}

    def aligned(self, ids: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Labels in the order of the base's images."""
        rows = pd.Index(ids).get_indexer(self.ids)
        if (rows < 0).any() or len(ids) != len(self.ids):
            raise UserError("trials are of other images than the base; seed or split differ")
        return predicted[rows]


def described(values: dict[str, Any]) -> str:
    """What was drawn, in a line.

    >>> described({"lr": 0.012, "tta.views": ["identity"]})
    'lr=0.012 tta.views=["identity"]'
    """
    texts = {key: json_text(value) for key, value in values.items()}
    short = {key: text if len(text) <= SHORT else text[: SHORT - 3] + "..." for key, text in
             texts.items()}  # fmt: skip
    return " ".join(f"{key}={text}" for key, text in short.items())


@dataclass
class Search:
    """Runs trials until there have been as many as asked for.

    Args:
        study: what comes next, and what has been.
        judge: how a complete one is judged.
        base: what params.yaml of the base holds.
        name: of the study.
        trials: how many, without the base.
    """

    study: Study
    judge: Judge
    base: dict[str, Any]
    name: str
    trials: int
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, workspaces: list[Workspace], interrupted: threading.Event) -> None:
        """Run them, one at once in each workspace.

        Raises:
            KeyboardInterrupt: Ctrl-C came; what ran has kept its checkpoint.
        """
        with ThreadPoolExecutor(len(workspaces)) as pool:
            running = [pool.submit(self._work, each, interrupted) for each in workspaces]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
            finally:
                # Ctrl-C, or one of them has failed: the others end in order.
                if not all(each.done() for each in running):
                    interrupted.set()
            for each in running:
                each.result()

    def _work(self, workspace: Workspace, interrupted: threading.Event) -> None:
        while not interrupted.is_set():
            asked = self.study.ask(self.trials, workspace.holds)
            if asked is None:
                return
            try:
                self._try(workspace, asked)
            except StoppedError:
                return

    def _try(self, workspace: Workspace, asked: Asked) -> None:
        number = asked.trial.number
        content = with_value(asked.content, UNSEEN, False)
        twin = self.study.same(asked.values)
        problem = problem_of(content)
        if twin is not None:
            outcome, facts = self._as_before(workspace, number, twin)
        elif problem is not None:
            outcome, facts = Outcome("failed", reason=problem), {}
        else:
            say(f"trial {number} begins: {described(asked.values)}")
            report = make_report(self.study, asked)
            outcome = TrialRun(workspace, number, content, self.base, report)()
            facts = self._facts(outcome)
            if outcome.state != "failed":
                facts |= self._record(workspace, number, outcome, described(asked.values))
        facts = {"seconds": outcome.seconds, "epochs": outcome.epochs, **facts}
        facts["reason"] = outcome.reason
        self.study.tell(asked.trial, outcome, facts)
        with self._lock:
            self.done += 1
            say(self._line(number, outcome, facts))

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        """How a complete trial is judged; its images are put in the base's order."""
        if outcome.ids is None or outcome.predicted is None:
            return {}
        outcome.predicted = self.judge.aligned(outcome.ids, outcome.predicted)
        outcome.ids = self.judge.ids
        return self.judge(outcome.ids, outcome.predicted)

    def _record(
        self, workspace: Workspace, number: int, outcome: Outcome, what: str
    ) -> dict[str, Any]:
        """Keep a trial as an experiment."""
        message = f"Trial {number} of {self.name}: {what}"
        if outcome.state == "pruned":
            workspace.say_pruned(outcome.epochs, outcome.scores[outcome.epochs])
            message += f" (pruned {outcome.reason})"
        else:
            # The base's page, which is made anew for the winner alone.
            workspace.forget_stages(lambda stage: stage == "present")
        name = experiment_name(self.name, number, outcome.state)
        return {"commit": workspace.record(name, message)}

    def _as_before(
        self, workspace: Workspace, number: int, twin: FrozenTrial
    ) -> tuple[Outcome, dict[str, Any]]:
        """What a draw gives that has been run before: the same, in no time."""
        state: State = "complete" if twin.state == TrialState.COMPLETE else "pruned"
        outcome = Outcome(state, reason=f"as trial {twin.number}")
        if state == "complete":
            outcome.ids, outcome.predicted = self.study.predicted(twin.number)
        commit = twin.user_attrs["commit"]
        workspace.record_as(experiment_name(self.name, number, state), commit)
        facts = self._facts(outcome) | {"commit": commit, "twin": twin.number}
        # What it would cost by itself.
        return outcome, facts | {key: twin.user_attrs[key] for key in ("seconds", "epochs")}

    def _line(self, number: int, outcome: Outcome, facts: dict[str, Any]) -> str:
        """How a trial ended, the best so far, and how long the rest may take."""
        if outcome.state == "complete":
            said = (
                f"{facts['score']:.4f} [{facts['low']:.4f}, {facts['high']:.4f}], against the base "
                f"{facts['gain']:+.4f} [{facts['gain_low']:+.4f}, {facts['gain_high']:+.4f}]"
            )
        else:
            said = f"{outcome.state}, {outcome.reason}"
        best, value = self.study.best()
        count = self.study.ended()
        left = (time.monotonic() - self.began) / self.done * max(0, self.trials - count)
        who = "the base" if best == 0 else f"trial {best}"
        return (
            f"trial {number}: {said}, {outcome.seconds:.0f} s | best {value:.4f} ({who}) | "
            f"{count} of {self.trials}, about {left / 60:.0f} min left"
        )


def make_report(study: Study, asked: Asked) -> Callable[[int, int, float], bool]:
    """What a trial asks at a rung."""
    return lambda rung, epochs, score: study.report(asked.trial, rung, epochs, score)


def experiment_name(study: str, number: int, state: str) -> str:
    """What DVC calls a trial.

    >>> experiment_name("rates", 7, "pruned")
    'rates-007-pruned'
    """
    return f"{study}-{number:03}" + ("" if state == "complete" else f"-{state}")


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def run_base(workspace: Workspace, content: dict[str, Any]) -> Outcome:
    """The base's run, from DVC's cache if it is there.

    Raises:
        UserError: a stage of it fails.
        StoppedError: the study was interrupted.
    """
    outcome = TrialRun(workspace, 0, content, content, lambda *_: False)()
    if outcome.state == "failed":
        raise UserError(f"the base: {outcome.reason}; does `dvc repro` go well?")
    params = checked_params(content)
    outcome.scores = workspace.scores_of(params.members[0], params.folds[0])
    return outcome
