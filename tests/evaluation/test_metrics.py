"""Metrics against scikit-learn where it has them, and against slow definitions where not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from foldwise.evaluation.average_precision import (
    Convention,
    Difficult,
    average_precision,
)
from foldwise.evaluation.headline import headline_values
from foldwise.evaluation.metrics import label_metrics, per_class
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.ranking import ranking_metrics, roc_auc, top_k
from foldwise.evaluation.tail_accuracy import last_tail_accuracy, tail_accuracy, tail_curve
from foldwise.scoring.probability import sigmoid
from tests.scored import Case, cases, part_of


@given(cases())
@settings(max_examples=50, deadline=None)
def test_every_class_is_measured_as_scikit_learn_does(case: Case) -> None:
    labels, logits = case
    predicted = (logits >= 0.1).astype(np.int8)
    table = per_class(labels, logits, predicted)
    for index in range(labels.shape[1]):
        used = labels[:, index] >= 0
        truth, guess, scores = labels[used, index], predicted[used, index], logits[used, index]
        row = table.iloc[index]
        if truth.any():
            assert row["ap"] == pytest.approx(reference.average_precision_score(truth, scores))
        else:
            assert np.isnan(row["ap"])
        if 0 < truth.sum() < len(truth):
            assert row["roc_auc"] == pytest.approx(reference.roc_auc_score(truth, scores))
        else:
            assert np.isnan(row["roc_auc"])
        if used.any():
            for name in ("f1", "precision", "recall"):
                score = getattr(reference, f"{name}_score")(truth, guess, zero_division=0.0)
                assert row[name] == pytest.approx(score)
            assert row["prevalence"] == pytest.approx(truth.mean())
        assert row["images"] == truth.sum()


@given(cases())
@settings(max_examples=30, deadline=None)
def test_predicted_labels_are_measured_as_scikit_learn_does(case: Case) -> None:
    labels = np.abs(case[0])
    predicted = (case[1] >= 0.1).astype(np.int8)
    found = label_metrics(labels, predicted)
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(labels, predicted))
    assert found["exact_match"] == pytest.approx((labels == predicted).all(1).mean())
    for name in ("precision", "recall", "f1", "jaccard"):
        for ours, theirs in (("micro", "micro"), ("macro", "macro"), ("sample", "samples")):
            # With one column scikit-learn takes the labels for binary ones.
            pairs = [np.pad(each, ((0, 0), (0, 1))) for each in (labels, predicted)]
            score = getattr(reference, f"{name}_score")
            wanted = score(*pairs, average=theirs, zero_division=0.0)
            if theirs == "macro":
                wanted *= pairs[0].shape[1] / labels.shape[1]
            assert found[f"{ours}_{name}"] == pytest.approx(wanted), (ours, name)
    cp, cr = found["macro_precision"], found["macro_recall"]
    assert found["cf1"] == pytest.approx(2 * cp * cr / (cp + cr) if cp + cr else 0.0)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_ignored_labels_change_no_figure(case: Case) -> None:
    """Whatever is predicted for them, and wherever their scores lie."""
    part = part_of(case)
    flipped = np.where(part.labels < 0, 1 - part.predicted, part.predicted)
    moved = np.where(part.labels < 0, 3 - part.logits, part.logits)
    other = Part(part.ids, part.labels, moved, moved, flipped)
    assert label_metrics(part.labels, part.predicted) == label_metrics(other.labels, flipped)
    assert ranking_metrics(part.labels, part.logits) == ranking_metrics(part.labels, moved)
    assert headline_values(part, False) == headline_values(other, False)
    # Nor do images of which nothing is known.
    more = [np.concatenate([each, np.full_like(each, fill)]) for each, fill in
            ((part.labels, -1), (part.logits, 1))]  # fmt: skip
    assert ranking_metrics(*more) == pytest.approx(ranking_metrics(part.labels, part.logits))
    for each in (average_precision, roc_auc):
        assert np.array_equal(each(part.labels, part.logits), each(part.labels, moved), True)


@given(cases())
@settings(max_examples=50, deadline=None)
def test_ranking_is_scikit_learns(case: Case) -> None:
    logits, labels = np.pad(case[1], ((0, 0), (0, 1))), np.pad(np.abs(case[0]), ((0, 0), (0, 1)))
    found = ranking_metrics(labels, logits)
    assert found["coverage"] == pytest.approx(reference.coverage_error(labels, logits))
    assert found["ranking_loss"] == pytest.approx(reference.label_ranking_loss(labels, logits))
    wanted = reference.label_ranking_average_precision_score(labels, logits)
    assert found["lrap"] == pytest.approx(wanted)


@given(cases(classes=5), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_top_k_is_scikit_learns(case: Case, k: int) -> None:
    logits = np.pad(case[1], ((0, 0), (0, 5)), constant_values=-9)
    # Without ties, which scikit-learn breaks the other way round.
    logits = logits + np.linspace(0, 1e-3, logits.shape[1])
    truth = np.abs(case[0]).argmax(1)
    labels = np.eye(logits.shape[1], dtype=np.int8)[truth]
    wanted = reference.top_k_accuracy_score(truth, logits, k=k, labels=np.arange(logits.shape[1]))
    assert top_k(labels, logits, k).mean() == pytest.approx(wanted)
    assert np.array_equal(top_k(labels, np.round(logits), 1), np.round(logits).argmax(1) == truth)


def slow_interpolated(truth: np.ndarray, scores: np.ndarray, eleven: bool) -> float:
    """The devkit's rules, by thresholds."""
    points = []
    for threshold in np.unique(scores):
        chosen = scores >= threshold
        points.append((truth[chosen].sum(), truth[chosen].mean()))
    total = truth.sum()

    def best(hits: float) -> float:
        return max((p for found, p in points if found >= hits), default=0.0)

    if eleven:
        return float(np.mean([best(total * k / 10 - 1e-9) for k in range(11)]))
    return float(np.mean([best(hits) for hits in range(1, total + 1)]))


