"""Risk over coverage, against going through the images one by one."""

import numpy as np
import pytest

from foldwise.evaluation.predictions import Part
from foldwise.evaluation.selective import risk_coverage_table
from foldwise.scoring.probability import sigmoid


def part_of(labels: np.ndarray, logits: np.ndarray, predicted: np.ndarray) -> Part:
    return Part(np.arange(len(labels)).astype(str), labels, logits, logits, predicted)


def test_several_labels() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (40, 3)).astype(np.int8)
    labels[7] = -1
    logits = rng.normal(0, 2, labels.shape).astype(np.float32)
    predicted = (logits > 0).astype(np.int8)
    table = risk_coverage_table({"oof": part_of(labels, logits, predicted)}, single=False)
    rows = []
    for truth, own, said in zip(labels, sigmoid(logits), predicted, strict=True):
        known = [index for index in range(3) if truth[index] >= 0]
        if known:
            expected = np.mean([min(own[index], 1 - own[index]) for index in known])
            rows.append((expected, np.mean([said[index] != truth[index] for index in known])))
    rows.sort()
    wrong = np.array([each for _, each in rows])
    count = len(rows)
    assert table["coverage"].to_numpy() == pytest.approx(np.arange(1, count + 1) / count)
    assert table["risk"].to_numpy() == pytest.approx(wrong.cumsum() / np.arange(1, count + 1))
    assert set(table["series"]) == {"oof"}
    # Order decides nothing.
    order = rng.permutation(40)
    again = part_of(labels[order], logits[order], predicted[order])
    assert risk_coverage_table({"oof": again}, single=False)["risk"].to_numpy() == pytest.approx(
        table["risk"].to_numpy()
    )


def test_one_label_is_right_or_wrong_as_a_whole() -> None:
    logits = np.array([[3, -3], [1, -1], [-2, 2], [1, -1]], np.float32)
    labels = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.int8)
    predicted = (logits > 0).astype(np.int8)
    table = risk_coverage_table({"test": part_of(labels, logits, predicted)}, single=True)
    # The two of equal logits are decided together: one of them is wrong.
    assert table[["coverage", "risk"]].to_numpy().tolist() == [[0.25, 0], [0.5, 0], [1, 0.25]]
