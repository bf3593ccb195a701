"""A study: which trials there have been, which comes next, kept so that a kill loses none."""

import json
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.tuning.halving import goes_on, rungs, step_of
from foldwise.tuning.space import Dimension, Space
from foldwise.tuning.trial import Outcome

STORAGE = "study.sqlite"
PREDICTED = "predicted"
NAME = "foldwise"
STARTUP = 8
"""Trials that are drawn at random, before what is known of others guides the draw."""
FEWEST = 6
"""Complete trials that importances need."""
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}

ENDS = "ends"
"""Attribute of a trial that is to end at a rung."""
RAN = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Asked:
    """A trial that is to be run."""

    trial: Trial
    content: dict[str, Any]
    """Of params.yaml."""
    values: dict[str, Any]
    """Of the keys that were drawn."""


class Study:
    """A study in a folder of its own.

    Args:
        folder: where it is kept.
        space: what is searched.
        identity: what may not change while it goes on: the base's commit and the space.
        seed: of what is drawn.

    Raises:
        UserError: the folder has a study of another identity.
    """

    def __init__(self, folder: Path, space: Space, identity: dict[str, Any], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.space, self._seed = folder, space, seed
        self._lock = threading.RLock()
        self._study = optuna.create_study(
            storage=f"sqlite:///{folder / STORAGE}",
            study_name=NAME,
            direction="maximize",
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        text = json.dumps(identity | {"seed": seed}, sort_keys=True)
        known = self._study.user_attrs.setdefault("identity", text)
        if known != text:
            ours, theirs = json.loads(text), json.loads(known)
            changed = ", ".join(key for key in ours if ours[key] != theirs.get(key))
            raise UserError(
                f"{folder}: was begun with another {changed}; give this study another --name, or "
                "delete that folder to begin anew"
            )
        self._study.set_user_attr("identity", text)
        # Those that a killed study has left; they are gone on with first.
        self._left = [each for each in self.trials if each.state == TrialState.RUNNING]

    @property
    def trials(self) -> list[FrozenTrial]:
        """All, the base first."""
        return self._study.get_trials(deepcopy=False)

    def add_base(self, outcome: Outcome, score: float, epochs: int, facts: dict[str, Any]) -> None:
        """Take the base in as trial 0, unless it is there.

        Halving does not compare trials with it: most first epochs are worse than those of a base
        that somebody has tuned before, and none would be run to the end.

        Args:
            outcome: of its run.
            score: out-of-fold.
            epochs: of its first member.
            facts: what else is kept of it.
        """
        with self._lock:
            if self.trials:
                return
            self._keep(0, outcome)
            marks, drawn = rungs(epochs), self.space.drawn_by_base()
            at = {
                rung: outcome.scores[each]
                for rung, each in enumerate(marks)
                if each in outcome.scores
            }
            self._study.add_trial(
                create_trial(
                    value=score,
                    params=drawn,
                    distributions={key: self.space.dimensions[key].distribution for key in drawn},
                    intermediate_values={step_of(rung): value for rung, value in at.items()},
                    user_attrs=facts | {f"epochs_{rung}": marks[rung] for rung in at},
                )
            )

    def ask(self, most: int, held: int | None = None) -> Asked | None:
        """The next trial, one that was left first; None if there have been as many as `most`.

        Args:
            most: how many there may be, without the base.
            held: number of the trial whose files the asking workspace holds.
        """
        with self._lock:
            if self._left:
                # Elsewhere it would begin anew.
                self._left.sort(key=lambda each: (each.number != held, each.number))
                trial = Trial(self._study, self._left.pop(0)._trial_id)
            elif len(self.trials) > most:
                return None
            else:
                trial = self._study.ask()
            content, values = self.space.draw(partial(self._suggest, trial))
            trial.set_user_attr("values", values)
            return Asked(trial, content, values)

    def _suggest(self, trial: Trial, key: str, dimension: Dimension) -> Any:
        # A seed per draw: what is drawn does not depend on when a study was killed.
        place = [self._seed, trial.number, self.space.keys.index(key)]
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence(place).generate_state(1)[0]),
            n_startup_trials=STARTUP + 1,
            constant_liar=True,
        )
        return dimension.suggest(trial, key)

    def report(self, trial: Trial, rung: int, epochs: int, score: float) -> bool:
        """Note a trial's score at a rung; whether it is to end there."""
        with self._lock:
            if step_of(rung) not in self.trials[trial.number].intermediate_values:
                trial.report(score, step_of(rung))
            trial.set_user_attr(f"epochs_{rung}", epochs)
            if ENDS in self.trials[trial.number].user_attrs:
                # Said before a kill; others may have come since.
                return True
            ends = not goes_on(score, self._at(step_of(rung)))
            if ends:
                trial.set_user_attr(ENDS, rung)
            return ends

    def _at(self, step: int) -> list[float]:
        """Scores of all trials that have been at a rung, without the base's."""
        found = [each.intermediate_values.get(step) for each in self.trials[1:]]
        return [value for value in found if value is not None]

    def tell(self, trial: Trial, outcome: Outcome, facts: dict[str, Any]) -> None:
        """Note how a trial ended; its `score` is among the facts if it is complete."""
        with self._lock:
            self._keep(trial.number, outcome)
            for name, fact in facts.items():
                trial.set_user_attr(name, fact)
            self._study.tell(trial, facts.get("score"), STATES[outcome.state])

    def _keep(self, number: int, outcome: Outcome) -> None:
        if outcome.predicted is not None and outcome.ids is not None:
            files.write_arrays(self._path(number), ids=outcome.ids, labels=outcome.predicted)

    def _path(self, number: int) -> Path:
        return self.folder / PREDICTED / f"{number:04}.npz"

    def best(self) -> tuple[int, float]:
        """Number and score of the best complete trial; of equals the earliest."""
        complete = [each for each in self.trials if each.state == TrialState.COMPLETE]
        best = max(complete, key=lambda each: (each.value, -each.number))
        assert best.value is not None
        return best.number, best.value

    def same(self, values: dict[str, Any]) -> FrozenTrial | None:
        """A trial that has run with these very values."""
        for each in self.trials[1:]:
            if each.state in RAN and each.user_attrs["values"] == values:
                return each
        return None

    def ended(self) -> int:
        """How many trials have ended, without the base."""
        return sum(each.state.is_finished() for each in self.trials[1:])

    def predicted(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and cross-fitted labels of a complete trial."""
        arrays = files.read_arrays(self._path(number), "tune")
        return arrays["ids"], arrays["labels"]

    def importances(self) -> tuple[dict[str, float], str]:
        """How much of the score's variance each key explains (fANOVA, Hutter et al. 2014).

        Returns:
            A share for every key that all trials have, and what score it is of: that of complete
            trials, or where these are few, that of the first rung. Empty where there are too few.
        """
        tried = [each for each in self.trials[1:] if each.state in RAN]
        # Optuna gives a pruned one the value of its last rung.
        complete = [
            (each, each.value)
            for each in tried
            if each.state == TrialState.COMPLETE and each.value is not None
        ]
        if len(complete) >= FEWEST:
            return self._fanova(complete), "score"
        early = [(each, each.intermediate_values.get(step_of(0))) for each in tried]
        return self._fanova([(each, at) for each, at in early if at is not None]), "first rung"

    def _fanova(self, scored: list[tuple[FrozenTrial, float]]) -> dict[str, float]:
        if len(scored) < FEWEST or len({value for _, value in scored}) == 1:
            return {}
        # Without the base, which nobody drew.
        shadow = optuna.create_study(direction="maximize")
        for each, value in scored:
            shadow.add_trial(
                create_trial(value=value, params=each.params, distributions=each.distributions)
            )
        evaluator = FanovaImportanceEvaluator(seed=self._seed % 2**32)
        return {
            key: float(share)
            for key, share in get_param_importances(shadow, evaluator=evaluator).items()
        }
