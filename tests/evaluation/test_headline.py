"""The headline's figures, their bootstrap draws and their differences."""

import numpy as np
import pytest
from hypothesis import given, settings

from foldwise.decision.calibrator import Calibrator
from foldwise.decision.decision import Decision
from foldwise.evaluation.average_precision import (
    average_precision,
    drawn_average_precision,
)
from foldwise.evaluation.headline import Drawn, headline, headline_rows, headline_values
from foldwise.evaluation.metrics import all_metrics, per_class
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.tables import (
    class_precision_recall_table,
    class_table,
)
from foldwise.scoring.bootstrap import draw
from tests.scored import Case, cases, part_of


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


def test_top_k_is_of_the_labels_that_are_given() -> None:
    """After calibration; what that makes equal is told apart by the logits, as by `Decision`."""
    labels = np.eye(3, dtype=np.int8)
    logits = np.array([[1, 2, 0], [1, 2, 0], [3, 2, 1]], np.float32)
    calibrated = np.array([[2, 1, 0], [1, 1, 1], [0, 1, 1]], np.float32)
    part = Part(np.array(["a", "b", "c"]), labels, logits, calibrated, labels)
    # The first by calibration, the second by the logits; the third is given the second class.
    assert headline_values(part, True)["top1"] == pytest.approx(2 / 3)
    every = all_metrics(part, True)
    assert every["top1"] == pytest.approx(2 / 3)
    assert every["top1_uncalibrated"] == pytest.approx(1 / 3)
    decision = Decision(Calibrator("platt", False, ((1, 0), (1, 9), (1, 0))), "top_k")
    (moved,) = part.predicted_by([logits], decision)
    assert headline_values(moved, True)["top1"] == pytest.approx(1 / 3)
    assert (moved.predicted.argmax(1) == 1).all()


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
