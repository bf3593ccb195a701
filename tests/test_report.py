"""Tables and pictures of a run."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from stages.report.examples import draw_examples
from stages.report.results import draw_results
from stages.report.tables import POINTS, precision_recall_table, threshold_table
from stages.scoring.objectives import score
from stages.scoring.threshold import threshold_curve
from stages.settings.objective import Objective

ACCURACY = Objective(name="accuracy")


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)).astype(np.float32)
    return logits, (logits + rng.normal(size=logits.shape) > 0.3).astype(np.int8)


def test_threshold_table_is_exact(scored: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = scored
    curve = threshold_curve(logits, labels, ACCURACY)
    for chosen in (0.7, None):
        table = threshold_table(logits, labels, ACCURACY, chosen)
        assert table["probability"].is_monotonic_increasing
        assert len(table) == POINTS
        assert table["chosen"].sum() == 1
        for probability, reached, mark in table.itertuples(index=False):
            at = np.log(probability / (1 - probability))
            near = score(labels, logits >= at, ACCURACY)
            assert reached == pytest.approx(near, abs=1.01 / labels.size)
            if mark and chosen is None:
                assert reached == curve.scores.max()
            if mark and chosen:
                assert at == pytest.approx(chosen)


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


@pytest.mark.parametrize("parts", [["out-of-fold", "test"], ["out-of-fold"]])
@pytest.mark.parametrize("members", [1, 2])
def test_results_draw(parts: list[str], members: int) -> None:
    steps = [
        {
            "part": part,
            "step": step,
            "score": at,
            "low": at - 0.1,
            "high": at + 0.1,
            "verdict": said,
        }
        for part in parts
        for step, at, said in (("single fold", 0.5, None), ("+ TTA", 0.6, "helps"))
    ]
    views = [
        {"member": f"m{index}", "view": view, "used": used, "gain": 0.1}
        | {"gain_low": 0.0, "gain_high": 0.2}
        for index in range(members)
        for view, used in (("identity", True), ("hflip", False), ("all", None))
    ]
    reliability = pd.DataFrame({"probability": [0.2], "frequency": [0.3], "calibration": "before"})
    threshold = pd.DataFrame({"probability": [0.2, 0.5], "score": [0.5, 0.9], "chosen": [0, 1]})
    classes = pd.DataFrame({"class": ["a", "b"], "part": "oof", "ap": [0.5, 0.7]})
    classes = classes.assign(ap_low=0.4, ap_high=0.8)
    drawn = draw_results(
        pd.DataFrame(steps), pd.DataFrame(views), reliability, threshold, classes, "accuracy"
    )
    svg = StringIO()
    drawn.save(svg, format="svg")
    text = svg.getvalue()
    said = ["+ TTA", "helps", "hflip", "left out", "Reliability", "accuracy", "0.500"]
    for each in [*said, *parts, *["m1 hflip"] * (members - 1)]:
        assert each in text, each
