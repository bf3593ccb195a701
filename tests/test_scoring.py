"""Merging, thresholds and metrics against brute force and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from stages.errors import UserError
from stages.scoring.decision import Decision
from stages.scoring.ladder import ladder
from stages.scoring.merge import MERGES, merge_logits
from stages.scoring.metrics import per_class, summary
from stages.scoring.outoffold import join_folds, merge_folds
from stages.scoring.probability import log_sigmoid, logit, sigmoid
from stages.scoring.threshold import best_threshold, cross_fitted, score_at, threshold_curve
from stages.settings.scoring import Merge, Objective

OBJECTIVES: list[Objective] = ["accuracy", "micro_f1"]
MERGE_NAMES: list[Merge] = ["mean_probability", "mean_logit", "geometric_mean", "max"]

# Few distinct values, so that ties are common.
scores = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 1e-7])
shapes = st.tuples(st.integers(1, 8), st.integers(1, 4))
cases = shapes.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=scores.map(lambda each: float(np.float32(each)))),
        arrays(np.int8, shape, elements=st.sampled_from([1, 0, -1])),
    )
)


def brute_force(logits: np.ndarray, labels: np.ndarray, objective: Objective) -> float:
    """The best score over every value and both ends, computed one by one by scikit-learn."""
    used = labels >= 0
    values, truth = logits[used], labels[used]
    found = []
    for each in [*np.unique(values), values.max() + 1]:
        guess = (values >= each).astype(int)
        if objective == "accuracy":
            found.append(reference.accuracy_score(truth, guess))
        else:
            found.append(reference.f1_score(truth, guess, zero_division=0.0))
    return max(found)


@given(cases, st.sampled_from(OBJECTIVES))
@settings(max_examples=600, deadline=None)
def test_the_threshold_is_the_best_of_all(
    case: tuple[np.ndarray, np.ndarray], objective: Objective
) -> None:
    logits, labels = case
    if not (labels >= 0).any():
        with pytest.raises(ValueError, match="no labelled score"):
            threshold_curve(logits, labels, objective)
        return
    curve = threshold_curve(logits, labels, objective)
    best = best_threshold(curve)
    assert curve.scores.max() == pytest.approx(brute_force(logits, labels, objective), abs=1e-12)
    assert score_at(logits, labels, best, objective) == pytest.approx(curve.scores.max(), abs=1e-12)
    for threshold, score in zip(curve.thresholds, curve.scores, strict=True):
        assert score_at(logits, labels, threshold, objective) == pytest.approx(score, abs=1e-12)
    assert len(curve.thresholds) == len(np.unique(logits[labels >= 0])) + 1


def test_neighbouring_floats_are_told_apart() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    logits = np.array([[low], [high]], np.float32)
    curve = threshold_curve(logits, np.array([[0], [1]], np.int8), "accuracy")
    best = best_threshold(curve)
    assert float(low) < best < float(high)
    assert score_at(logits, np.array([[0], [1]], np.int8), best, "accuracy") == 1
    assert Decision(best)(logits).tolist() == [[0], [1]]


def test_among_equals_the_threshold_nearest_to_a_half() -> None:
    logits = np.array([[-2.0], [3.0]], np.float32)
    curve = threshold_curve(logits, np.array([[0], [1]], np.int8), "accuracy")
    assert best_threshold(curve) == 0.5


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        threshold_curve(np.array([[np.nan]]), np.array([[1]], np.int8), "accuracy")


def test_cross_fitting_never_looks_at_its_own_group() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 3)).astype(np.float32)
    labels = (logits + rng.normal(size=logits.shape) > 0.4).astype(np.int8)
    groups = np.arange(60) % 3
    score, thresholds = cross_fitted(logits, labels, groups, "accuracy")
    right = 0
    for group, threshold in thresholds.items():
        others, own = groups != group, groups == group
        assert threshold == best_threshold(
            threshold_curve(logits[others], labels[others], "accuracy")
        )
        right += ((logits[own] >= threshold) == labels[own]).sum()
    assert score == pytest.approx(right / labels.size)
    flipped = labels.copy()
    flipped[groups == 1] = 1 - flipped[groups == 1]
    assert cross_fitted(logits, flipped, groups, "accuracy")[1][1] == thresholds[1]


finite = st.floats(-700, 700, width=32)


@given(arrays(np.float32, (3, 2, 2), elements=finite), st.sampled_from(MERGE_NAMES))
@settings(max_examples=300, deadline=None)
def test_merged_logits_are_finite_and_between(logits: np.ndarray, how: Merge) -> None:
    merged = merge_logits(logits, how)
    assert merged.dtype == np.float32
    assert np.isfinite(merged).all()
    slack = 1e-5 * (1 + np.abs(logits).max())
    assert (merged >= logits.min(0) - slack).all()
    assert (merged <= logits.max(0) + slack).all()
    assert np.array_equal(merge_logits(logits[:1], how), logits[0])
    assert np.allclose(merge_logits(np.stack([logits[0]] * 3), how), logits[0], rtol=1e-5)


@given(arrays(np.float32, (4, 3, 2), elements=st.floats(-12, 12, width=32)))
@settings(max_examples=200, deadline=None)
def test_merging_is_what_its_name_says(logits: np.ndarray) -> None:
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    wanted = {
        "mean_probability": probability.mean(0),
        "mean_logit": 1 / (1 + np.exp(-logits.astype(np.float64).mean(0))),
        "geometric_mean": np.exp(np.log(probability).mean(0)),
        "max": probability.max(0),
    }
    assert set(wanted) == set(MERGES)
    for how in MERGE_NAMES:
        assert np.allclose(sigmoid(merge_logits(logits, how)), wanted[how], atol=1e-6)


def test_probabilities_without_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    assert log_sigmoid(np.array([-1e4]))[0] == -1e4
    assert logit(float(sigmoid(np.array(1.5)))) == pytest.approx(1.5)


@given(cases)
@settings(max_examples=150, deadline=None)
def test_metrics_are_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    predicted = Decision(0.1)(logits)
    whole = (labels >= 0).all(1)
    table = per_class(labels, logits, predicted)
    for index in range(labels.shape[1]):
        used = labels[:, index] >= 0
        truth, guess = labels[used, index], predicted[used, index]
        if truth.any():
            wanted = reference.average_precision_score(truth, logits[used, index])
            assert table["ap"][index] == pytest.approx(wanted)
        else:
            assert np.isnan(table["ap"][index])
        if used.any():
            for name in ("f1", "precision", "recall"):
                score = getattr(reference, f"{name}_score")(truth, guess, zero_division=0.0)
                assert table[name][index] == pytest.approx(score)
            assert table["prevalence"][index] == pytest.approx(truth.mean())
    if not (labels >= 0).any():
        return
    result = summary(labels, logits, predicted)
    used = labels >= 0
    assert result["accuracy"] == pytest.approx((labels == predicted)[used].mean())
    assert result["macro_f1"] == pytest.approx(table["f1"].mean())
    assert result["micro_f1"] == pytest.approx(
        reference.f1_score(labels[used], predicted[used], zero_division=0.0)
    )
    if whole.all():
        assert result["exact_match"] == pytest.approx(reference.accuracy_score(labels, predicted))


def test_ignored_labels_cannot_spoil_an_exact_match() -> None:
    labels = np.array([[1, -1], [1, 0]], np.int8)
    result = summary(labels, np.array([[1.0, 1.0], [1.0, 1.0]]), np.ones((2, 2), np.int8))
    assert result["exact_match"] == 0.5
    assert result["accuracy"] == pytest.approx(2 / 3)


def test_without_any_positive_label_there_is_no_average_precision() -> None:
    zeros = np.zeros((3, 2), np.int8)
    result = summary(zeros, np.zeros((3, 2), np.float32), zeros)
    assert result["macro_ap"] is None
    assert (result["accuracy"], result["micro_f1"]) == (1.0, 0.0)


def test_decision_survives_json() -> None:
    decision = Decision(-0.123456789)
    content = decision.as_json()
    assert content["threshold"]["probability"] == pytest.approx(1 / (1 + np.exp(0.123456789)))
    assert Decision.from_json(content) == decision
    assert decision(np.array([[-0.2, -0.123456789, 0.0]])).tolist() == [[0, 1, 1]]


def test_folds_are_joined_by_id() -> None:
    ids = np.array(["a", "b", "c", "d"])
    folds = np.array([0, 1, 0, 1])
    predictions = {
        0: (np.array(["c", "a"]), np.array([[3.0], [1.0]], np.float32)),
        1: (np.array(["b", "d"]), np.array([[2.0], [4.0]], np.float32)),
    }
    assert join_folds(ids, folds, predictions).ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [["a", "b"], ["a"], ["a", "c", "b"], ["a", "a"]])
def test_rows_of_another_fold_are_refused(wrong: list[str]) -> None:
    logits = np.zeros((len(wrong), 1), np.float32)
    with pytest.raises(UserError, match="not out-of-fold"):
        join_folds(np.array(["a", "c"]), np.array([0, 0]), {0: (np.array(wrong), logits)})


def test_folds_that_are_missing_or_of_another_test_part_are_refused() -> None:
    one = (np.array(["a"]), np.zeros((1, 1), np.float32))
    with pytest.raises(UserError, match="fold 1: has no predictions"):
        join_folds(np.array(["a", "b"]), np.array([0, 1]), {0: one})
    with pytest.raises(UserError, match="another test part"):
        merge_folds(np.array(["b"]), {0: one}, "mean_logit")


def test_the_ladder_climbs_from_one_model_to_all() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 3)).astype(np.int8)
    truth = 2.0 * labels - 1
    predictions = {
        member: [(truth + rng.normal(scale=2, size=(4, 200, 3))).astype(np.float32) for _ in "12"]
        for member in ("one", "two")
    }
    steps = ladder(labels, predictions, 1, "mean_logit", "mean_logit", "mean_logit", Decision(0.05))
    assert list(steps) == ["one model", "+ TTA", "+ folds", "+ members", "+ threshold"]
    models = [fold for each in predictions.values() for fold in each]
    wanted = np.mean([((fold[1] >= 0) == labels).mean() for fold in models])
    assert steps["one model"]["accuracy"] == pytest.approx(wanted)
    final = np.mean([np.mean(models[:2], 0).mean(0), np.mean(models[2:], 0).mean(0)], 0)
    assert steps["+ members"]["accuracy"] == pytest.approx(((final >= 0) == labels).mean())
    assert steps["+ threshold"]["accuracy"] == pytest.approx(((final >= 0.05) == labels).mean())
    values = [each["macro_ap"] for each in steps.values()]
    assert values == sorted(values)
