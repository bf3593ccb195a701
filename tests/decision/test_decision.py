"""A decision from its fit to its labels, through JSON."""

import json

import numpy as np
import pytest

from foldwise.decision.calibrator import Calibrator
from foldwise.decision.decision import Decision, fit_decision, plain_decision
from foldwise.decision.settings import Threshold

PLAIN = Calibrator("none")


@pytest.fixture
def several() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 3)).astype(np.float32)
    return (logits + rng.normal(size=logits.shape) > 0.4).astype(np.int8), logits


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"fixed": 0.6},
        {"scope": "per_class", "calibration": "platt"},
        {"scope": "shrunk", "calibration": "isotonic"},
        {"decode": "count_prior", "calibration": "temperature"},
        {"decode": "count_prior_mode"},
        {"decode": "top_k", "k": 2},
    ],
    ids=str,
)
def test_a_decision_survives_json(
    several: tuple[np.ndarray, np.ndarray], chosen: dict[str, object]
) -> None:
    labels, logits = several
    settings_ = Threshold.model_validate({"objective": "accuracy"} | chosen)
    decoder = "threshold" if settings_.decode == "auto" else settings_.decode
    decision = fit_decision(labels, logits, np.arange(200) % 2, settings_, False, decoder)
    again = Decision.from_json(json.loads(json.dumps(decision.as_json())))
    assert again == decision
    decided = decision(logits)
    assert np.array_equal(again(logits), decided)
    assert decided.dtype == np.int8
    assert set(np.unique(decided)) <= {0, 1}
    assert (decided == labels).mean() > 0.6
    if settings_.fixed:
        assert decision.thresholds[0] == pytest.approx(np.log(0.6 / 0.4))


def test_a_threshold_is_not_rounded_onto_a_logit() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    decision = Decision(PLAIN, "threshold", ((float(low) + float(high)) / 2,))
    assert decision(np.array([[low], [high]])).tolist() == [[0], [1]]


def test_top_k_are_the_largest_and_ties_go_by_the_given_logits() -> None:
    logits = np.array([[0.1, 3.0, 2.0, -5.0], [-1.0, -2.0, -3.0, -0.5]], np.float32)
    assert plain_decision(True)(logits).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert Decision(PLAIN, "top_k", k=2)(logits).tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]
    flat = Calibrator("isotonic", steps=(((0.0, 1.0), (0.5, 0.5)),) * 4)
    assert np.ptp(flat(logits)) == 0
    assert Decision(flat, "top_k")(logits).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
