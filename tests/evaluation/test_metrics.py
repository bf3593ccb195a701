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
    drawn_average_precision,
)
from foldwise.evaluation.headline import Drawn, headline, headline_rows, headline_values
from foldwise.evaluation.metrics import all_metrics, label_metrics, per_class
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.ranking import ranking_metrics, roc_auc, top_k
from foldwise.evaluation.tables import (
    MEAN,
    MOST_CLASSES,
    class_precision_recall_table,
    class_table,
    confusion_table,
    label_counts_table,
    shown_classes,
    tail_table,
)
from foldwise.evaluation.tail_accuracy import last_tail_accuracy, tail_accuracy, tail_curve
from foldwise.scoring.bootstrap import draw
from foldwise.scoring.probability import sigmoid
from tests.scored import cases

Case = tuple[np.ndarray, np.ndarray]


def part_of(case: Case, threshold: float = 0.1) -> Part:
    labels, logits = case
    ids = np.arange(len(labels)).astype(str)
    return Part(ids, labels, logits, logits, (logits >= threshold).astype(np.int8))


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


@given(cases(images=20, classes=3))
@settings(max_examples=25, deadline=None)
def test_draws_are_those_of_drawn_images(case: Case) -> None:
    labels, logits = case
    found = drawn_average_precision(labels, logits, 5)
    part = part_of(case)
    whole = headline(part, False, 5)
    weights = next(draw(len(labels), 5))
    for index, times in enumerate(weights):
        rows = np.repeat(np.arange(len(labels)), times)
        ap = average_precision(labels[rows], logits[rows])
        assert found[index] == pytest.approx(ap, nan_ok=True)
        values = headline_values(part.of(rows), False)
        for name, each in whole.metrics.items():
            value = values[name]
            wanted = np.nan if value is None else value
            assert each.draws[index] == pytest.approx(wanted, nan_ok=True), name
        f1 = per_class(labels[rows], logits[rows], part.predicted[rows])["f1"]
        assert whole.classes["f1"].draws[index] == pytest.approx(f1.to_numpy())


def test_the_headline_is_what_the_full_list_says() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(90, 5)).astype(np.float32)
    labels = np.eye(5, dtype=np.int8)[(logits + rng.normal(size=logits.shape)).argmax(1)]
    part = part_of((labels, logits))
    every = all_metrics(part, True)
    values = headline_values(part, True)
    assert values == pytest.approx({name: every[name] for name in values})
    assert next(iter(values)) == "top1"
    assert {"top3", "macro_ap_11_point", "tail_accuracy", "ece", "lrap"} <= set(every)
    assert not {"top5", "macro_ap_difficult"} & set(every)
    some = np.where((labels == 0) & (np.arange(90) < 9)[:, None], -1, labels)
    ignored = all_metrics(part_of((some, logits)), False)
    assert ignored["macro_ap_difficult"] < ignored["macro_ap"]
    folds = [headline_values(part.of(slice(start, None, 2)), True) for start in (0, 1)]
    for row in headline_rows(headline(part, True), folds):
        each = [fold[row["metric"]] or 0.0 for fold in folds]
        assert row["value"] == pytest.approx(every[row["metric"]])
        assert row["low"] <= row["value"] <= row["high"]
        assert row["fold_mean"] == pytest.approx(np.mean(each))
        assert row["fold_std"] == pytest.approx(np.std(each, ddof=1))


def test_without_any_positive_label_there_is_no_average_precision() -> None:
    zeros = np.zeros((3, 2), np.int8)
    part = Part(np.array(["a", "b", "c"]), zeros, zeros + 0.0, zeros + 0.0, zeros)
    found = headline_values(part, False)
    assert found["macro_ap"] is None
    assert (found["accuracy"], found["micro_f1"]) == (1.0, 0.0)
    rows = {row["metric"]: row for row in headline_rows(headline(part, False), [found])}
    assert rows["macro_ap"]["value"] is rows["macro_ap"]["low"] is None
    assert rows["accuracy"]["fold_std"] is None
    table = class_table(part, headline(part, False).classes["ap"], ["x", "y"])
    assert table[["ap", "ap_low", "ap_high"]].isna().all().all()
    assert class_precision_recall_table(part, ["x", "y"], [0, 1]).empty


