"""Tables and pictures of a run."""

import numpy as np
import pandas as pd
import pytest

from stages.report.examples import draw_examples
from stages.report.results import draw_results
from stages.report.tables import POINTS, precision_recall_table, threshold_table
from stages.scoring.threshold import best_threshold, score_at, threshold_curve


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)).astype(np.float32)
    return logits, (logits + rng.normal(size=logits.shape) > 0.3).astype(np.int8)


def test_threshold_table_is_exact(scored: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = scored
    chosen = best_threshold(threshold_curve(logits, labels, "accuracy"))
    table = threshold_table(logits, labels, "accuracy", chosen)
    assert table["probability"].is_monotonic_increasing
    assert len(table) == POINTS
    for probability, score, mark in table.itertuples(index=False):
        at = np.log(probability / (1 - probability))
        near = score_at(logits, labels, at, "accuracy")
        assert score == pytest.approx(near, abs=1.01 / labels.size)
        if mark:
            assert score == threshold_curve(logits, labels, "accuracy").scores.max()
    assert table["chosen"].sum() == 1


def test_precision_recall_runs_from_none_to_all(scored: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = scored
    table = precision_recall_table({"oof": (labels, logits), "test": (labels[:50], logits[:50])})
    for _, part in table.groupby("series"):
        assert part["recall"].iloc[0] == 0
        assert part["recall"].iloc[-1] == 1
        assert part["recall"].is_monotonic_increasing
        assert len(part) <= POINTS


def test_examples_show_every_image_large_or_small() -> None:
    rng = np.random.default_rng(0)
    images = [
        rng.integers(1, 255, shape, np.uint8) for shape in [(24, 24, 1), (300, 500, 3), (90, 40, 3)]
    ]
    labels = np.array([[1, 0, -1]] * 3, np.int8)
    predicted = np.array([[0, 1, 1]] * 3, np.int8)
    sheet = draw_examples(images, labels, predicted, ["cat", "dog", "a very long name" * 3])
    pixels = np.asarray(sheet)
    assert pixels.shape[2] == 3
    assert (pixels != 255).any(2).mean() > 0.1


def test_results_draw_with_and_without_test_labels() -> None:
    threshold = pd.DataFrame({"probability": [0.2, 0.5], "score": [0.5, 0.9], "chosen": [0, 1]})
    classes = pd.DataFrame({"class": ["a", "b"], "part": "oof", "ap": [0.5, 0.7]})
    ladder = {"one model": {"accuracy": 0.5}, "+ TTA": {"accuracy": 0.6}}
    assert len(draw_results(ladder, threshold, classes, "accuracy").hconcat) == 3
    assert len(draw_results({}, threshold, classes, "accuracy").hconcat) == 2
