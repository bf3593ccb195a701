"""What is said at the end of a study, from trials whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from foldwise.report.study_record import read_study_record
from foldwise.scoring.objective import Objective, score
from foldwise.tuning.conclusion import conclude
from foldwise.tuning.search import Judge
from foldwise.tuning.space import Dimension, Space
from foldwise.tuning.study import Study
from foldwise.tuning.trial import Outcome
from tests.conftest import TINY

SPACE = Space(
    TINY,
    {
        "lr": Dimension(log=(1e-3, 1e-1)),
        # Called as a column of the table is.
        "epochs": Dimension(int=(2, 9)),
        "tta.views": Dimension(choice=(["identity"], ["identity", "hflip"])),
    },
)
RANDOM = np.random.default_rng(7)
LABELS = (RANDOM.random((300, 4)) < 0.4).astype(np.int8)
IDS = np.array([f"i{place:03}" for place in range(300)])
FOLDS = np.arange(300) % 3


def flipped(share: float, seed: int) -> np.ndarray:
    wrong = np.random.default_rng(seed).random(LABELS.shape) < share
    return np.where(wrong, 1 - LABELS, LABELS).astype(np.int8)


@pytest.fixture
def study(tmp_path: Path) -> tuple[Study, Judge]:
    """The base, one that is better, one nearly as good, one pruned and one that failed."""
    made = Study(tmp_path, SPACE, {"base": "b"}, seed=1)
    base = flipped(0.3, 0)
    judge = Judge(LABELS, IDS, FOLDS, Objective(name="accuracy"), base)
    outcome = Outcome("complete", 10.0, 9, base, IDS, scores={1: 0.4, 2: 0.5, 4: 0.6})
    facts = judge(IDS, base) | {"seconds": 10.0, "epochs": 0, "values": {}}
    made.add_base(outcome, facts["score"], 4, facts)
    order = np.random.default_rng(5).permutation(300)
    for number, share in ((1, 0.1), (2, 0.1)):
        asked = made.ask(9)
        assert asked is not None
        labels = flipped(share, number)
        # A file may have images in another order.
        theirs = Outcome("complete", 30.0 / number, 8, labels[order], IDS[order])
        facts = judge(IDS[order], labels[order]) | {"seconds": 30.0 / number, "epochs": 8}
        made.tell(asked.trial, theirs, facts)
    for state in ("pruned", "failed"):
        asked = made.ask(9)
        assert asked is not None
        if state == "pruned":
            made.report(asked.trial, 0, 1, 0.3)
        made.tell(asked.trial, Outcome(state), {"seconds": 2.0, "epochs": 1})
    return made, judge


def test_what_is_said_is_what_the_trials_were(study: tuple[Study, Judge]) -> None:
    found = conclude(*study, "name", "hash", [0, 1, 2])
    metrics = found.metrics
    scores = [score(LABELS, flipped(share, seed), Objective(name="accuracy"))
              for seed, share in ((0, 0.3), (1, 0.1), (2, 0.1))]  # fmt: skip
    best = int(np.argmax(scores))
    assert best in (1, 2)
    assert found.winner == best
    assert metrics["trials"] == {"complete": 2, "pruned": 1, "failed": 1}
    assert metrics["seconds"] == pytest.approx(30 + 15 + 2 + 2)
    assert metrics["winner"]["score"] == pytest.approx(max(scores))
    assert metrics["winner"]["gain"]["value"] == pytest.approx(max(scores) - scores[0])
    assert metrics["winner"]["gain"]["verdict"] == "helps"
    assert metrics["nested"]["verdict"] == "helps"
    # One was pruned by its first fold, which therefore scores nothing.
    assert metrics["nested"]["images"] == 200
    assert 0 not in metrics["within_noise"]
    assert metrics["within_noise"] == [1, 2]
    assert metrics["cheapest"] == {"trial": 2, "seconds": 15.0}
    assert sum(metrics["nested"]["choices"].values()) == pytest.approx(1)
    assert list(metrics["nested"]["choices"]) == ["0", "1", "2"]


def test_the_report_reads_what_is_written(study: tuple[Study, Judge], tmp_path: Path) -> None:
    found = conclude(*study, "name", "hash", [0, 1, 2])
    root = tmp_path / "clone"
    found.write(root)
    plots = [root / f"plots/tune{end}.csv" for end in ("", "_rungs", "_importances")]
    record = read_study_record(root / "metrics/tune.json", *plots)
    assert record is not None
    assert json.loads((root / "metrics/tune.json").read_text()) == found.metrics
    assert record.trials["state"].tolist() == ["complete"] * 3 + ["pruned", "failed"]
    assert record.trials["epochs"].tolist() == [0, 8, 8, 1, 1]
    drawn = [each.user_attrs["values"] for each in study[0].trials]
    assert [float(each) for each in record.values["epochs"][1:]] == [
        each["epochs"] for each in drawn[1:]
    ]
    assert [json.loads(each) for each in record.values["tta.views"][1:]] == [
        each["tta.views"] for each in drawn[1:]
    ]
    assert record.values.iloc[0].tolist() == ["", "", ""]
    first = record.rungs[record.rungs["trial"] == 0]
    assert first["epochs"].tolist() == [1, 2, 4]
    assert first["score"].tolist() == [0.4, 0.5, 0.6]
    assert record.rungs[record.rungs["trial"] == 3]["epochs"].tolist() == [1]
    best = record.trials["best"]
    assert best.is_monotonic_increasing


def test_where_nothing_is_better_the_base_stays(tmp_path: Path) -> None:
    made = Study(tmp_path, SPACE, {"base": "b"}, seed=1)
    base = flipped(0.1, 0)
    judge = Judge(LABELS, IDS, FOLDS, Objective(name="accuracy"), base)
    facts = judge(IDS, base) | {"seconds": 0.0, "epochs": 0, "values": {}}
    made.add_base(Outcome("complete", predicted=base, ids=IDS), facts["score"], 4, facts)
    asked = made.ask(1)
    assert asked is not None
    worse = flipped(0.4, 3)
    made.tell(
        asked.trial,
        Outcome("complete", predicted=worse, ids=IDS),
        judge(IDS, worse) | {"seconds": 1.0, "epochs": 8},
    )
    found = conclude(made, judge, "name", "hash", [0, 1, 2])
    assert found.winner == 0
    assert found.metrics["winner"]["gain"]["value"] == 0
    assert found.metrics["within_noise"] == [0]
    assert found.metrics["nested"]["value"] == 0
    # None was pruned: all folds score.
    assert found.metrics["nested"]["images"] == 300
