"""Tables and pictures of a run."""

import json
from io import StringIO
from pathlib import Path

import altair as alt
import matplotlib
import numpy as np
import pandas as pd
import PIL.Image
import pytest

from foldwise.charts.examples import draw_examples
from foldwise.charts.overview import draw_results
from foldwise.charts.save import FONT, save_chart
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.tables import POINTS, precision_recall_table, threshold_table
from foldwise.report.plots_page import plots_page
from foldwise.scoring.objective import Objective, score
from tests.conftest import ROOT

ACCURACY = Objective(name="accuracy")


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)).astype(np.float32)
    return logits, (logits + rng.normal(size=logits.shape) > 0.3).astype(np.int8)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_threshold_table_is_exact(scored: tuple[np.ndarray, np.ndarray], digits: int) -> None:
    logits, labels = scored
    logits = logits.round(digits)
    for chosen in (0.7, None):
        table = threshold_table(labels, logits, ACCURACY, chosen)
        assert table["probability"].is_monotonic_increasing
        assert len(table) == POINTS
        assert table["chosen"].sum() == (chosen is not None)
        for probability, reached, mark in table.itertuples(index=False):
            at = np.log(probability / (1 - probability))
            assert reached == pytest.approx(score(labels, logits >= at, ACCURACY), abs=1e-12)
            if mark and chosen:
                assert at == pytest.approx(chosen)


def test_precision_recall_runs_from_none_to_all(scored: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = scored
    part = Part(np.arange(300).astype(str), labels, logits, logits, labels)
    table = precision_recall_table({"oof": part, "test": part.of(slice(50))})
    for _, each in table.groupby("series"):
        assert each["recall"].iloc[0] == 0
        assert each["recall"].iloc[-1] == 1
        assert each["recall"].is_monotonic_increasing
        assert len(each) <= POINTS


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


@pytest.mark.slow
def test_the_page_of_plots_holds_the_installed_chart_library() -> None:
    """`python -m foldwise.report.plots_page > .dvc/plots/page.html` makes it anew."""
    page = (ROOT / ".dvc/plots/page.html").read_text(encoding="utf-8")
    assert page == plots_page()
    assert page.count("</script>") == 1
    for place in ("{refresh_tag}", "{plot_divs}"):
        assert page.count(place) == 1


@pytest.mark.parametrize("path", sorted((ROOT / ".dvc/plots").glob("*.json")), ids=lambda p: p.stem)
def test_templates_are_of_that_librarys_version(path: Path) -> None:
    schema = json.loads(path.read_text())["$schema"]
    assert schema == alt.SCHEMA_URL.replace(alt.SCHEMA_VERSION, alt.SCHEMA_VERSION.split(".")[0])


def test_a_picture_does_not_depend_on_the_systems_fonts(tmp_path: Path) -> None:
    chart = alt.Chart(pd.DataFrame({"x": [1]}), title="Title").mark_point().encode(x="x:Q")
    save_chart(chart, tmp_path / "a.png")
    svg = StringIO()
    chart.configure(font=FONT).save(svg, format="svg")
    assert f'font-family="{FONT}"' in svg.getvalue()
    assert (Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf").exists()
    with PIL.Image.open(tmp_path / "a.png") as image:
        assert image.width > 400
