"""The charts of a report, as Vega-Lite that a page draws."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from foldwise.charts.classes import (
    draw_class_ap,
    draw_class_curve,
    draw_confusion,
    draw_tail_accuracy,
)
from foldwise.charts.scores import (
    draw_curves,
    draw_label_counts,
    draw_precision_recall,
    draw_reliability,
    draw_risk_coverage,
    draw_threshold,
)
from foldwise.charts.steps import draw_ladder, draw_views
from foldwise.charts.style import MOST_CLASSES, MOST_PICKED, PARTS, hardest, readable
from foldwise.evaluation.tables import MEAN

POINTS = 60
"""Of a class's curve."""
DIGITS = 5
CELL = 15
"""Width of a cell of a confusion matrix in pixels."""
MOST_NARROW = 26
"""Classes that a chart shows in half a row of the page."""
CURVES = (
    (("train_loss", "valid_loss"), "Loss", "loss"),
    (("valid_accuracy",), "Validation accuracy", "accuracy"),
    (("valid_macro_ap",), "Validation macro AP", "macro AP"),
)


@dataclass(frozen=True)
class Tables:
    """What the charts are drawn from, each as its draw function says."""

    ladder: pd.DataFrame
    base_ladder: pd.DataFrame
    """What `ladder` has above the base of another commit: one row, or none."""
    test_ladder: pd.DataFrame
    views: pd.DataFrame
    reliability: pd.DataFrame
    threshold: pd.DataFrame
    curves: pd.DataFrame
    precision_recall: pd.DataFrame
    risk_coverage: pd.DataFrame
    classes: pd.DataFrame
    class_precision_recall: pd.DataFrame
    tail_accuracy: pd.DataFrame
    confusion: pd.DataFrame
    labels_per_image: pd.DataFrame

    def ladders(self) -> dict[str, pd.DataFrame]:
        """By part, the test part first; of parts that have one."""
        oof = [each for each in (self.ladder, self.base_ladder) if len(each)]
        found = {"test": self.test_ladder, "oof": pd.concat(oof, ignore_index=True)}
        return {part: table for part, table in found.items() if len(table)}


@dataclass(frozen=True)
class Figure:
    """A chart; its title is the page's to write."""

    name: str
    title: str
    spec: dict[str, Any]
    least: int = 0
    """Width in pixels below which it is unreadable, and is scrolled instead."""
    wide: bool = False
    """Whether it takes a row of its own."""


def figures(tables: Tables, objective: str, part: str, single: bool) -> dict[str, list[Figure]]:
    """The charts of every section of a report; one that has nothing to show is left out.

    Args:
        tables: what they are drawn from.
        objective: what thresholds and views were chosen by.
        part: oof or test, whose classes and images are shown.
        single: whether every image has one label.
    """
    score, name = readable(objective), PARTS[part]
    picked = picked_classes(tables, part)
    curve = _rows_of(tables.class_precision_recall, part, picked)
    tails = _rows_of(tables.tail_accuracy, part, [*picked, MEAN])
    first = picked[0] if picked else ""
    counts = tables.labels_per_image.query("part == @part")
    classes = list(dict.fromkeys(tables.classes["class"]))
    rows = min(len(classes), MOST_CLASSES)
    confusion = tables.confusion[tables.confusion["part"] == part]
    cells = confusion["predicted"].nunique()
    found: dict[str, list[Figure]] = {
        "ladder": [
            figure(f"ladder_{each}", draw_ladder(table, score, PARTS[each]))
            for each, table in tables.ladders().items()
        ],
        "training": [
            figure(metrics[-1], draw_curves(tables.curves, list(metrics), title, unit))
            for metrics, title, unit in CURVES
        ],
        "decision": [
            figure("threshold", draw_threshold(tables.threshold, score)),
            figure("reliability", draw_reliability(tables.reliability)),
            figure("precision_recall", draw_precision_recall(tables.precision_recall)),
            figure("risk_coverage", draw_risk_coverage(tables.risk_coverage)),
        ],
        "picked": [],
        "classes": [figure("class_ap", draw_class_ap(tables.classes), wide=rows > MOST_NARROW)],
    }
    if len(counts) and not single:
        found["decision"].append(figure("labels", draw_label_counts(counts, name)))
    found["decision"].append(figure("views", draw_views(tables.views, score)))
    if len(curve):
        chart = draw_class_curve(_thinned(curve), first, name)
        found["picked"].append(figure("class_curve", chart))
    if len(tails):
        chart = draw_tail_accuracy(tails, first, name)
        found["picked"].append(figure("tail_accuracy", chart))
    if len(confusion):
        chart = draw_confusion(confusion, single, classes)
        least = cells * CELL + 160
        found["classes"].append(figure("confusion", chart, least, cells > MOST_NARROW))
    return found


def picked_classes(tables: Tables, part: str) -> list[str]:
    """Classes that can be looked at one by one, in the order of the table of classes.

    A class that no image of the part shows has no curve.
    """
    curves = tables.class_precision_recall
    known = set(curves.loc[curves["part"] == part, "class"])
    chosen = known & set(hardest(tables.classes, MOST_PICKED))
    return [each for each in dict.fromkeys(tables.classes["class"]) if each in chosen]


def figure(name: str, chart: Any, least: int = 0, wide: bool = False) -> Figure:
    """A chart as wide as the page lets it be, its numbers short."""
    spec = chart.properties(width="container").to_dict()
    del spec["config"]
    spec["datasets"] = {
        key: [{name: _short(value) for name, value in row.items()} for row in rows]
        for key, rows in spec["datasets"].items()
    }
    return Figure(name, spec.pop("title"), spec, least, wide)


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _rows_of(table: pd.DataFrame, part: str, classes: list[str]) -> pd.DataFrame:
    return table[(table["part"] == part) & table["class"].isin(classes)].drop(columns="part")


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most about `POINTS` rows per class, evenly spaced, with the first and the last."""
    place = table.groupby("class").cumcount()
    size = table.groupby("class")["class"].transform("size")
    step = (size // POINTS).clip(lower=1)
    return table[(place % step == 0) | (place == size - 1)]
