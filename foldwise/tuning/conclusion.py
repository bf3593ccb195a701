"""What a study found: the winner, what choosing it cost, and what is as good within noise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from foldwise.core import files
from foldwise.report.study_record import TRIAL_COLUMNS
from foldwise.tuning.halving import FACTOR
from foldwise.tuning.keys import json_text
from foldwise.tuning.nested import nested_gain, within_noise
from foldwise.tuning.search import Judge
from foldwise.tuning.study import STATES, Study

METRICS = files.METRICS / "tune.json"
TRIALS = files.PLOTS / "tune.csv"
RUNGS = files.PLOTS / "tune_rungs.csv"
IMPORTANCES = files.PLOTS / "tune_importances.csv"
NAMES = {state: name for name, state in STATES.items()}
INTERVAL = ("score", "low", "high")
GAIN = ("gain", "gain_low", "gain_high")


@dataclass(frozen=True)
class Conclusion:
    """All that is written of a study."""

    metrics: dict[str, Any]
    """As metrics/tune.json has it."""
    trials: pd.DataFrame
    rungs: pd.DataFrame
    importances: pd.DataFrame

    @property
    def winner(self) -> int:
        """Number of the winner; 0 is the base."""
        return int(self.metrics["winner"]["trial"])

    def write(self, root: Path) -> None:
        """Into the files below `root` that the report reads."""
        files.write_json(root / METRICS, self.metrics)
        files.write_plot(root / TRIALS, self.trials)
        files.write_plot(root / RUNGS, self.rungs)
        files.write_plot(root / IMPORTANCES, self.importances)


def conclude(study: Study, judge: Judge, name: str, base: str, folds: list[int]) -> Conclusion:
    """What there is to say at the end.

    Args:
        study: all of whose trials have ended.
        judge: what trials were compared by.
        name: of the study.
        base: hash of the base's commit.
        folds: of the base.
    """
    ended = [each for each in study.trials if each.state.is_finished()]
    # What is there twice would make its choice look surer.
    complete = [
        each
        for each in ended
        if each.state == TrialState.COMPLETE and "twin" not in each.user_attrs
    ]
    predicted = [judge.aligned(*study.predicted(each.number)) for each in complete]
    winner, _ = study.best()
    place = [each.number for each in complete].index(winner)
    # Halving kept a trial for what it did on the first fold: that fold cannot judge it.
    pruned = any(each.state == TrialState.PRUNED for each in ended)
    nested = nested_gain(
        judge.labels,
        np.stack(predicted),
        judge.objective,
        judge.folds,
        seen=folds[:1] if pruned and len(folds) > 1 else (),
    )
    alike = [
        complete[each].number
        for each in within_noise(judge.labels, np.stack(predicted), judge.objective, place)
    ]
    # The base came out of DVC's cache: what it cost once is not known here.
    known = [number for number in alike if number] or alike
    cheapest = min(known, key=lambda number: (_seconds(study.trials[number]), number))
    counts = {name: sum(NAMES[each.state] == name for each in ended[1:]) for name in NAMES.values()}
    importances, of = study.importances()
    metrics = {
        "study": name,
        "objective": judge.objective.name,
        "base": base,
        "trials": counts,
        "seconds": sum(_seconds(each) for each in ended[1:] if "twin" not in each.user_attrs),
        "winner": winner_facts(winner, complete[place].user_attrs),
        "nested": nested | {"choices": dict(zip(
            (str(each.number) for each in complete), nested["choices"], strict=True))},
        "within_noise": alike,
        "cheapest": {"trial": cheapest, "seconds": _seconds(study.trials[cheapest])},
        "importances": importances,
        "importances_of": of,
    }  # fmt: skip
    shares = pd.DataFrame(importances.items(), columns=["key", "importance"])
    return Conclusion(
        metrics, trial_table(ended, study.space.keys, alike), rung_table(ended), shares
    )


def winner_facts(number: int, facts: dict[str, Any]) -> dict[str, Any]:
    """The winner as metrics/tune.json has it."""
    value, low, high = (facts[key] for key in GAIN)
    gain = {"value": value, "low": low, "high": high, "verdict": facts["verdict"]}
    score = {key: facts[key] for key in INTERVAL}
    return {"trial": number, "params": facts.get("values", {}), **score, "gain": gain}


def _seconds(trial: FrozenTrial) -> float:
    return float(trial.user_attrs.get("seconds", 0.0))


def trial_table(trials: list[FrozenTrial], keys: list[str], alike: list[int]) -> pd.DataFrame:
    """A row per trial.

    Args:
        trials: that have ended, the base first.
        keys: that were searched.
        alike: numbers of those within noise of the winner.
    """
    rows, best = [], -np.inf
    for each in trials:
        facts = each.user_attrs
        complete = each.state == TrialState.COMPLETE
        if complete:
            best = max(best, facts["score"])
        row: dict[str, Any] = {"trial": each.number, "state": NAMES[each.state]}
        row |= {key: facts.get(key) for key in INTERVAL} | {"best": best}
        row |= {key: facts.get(key) for key in GAIN}
        row |= {"seconds": round(_seconds(each), 1), "epochs": facts.get("epochs", 0)}
        row["within_noise"] = each.number in alike if complete else None
        drawn = facts.get("values", {})
        # By their places: a key may be called `epochs`, as a column is.
        own = {place: drawn[key] for place, key in enumerate(keys) if key in drawn}
        rows.append(row | {place: _cell(value) for place, value in own.items()})
    table = pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *range(len(keys))])
    return table.set_axis([*TRIAL_COLUMNS, *keys], axis=1)


def _cell(value: Any) -> Any:
    """Numbers and names as they are, anything else as JSON."""
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if plain else json_text(value)


def rung_table(trials: list[FrozenTrial]) -> pd.DataFrame:
    """What halving compared: a row per trial and rung."""
    rows = []
    for each in trials:
        for step, score in sorted(each.intermediate_values.items()):
            rung = round(np.log(step) / np.log(FACTOR))
            epochs = each.user_attrs.get(f"epochs_{rung}")
            rows.append(
                {"trial": each.number, "step": rung, "epochs": epochs, "folds": 1, "score": score}
            )
    return pd.DataFrame(rows, columns=["trial", "step", "epochs", "folds", "score"])
