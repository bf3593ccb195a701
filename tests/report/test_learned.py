"""What a run learned from, whatever version of params.yaml it had."""

from typing import Any

import pandas as pd
import pytest

from foldwise.evaluation.settings import Evaluate
from foldwise.report.learned import ALONE, gains_over, kinds_of, learned_from

TWIN = {"twin": {"weight": 0.5, "per_epoch": 20000, "until": 0.8}}
TEACHER = {
    "revision": "3f2a91c0aabbccddeeff00112233445566778899",
    "rows": ["train", "unlabelled"],
    "weight": 0.5,
    "temperature": 2.0,
    "per_epoch": None,
}


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"train": None},
        {"train": {"extra": {}, "teacher": None}},
        {"members": ["cnn"], "models": {"cnn": {"backbone": "x"}}, "train": {"batch_size": 8}},
        # A source that nobody trains on.
        {"data": {"extra": {"twin": {"source": "glyphs"}}}, "train": {}},
        # An override that takes it away.
        {
            "members": ["a"],
            "models": {"a": {"train": {"extra": {}}}, "b": {"train": {"extra": TWIN}}},
            "train": {"extra": TWIN},
        },
    ],
)
def test_own_rows_alone(params: Any) -> None:
    assert learned_from(params) == ALONE
    assert kinds_of(params) == []


def test_extra_data_and_a_teacher() -> None:
    extra = {"photos": {"source": "images"}, "twin": {"source": "glyphs"}}
    params = {"data": {"extra": extra}, "train": {"extra": TWIN, "teacher": TEACHER}}
    assert learned_from(params) == (
        "also twin (weight 0.5, 20,000 per epoch, until 0.8); teacher 3f2a91c0aa "
        "(rows train, unlabelled (photos); weight 0.5; temperature 2.0)"
    )
    assert kinds_of(params) == ["extra data", "teacher"]


def test_members_differ_by_their_overrides() -> None:
    params = {
        "members": ["cnn", "student"],
        "models": {
            "cnn": {},
            "student": {"train": {"extra": {}, "teacher": {"revision": "v1"}}},
            "unused": {"train": {"extra": {"other": {}}}},
        },
        "train": {"extra": {"twin": {}}, "own_from": 0.5},
    }
    assert learned_from(params) == "cnn: also twin; own rows from 0.5 on | student: also teacher v1"
    params["members"] = ["student"]
    assert learned_from(params) == "also teacher v1"
    assert kinds_of(params) == ["teacher"]


def test_gains_are_told_per_part() -> None:
    rung = {"step": "against base v1", "gain": -0.01, "gain_low": -0.02, "gain_high": -0.005}
    below = {"step": "+ TTA", "gain": 0.5, "gain_low": 0.4, "gain_high": 0.6, "verdict": "helps"}
    ladder = pd.DataFrame([below, rung | {"verdict": "hurts"}])
    settings = Evaluate(submission="labels.csv", base="v1")
    lines = gains_over(settings, {"test": ladder, "oof": ladder}, ["teacher"])
    assert lines == [
        "Test: teacher adds -0.0100 [-0.0200, -0.0050] to base v1: hurts.",
        "Out-of-fold: teacher adds -0.0100 [-0.0200, -0.0050] to base v1: hurts.",
        "Whatever else differs between the two runs is in it.",
    ]
    assert gains_over(settings, {"test": ladder.head(1)}, []) == []
    assert gains_over(Evaluate(submission="labels.csv"), {"test": ladder}, []) == []
