"""Studies: what is drawn next, which trials end early, and that a kill loses none of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from foldwise.core.errors import UserError
from foldwise.tuning.halving import rungs, step_of, validation_scores
from foldwise.tuning.space import Dimension, Space
from foldwise.tuning.study import Asked, Study
from foldwise.tuning.trial import Outcome
from tests.conftest import TINY

SPACE = Space(
    TINY,
    {
        "lr": Dimension(log=(1e-3, 1e-1)),
        "train.loss": Dimension(choice=("bce", "multilabel_soft_margin")),
    },
)
LABELS = np.eye(4, dtype=np.int8)
IDS = np.array(list("abcd"))


def opened(folder: Path, identity: str = "base") -> Study:
    return Study(folder, SPACE, {"base": identity}, seed=3)


def ended(score: float, **facts: Any) -> tuple[Outcome, dict[str, Any]]:
    return Outcome("complete", predicted=LABELS, ids=IDS), {"score": score} | facts


def begun(folder: Path, at: dict[int, float]) -> Study:
    study = opened(folder)
    outcome, facts = ended(0.5)
    outcome.scores = at
    study.add_base(outcome, 0.5, 4, facts)
    return study


def drawn(study: Study, trials: int) -> list[dict[str, Any]]:
    found = []
    while (asked := study.ask(trials)) is not None:
        found.append(asked.values)
        study.tell(asked.trial, *ended(asked.values["lr"]))
    return found


def asked_of(study: Study, most: int = 9) -> Asked:
    asked = study.ask(most)
    assert asked is not None
    return asked


def test_what_is_drawn_does_not_depend_on_being_killed(tmp_path: Path) -> None:
    whole = drawn(begun(tmp_path / "whole", {}), 6)
    begun(tmp_path / "parts", {})
    parts = []
    for number in range(1, 7):
        # Killed right after it was asked for, before anything came of it.
        asked_of(opened(tmp_path / "parts"), 6)
        study = opened(tmp_path / "parts")
        asked = asked_of(study, 6)
        assert asked.trial.number == number
        parts.append(asked.values)
        study.tell(asked.trial, *ended(asked.values["lr"]))
    assert parts == whole
    assert opened(tmp_path / "parts").ask(6) is None
    assert len({json["lr"] for json in whole}) == 6


def test_a_trial_that_was_left_is_gone_on_with_where_its_files_are(tmp_path: Path) -> None:
    study = begun(tmp_path, {})
    numbers = [asked_of(study).trial.number for _ in range(3)]
    assert numbers == [1, 2, 3]
    again = opened(tmp_path)
    taken = [again.ask(9, held) for held in (2, 3, None)]
    assert [each.trial.number for each in taken if each] == [2, 3, 1]
    assert asked_of(again).trial.number == 4


def test_only_the_best_third_goes_on_from_a_rung(tmp_path: Path) -> None:
    # The base has done better than any of them, and is not asked.
    study = begun(tmp_path, {1: 0.95, 2: 0.96, 4: 0.97})
    first = asked_of(study)
    assert not study.report(first.trial, 0, 1, 0.5)
    assert not study.report(first.trial, 1, 2, 0.6)
    worse = asked_of(study)
    assert study.report(worse.trial, 0, 1, 0.49)
    better = asked_of(study)
    assert not study.report(better.trial, 0, 1, 0.51)
    assert study.report(better.trial, 1, 2, 0.59)
    best = asked_of(study)
    assert not study.report(best.trial, 0, 1, 0.52)
    assert not study.report(best.trial, 1, 2, 0.61)
    assert not study.report(best.trial, 2, 4, 0.71)
    # Of six at a rung two go on.
    assert study.report(asked_of(study).trial, 0, 1, 0.505)
    assert not study.report(asked_of(study).trial, 0, 1, 0.515)
    # A kill between the report and the end of the trial changes nothing.
    again = opened(tmp_path)
    left = {each.trial.number: each.trial for each in [asked_of(again) for _ in range(6)]}
    assert again.report(left[worse.trial.number], 0, 1, 0.49)
    assert not again.report(left[best.trial.number], 2, 4, 0.71)
    scores = [trial.intermediate_values for trial in again.trials]
    assert scores[0] == {step_of(0): 0.95, step_of(1): 0.96, step_of(2): 0.97}
    assert scores[4] == {step_of(0): 0.52, step_of(1): 0.61, step_of(2): 0.71}


def test_the_best_is_a_complete_one_and_of_equals_the_first(tmp_path: Path) -> None:
    study = begun(tmp_path, {})
    for score in (0.4, 0.7, 0.7):
        asked = asked_of(study)
        study.tell(asked.trial, *ended(score))
    pruned = asked_of(study)
    study.report(pruned.trial, 0, 1, 0.99)
    study.tell(pruned.trial, Outcome("pruned"), {})
    failed = asked_of(study)
    study.tell(failed.trial, Outcome("failed"), {})
    assert study.best() == (2, 0.7)
    assert study.ended() == 5
    states = [each.state for each in study.trials]
    assert states[4:] == [TrialState.PRUNED, TrialState.FAIL]
    ids, labels = study.predicted(2)
    assert ids.tolist() == IDS.tolist()
    assert np.array_equal(labels, LABELS)
    assert study.same(asked.values) is not None
    assert study.same(failed.values) is None


def test_importances_tell_the_key_that_matters(tmp_path: Path) -> None:
    study = begun(tmp_path, {})
    assert study.importances()[0] == {}
    while (asked := study.ask(20)) is not None:
        study.tell(asked.trial, *ended(float(asked.values["train.loss"] == "bce")))
    found, of = study.importances()
    assert of == "score"
    assert found["train.loss"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


def test_where_few_are_complete_importances_are_of_the_first_rung(tmp_path: Path) -> None:
    study = begun(tmp_path, {})
    while (asked := study.ask(12)) is not None:
        study.report(asked.trial, 0, 1, asked.values["lr"])
        # The rung after it says the opposite.
        study.report(asked.trial, 1, 2, float(asked.values["train.loss"] == "bce"))
        study.tell(asked.trial, Outcome("pruned"), {})
    found, of = study.importances()
    assert of == "first rung"
    assert found["lr"] > found["train.loss"]


def test_another_study_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UserError, match="begun with another base"):
        opened(tmp_path, "other")


def test_rungs_end_with_the_whole_fold() -> None:
    for epochs in range(1, 200):
        found = rungs(epochs)
        assert found[-1] == epochs
        assert found == sorted(set(found))
        assert found[0] >= 1
        assert len(found) <= 4


def test_a_row_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "plots/metrics/valid_macro_ap.tsv"
    assert validation_scores(tmp_path) == {}
    path.parent.mkdir(parents=True)
    for text, wanted in (
        ("", {}),
        ("step\tvalid_mac", {}),
        ("step\tvalid_macro_ap\n0\t0.5\n1\t0.6", {1: 0.5}),
        ("step\tvalid_macro_ap\n0\t0.5\n1\t0.62\n", {1: 0.5, 2: 0.62}),
    ):
        path.write_text(text)
        assert validation_scores(tmp_path) == wanted