def test_differences_are_paired() -> None:
    one, other = (
        Drawn(np.array(v), np.array(d)) for v, d in ((0.5, [0.4, 0.6]), (0.3, [0.2, 0.4]))
    )
    gain = (one - other).interval()
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.2, 0.2, 0.2))
    assert gain.verdict == "helps"


@pytest.fixture
def part() -> Part:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)).astype(np.float32)
    labels = (logits + rng.normal(size=logits.shape) > 0.3).astype(np.int8)
    labels[:20, 1] = -1
    return part_of((labels, logits))


CLASSES = ["a", "b", "c", "d"]


def test_tables_of_classes(part: Part) -> None:
    ap = headline(part, False).classes["ap"]
    table = class_table(part, ap, CLASSES)
    assert table["class"].tolist() == CLASSES
    assert (table["ap_low"] < table["ap"]).all()
    assert (table["ap"] < table["ap_high"]).all()
    curves = class_precision_recall_table(part, CLASSES, [1, 3])
    assert list(curves["class"].unique()) == ["b", "d"]
    for _, each in curves.groupby("class"):
        assert each["recall"].is_monotonic_increasing
        assert each["recall"].iloc[-1] == 1
        assert len(each) <= 40
    tails = tail_table(part, CLASSES, [2])
    assert list(tails["class"].unique()) == [MEAN, "c"]
    assert (tails["threshold"] >= 0.5).all()
    counts = label_counts_table(part)
    shares = counts.groupby("kind")["share"].sum()
    assert shares.to_dict() == pytest.approx({"true": 1.0, "predicted": 1.0})
    own = counts[counts["kind"] == "true"].set_index("labels")["images"]
    assert own[2] == ((part.labels == 1).sum(1) == 2).sum()
    row = part.predicted.astype(int)
    row[part.labels < 0] = 0
    own = counts[counts["kind"] == "predicted"].set_index("labels")["images"]
    assert own[1] == (row.sum(1) == 1).sum()


def test_confusion_counts_errors_that_go_together(part: Part) -> None:
    table = confusion_table(part, CLASSES, single=False).set_index(["actual", "predicted"])
    missed, added = (
        (part.labels == 1) & (part.predicted == 0),
        (part.labels == 0) & (part.predicted == 1),
    )
    for i, actual in enumerate(CLASSES):
        for j, predicted in enumerate(CLASSES):
            wanted = (missed[:, i] & added[:, j]).sum()
            if wanted:
                assert table["images"][(actual, predicted)] == wanted
                share = table["share"][(actual, predicted)]
                assert share == pytest.approx(wanted / missed[:, i].sum())
            else:
                assert (actual, predicted) not in table.index


def test_confusion_of_single_labels_is_scikit_learns(part: Part) -> None:
    truth, guess = part.labels.argmax(1), part.logits.argmax(1)
    eye = np.eye(4, dtype=np.int8)
    table = confusion_table(
        Part(part.ids, eye[truth], part.logits, part.logits, eye[guess]), CLASSES, single=True
    )
    found = table.pivot_table(index="actual", columns="predicted", values="images").fillna(0)
    assert np.array_equal(found.to_numpy(), reference.confusion_matrix(truth, guess))
    assert table.groupby("actual")["share"].sum().to_numpy() == pytest.approx(1.0)


def test_of_many_classes_those_that_need_it_are_shown() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, MOST_CLASSES + 20)).astype(np.float32)
    labels = logits + rng.normal(size=logits.shape) * np.linspace(0, 3, logits.shape[1]) > 1
    many = part_of((labels.astype(np.int8), logits))
    shown = shown_classes(many.labels, many.logits)
    ap = average_precision(many.labels, many.logits)
    assert shown == sorted(shown)
    assert len(shown) == MOST_CLASSES
    assert max(ap[shown]) <= min(np.delete(ap, shown))
    names = [str(i) for i in range(logits.shape[1])]
    table = confusion_table(many, names, False)
    assert table["actual"].nunique() <= MOST_CLASSES
    assert table["images"].min() > 0
