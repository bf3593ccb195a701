"""Charts with a row, a line or a cell per class."""

from typing import Any

import altair as alt
import pandas as pd

from foldwise.charts.scores import HEIGHT, UNIT
from foldwise.charts.style import MOST_CLASSES, PARTS, hardest, some_of
from foldwise.evaluation.tables import MEAN

LABEL = 100
"""Pixels of a class's name, which on a phone must leave room for the chart."""
PICKED = "picked"
"""Name of the parameter of a chart that holds the class it shows."""


def draw_class_ap(classes: pd.DataFrame) -> Any:
    """Every class's average precision with its 95 % interval, the best on top.

    Args:
        classes: `class`, `part`, `ap`, `ap_low`, `ap_high`; values may be missing.
    """
    total = classes["class"].nunique()
    names = hardest(classes, MOST_CLASSES)
    table = classes[classes["class"].isin(names)].replace({"part": PARTS})
    left_out = some_of(len(names), total, "those with the lowest")
    parts = [each for each in PARTS.values() if (table["part"] == each).any()]
    axis: dict[str, Any] = {
        "title": "average precision",
        "scale": alt.Scale(zero=False),
    }
    colour = alt.Color("part:N", title=None, scale=alt.Scale(domain=parts))
    base = alt.Chart(table).encode(
        alt.Y("class:N", sort=names[::-1], title=None, axis=alt.Axis(labelLimit=LABEL)),
        alt.YOffset("part:N", sort=parts),
        colour,
    )
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(alt.X("ap_low:Q", **axis), x2="ap_high:Q"),
        base.mark_point(filled=True, size=44, opacity=1).encode(
            alt.X("ap:Q", **axis),
            alt.Shape("part:N", title=None, scale=alt.Scale(domain=parts)),
            tooltip=[
                "class:N",
                "part:N",
                *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("ap", "ap_low", "ap_high")],
            ],
        ),
    ).properties(
        height=max(120, (10 + 8 * len(parts)) * len(names)),
        title=f"Average precision per class, with 95 % intervals{left_out}",
    )


def draw_class_curve(table: pd.DataFrame, first: str, part: str) -> Any:
    """Precision over recall of one class, which the reader picks.

    Args:
        table: `class`, `recall`, `precision`; one part's.
        first: the class that is shown before anything is picked.
        part: its name.
    """
    picked = alt.param(name=PICKED, value=first)
    return (
        alt.Chart(table, title=f"Precision over recall of the class, {part}")
        .mark_line()
        .encode(
            alt.X("recall:Q", scale=UNIT),
            alt.Y("precision:Q", scale=UNIT),
            alt.Order("recall:Q"),
            tooltip=[alt.Tooltip(f"{name}:Q", format=".3f") for name in ("recall", "precision")],
        )
        .transform_filter(alt.datum["class"] == picked)
        .add_params(picked)
        .properties(height=HEIGHT)
    )


def draw_tail_accuracy(table: pd.DataFrame, first: str, part: str) -> Any:
    """Accuracy among the images that score above a threshold, of one class and their mean.

    Args:
        table: `class` (or `MEAN`), `threshold`, `tail_accuracy`; one part's.
        first: the class that is shown before anything is picked.
        part: its name.
    """
    picked = alt.param(name=PICKED, value=first)
    named = table.assign(line=table["class"].where(table["class"] == MEAN, "the class"))
    lines = ["the class", MEAN]
    dashes = alt.Scale(domain=lines, range=[[1, 0], [6, 3]])
    return (
        alt.Chart(named, title=f"Tail accuracy, {part}")
        .mark_line()
        .encode(
            alt.X("threshold:Q", title="probability above which images count",
                  scale=alt.Scale(zero=False, nice=False)),
            alt.Y("tail_accuracy:Q", title="accuracy of those images", scale=UNIT),
            alt.Color("line:N", title=None, scale=alt.Scale(domain=lines)),
            alt.StrokeDash("line:N", title=None, scale=dashes),
            tooltip=[
                "line:N",
                alt.Tooltip("threshold:Q", format=".3f"),
                alt.Tooltip("tail_accuracy:Q", format=".4f"),
            ],
        )
        .transform_filter((alt.datum["class"] == picked) | (alt.datum["class"] == MEAN))
        .add_params(picked)
        .properties(height=HEIGHT)
    )  # fmt: skip


def draw_confusion(table: pd.DataFrame, single: bool, classes: list[str]) -> Any:
    """What is taken for what, a cell per pair of classes that some image shows.

    Args:
        table: `actual`, `predicted`, `images`, `share`.
        single: whether every image has one label.
        classes: all, in order; the table may hold some of them.
    """
    held = {*table["actual"], *table["predicted"]}
    names = [each for each in classes if each in held]
    title = "Confusion" if single else "Errors that come together"
    left_out = some_of(len(names), len(classes), "those with the most errors")
    words = ("actual", "predicted") if single else ("missed", "wrongly added")
    upright = len(names) > 10 or max(map(len, names)) > 3
    size = max(HEIGHT, 16 * len(names))
    return (
        alt.Chart(table, title=f"{title}{left_out}")
        .mark_rect()
        .encode(
            alt.X(
                "predicted:N",
                scale=alt.Scale(domain=names),
                title=f"{words[1]} class",
                axis=alt.Axis(labelAngle=-90 if upright else 0, labelLimit=LABEL),
            ),
            alt.Y(
                "actual:N",
                scale=alt.Scale(domain=names),
                title=f"{words[0]} class",
                axis=alt.Axis(labelLimit=LABEL),
            ),
            alt.Color(
                "share:Q",
                title="share of images" if single else "share of images that miss it",
                scale=alt.Scale(domainMin=0),
                legend=alt.Legend(format="%", gradientLength=160, titleLimit=240),
            ),
            tooltip=[
                alt.Tooltip("actual:N", title=words[0]),
                alt.Tooltip("predicted:N", title=words[1]),
                "images:Q",
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
        .properties(height=size)
    )
