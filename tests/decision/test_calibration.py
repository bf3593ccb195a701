"""Calibration against scikit-learn, and what must hold of any."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from foldwise.decision.calibration_error import BINS, calibration_errors, reliability
from foldwise.decision.calibrator import Calibrator, fit_calibrator
from foldwise.decision.settings import Calibration
from foldwise.scoring.probability import log_softmax, one_vs_rest_log_odds, sigmoid
from tests.scored import cases

METHODS = get_args(Calibration)
TRUE = np.array([[2.5, -0.5], [0.4, 1.0], [1.5, 0.3]])


@pytest.fixture(scope="module")
def several() -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels; of class c the true log-odds are TRUE[c, 0] * logit + TRUE[c, 1]."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6000, 3)).astype(np.float32)
    chance = sigmoid(TRUE[:, 0] * logits + TRUE[:, 1])
    return (rng.random(logits.shape) < chance).astype(np.int8), logits


@pytest.fixture(scope="module")
def exclusive() -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of a softmax that is 2.5 times too sure, and one-hot labels."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(6000, 5))
    truth = (np.exp(log_softmax(scores)).cumsum(1) < rng.random((6000, 1))).sum(1)
    logits = one_vs_rest_log_odds(log_softmax(2.5 * scores)).astype(np.float32)
    return np.eye(5, dtype=np.int8)[truth], logits


def test_what_was_bent_is_straightened(several: tuple[np.ndarray, np.ndarray]) -> None:
    found = fit_calibrator(*several, "platt", softmax=False)
    assert np.array(found.lines) == pytest.approx(TRUE, abs=0.15)
    only = fit_calibrator(*several, "class_temperature", softmax=False)
    assert [offset for _, offset in only.lines] == [0.0, 0.0, 0.0]
    assert len(fit_calibrator(*several, "temperature", softmax=False).lines) == 1


def test_a_line_is_scikit_learns(several: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = several
    platt = fit_calibrator(labels, logits, "platt", softmax=False)
    slopes = fit_calibrator(labels, logits, "class_temperature", softmax=False)
    for index in range(3):
        x, y = logits[:, [index]], labels[:, index]
        line = LogisticRegression(C=np.inf, tol=1e-8).fit(x, y)
        # Platt's targets differ from the labels by one image in thousands.
        wanted = (line.coef_[0, 0], line.intercept_[0])
        assert platt.lines[index] == pytest.approx(wanted, abs=0.01)
        slope = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(x, y)
        assert slopes.lines[index][0] == pytest.approx(slope.coef_[0, 0], rel=1e-3)


def test_softmax_is_cooled(exclusive: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = exclusive
    found = fit_calibrator(labels, logits, "temperature", softmax=True)
    assert found.lines[0][0] == pytest.approx(1 / 2.5, rel=0.05)
    p = sigmoid(found(logits))
    assert p.sum(1) == pytest.approx(np.ones(len(p)), abs=1e-5)
    assert (p.argmax(1) == logits.argmax(1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_on_what_it_was_fitted_likelihood_does_not_fall(
    method: Calibration,
    several: tuple[np.ndarray, np.ndarray],
    exclusive: tuple[np.ndarray, np.ndarray],
) -> None:
    for (labels, logits), softmax in ((several, False), (exclusive, True)):
        found = fit_calibrator(labels, logits, method, softmax)
        before, after = (
            calibration_errors(labels, each, softmax) for each in (logits, found(logits))
        )
        assert found(logits).dtype == np.float32
        if method == "none":
            assert before == after
        else:
            assert after["nll"] < before["nll"] - 0.001
            assert after["brier"] < before["brier"]
            # One slope cannot undo offsets.
            if softmax or method in ("platt", "isotonic"):
                assert after["ece"] < before["ece"]
        again = Calibrator.from_json(found.as_json())
        assert again == found
        assert again(logits).tobytes() == found(logits).tobytes()


def test_isotonic_is_scikit_learns(several: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = several
    p = sigmoid(fit_calibrator(labels, logits, "isotonic", softmax=False)(logits))
    for index in range(3):
        model = IsotonicRegression(out_of_bounds="clip").fit(logits[:, index], labels[:, index])
        assert p[:, index] == pytest.approx(model.predict(logits[:, index]), abs=2e-4)
    assert 0 < p.min() < p.max() < 1


@given(cases())
@settings(max_examples=60, deadline=None)
def test_any_calibration_rises_and_is_finite(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = case
    for method in METHODS:
        found = fit_calibrator(labels, logits, method, softmax=False)(logits)
        assert np.isfinite(found).all()
        order = np.argsort(logits, axis=0)
        assert (np.diff(np.take_along_axis(found, order, 0), axis=0) >= 0).all()
    one_class = fit_calibrator(np.ones_like(labels), logits, "platt", softmax=False)
    assert np.array_equal(one_class(logits), logits)


@given(cases(images=10))
@settings(max_examples=40, deadline=None)
def test_any_softmax_calibration_sums_to_one(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits = case[1]
    if logits.shape[1] < 2:
        return
    labels = np.eye(logits.shape[1], dtype=np.int8)[case[0][:, 0] % logits.shape[1]]
    for method in METHODS[1:]:
        p = sigmoid(fit_calibrator(labels, logits, method, softmax=True)(logits))
        assert p.sum(1) == pytest.approx(np.ones(len(p)), abs=1e-4)


def test_a_class_that_is_never_there_keeps_its_softmax() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    scores = 2 * np.eye(4)[truth] + rng.normal(size=(400, 4)) - [0, 0, 0, 6]
    logits = one_vs_rest_log_odds(log_softmax(scores)).astype(np.float32)
    labels = np.eye(4, dtype=np.int8)[truth]
    for method in ("class_temperature", "platt"):
        lines = fit_calibrator(labels, logits, method, softmax=True).lines
        assert lines[3] == (1.0, 0.0)
        assert max(abs(offset) for _, offset in lines) < 3


def test_vector_scaling_finds_what_was_done() -> None:
    rng = np.random.default_rng(0)
    logarithms = log_softmax(rng.normal(size=(20000, 3)) * 2)
    truth = (logarithms.cumsum(1) * 0 + np.exp(logarithms)).cumsum(1)
    drawn = (rng.random((20000, 1)) > truth[:, :2]).sum(1)
    slopes, offsets = np.array([0.5, 1.0, 2.0]), np.array([0.7, 0.0, -0.5])
    bent = one_vs_rest_log_odds(log_softmax((logarithms - offsets) / slopes)).astype(np.float32)
    labels = np.eye(3, dtype=np.int8)[drawn]
    found = fit_calibrator(labels, bent, "platt", softmax=True)(bent)
    # Shared offsets of all scores are lost in a softmax: probabilities are what comes back.
    assert np.abs(sigmoid(found) - np.exp(logarithms)).mean() < 0.05
    before = calibration_errors(labels, bent, softmax=True)["nll"]
    assert calibration_errors(labels, found, softmax=True)["nll"] < before - 0.05


def test_targets_are_platts() -> None:
    """Of separable scores the two targets are reached exactly: two unknowns, two values."""
    logits = np.array([[-1.0]] * 3 + [[1.0]] * 5, np.float32)
    labels = np.array([[0]] * 3 + [[1]] * 5, np.int8)
    p = sigmoid(fit_calibrator(labels, logits, "platt", softmax=False)(logits))[:, 0]
    assert p[0] == pytest.approx(1 / 5, abs=1e-3)
    assert p[-1] == pytest.approx(6 / 7, abs=1e-3)


def test_images_without_one_class_do_not_count_in_a_softmax() -> None:
    logits = np.array([[2.0, -2.0], [2.0, -2.0], [1.0, -1.0]], np.float32)
    labels = np.array([[1, 0], [1, 1], [-1, 0]], np.int8)
    assert reliability(labels, logits, softmax=True)["count"].sum() == 1


def test_separable_scores_do_not_blow_up() -> None:
    logits = np.array([[-1.0], [-0.5], [0.5], [1.0]], np.float32)
    labels = np.array([[0], [0], [1], [1]], np.int8)
    for method in METHODS:
        found = fit_calibrator(labels, logits, method, softmax=False)(logits)
        assert np.abs(found).max() <= 20


def test_errors_are_scikit_learns(
    several: tuple[np.ndarray, np.ndarray], exclusive: tuple[np.ndarray, np.ndarray]
) -> None:
    labels, logits = several
    used = labels.copy()
    used[:100, 0] = -1
    found = calibration_errors(used, logits, softmax=False)
    y, p = used[used >= 0], sigmoid(logits)[used >= 0]
    assert found["nll"] == pytest.approx(log_loss(y, p))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p))
    table = reliability(used, logits, softmax=False)
    frequency, probability = calibration_curve(y, p, n_bins=BINS)
    assert table["frequency"].to_numpy() == pytest.approx(frequency)
    assert table["probability"].to_numpy() == pytest.approx(probability)
    gaps = sum(
        abs((y - p)[(p >= low) & (p < low + 1 / BINS)].sum()) for low in np.arange(BINS) / BINS
    )
    assert found["ece"] == pytest.approx(gaps / len(y))

    labels, logits = exclusive
    found = calibration_errors(labels, logits, softmax=True)
    p = sigmoid(logits)
    p /= p.sum(1, keepdims=True)
    assert found["nll"] == pytest.approx(log_loss(labels.argmax(1), p), rel=1e-4)
    assert found["brier"] == pytest.approx(((p - labels) ** 2).sum(1).mean(), rel=1e-4)