@given(cases(images=12, classes=2))
@settings(max_examples=80, deadline=None)
def test_interpolated_average_precision_follows_the_devkits(case: Case) -> None:
    labels, logits = case
    for counted in (False, True):
        difficult: Difficult = "count" if counted else "ignore"
        hows: tuple[Convention, ...] = ("all_point", "11_point")
        found = {how: average_precision(labels, logits, how, difficult) for how in hows}
        for index in range(labels.shape[1]):
            used = (labels[:, index] >= 0) | counted
            truth, scores = labels[used, index] != 0, logits[used, index]
            for how, each in found.items():
                if truth.any():
                    wanted = slow_interpolated(truth, scores, how == "11_point")
                    assert each[index] == pytest.approx(wanted), how
                else:
                    assert np.isnan(each[index])


@given(cases())
@settings(max_examples=100, deadline=None)
def test_tail_accuracy_by_its_definition(case: Case) -> None:
    labels, scores = case[0], sigmoid(case[1])
    thresholds, accuracies, (common, mean) = tail_curve(labels, scores)
    assert len(thresholds) == len(common) == 20
    assert (thresholds[0] == 0.5).all()

    def slow(index: int, threshold: float) -> float:
        pairs = [(x > 0.5, y) for x, y in zip(scores[:, index], labels[:, index], strict=True)
                 if x > threshold and y >= 0]  # fmt: skip
        return sum(guess == truth for guess, truth in pairs) / len(pairs) if pairs else np.nan

    for index in range(labels.shape[1]):
        wanted = [slow(index, at) for at in thresholds[:, index]]
        assert np.allclose(accuracies[:, index], wanted, equal_nan=True)
        known = scores[labels[:, index] >= 0, index]
        if len(known) and known.max() > 0.5:
            assert not np.isnan(accuracies[:, index]).any()
    for at, each in zip(common, mean, strict=True):
        found = np.array([slow(index, at) for index in range(labels.shape[1])])
        known = found[~np.isnan(found)]
        assert each == pytest.approx(known.mean() if len(known) else np.nan, nan_ok=True)


def test_the_last_tail_accuracy_takes_its_threshold_from_the_first_class() -> None:
    scores = np.array([[0.8, 0.77], [0.78, 0.9], [0.1, 0.99]])
    labels = np.array([[1, 0], [0, 1], [0, 1]], np.int8)
    # 0.76: one of two is right, then two of three.
    assert last_tail_accuracy(labels, scores) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert last_tail_accuracy(labels[:, :1] * 0 - 1, scores[:, :1]) is None
    at, beyond = tail_accuracy(labels, scores, np.array([[0.76, 0.95]]))
    assert beyond.tolist() == [[2, 1]]
    assert at.tolist() == [[0.5, 1.0]]
