"""Charts of a run as a whole: learning, threshold, calibration, precision over recall."""

from typing import Any

import altair as alt
import pandas as pd

from foldwise.charts.style import MOST_BARS, PARTS

HEIGHT = 240
UNIT = alt.Scale(domain=[0, 1])


def draw_curves(curves: pd.DataFrame, metrics: list[str], title: str, unit: str) -> Any:
    """Every fold's learning curves, training dashed and validation solid.

    Args:
        curves: `epoch`, `series` (a member and its fold) and a column per metric.
        metrics: the columns to draw, as in `train_loss`, `valid_loss`.
        title: of the chart.
        unit: title of its y axis.
    """
    table = curves.melt(["epoch", "series"], metrics, "metric", unit)
    table["kind"] = table["metric"].str.partition("_")[0].map({"train": "training"})
    table["kind"] = table["kind"].fillna("validation")
    members = table["series"].str.rpartition(" fold ")[0]
    # More folds than colours are told apart by their member alone, and by the tooltip.
    table["line"] = members if members.nunique() > 1 else table["series"]
    kinds = ["validation", "training"] if len(metrics) > 1 else ["validation"]
    return (
        alt.Chart(table, title=title)
        .mark_line(point=curves["epoch"].nunique() == 1)
        .encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
            alt.Y(f"{unit}:Q", title=unit, scale=alt.Scale(zero=False)),
            alt.Color("line:N", title=None, sort=None),
            alt.StrokeDash(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=kinds, range=[[1, 0], [4, 3]][: len(kinds)]),
                legend=alt.Legend(symbolType="stroke") if len(kinds) > 1 else None,
            ),
            alt.Detail("series:N"),
            tooltip=["series:N", "kind:N", "epoch:Q", alt.Tooltip(f"{unit}:Q", format=".4f")],
        )
        .properties(height=HEIGHT)
    )


def draw_threshold(threshold: pd.DataFrame, objective: str) -> Any:
    """Score over threshold, the one in use marked: `probability`, `score`, `chosen` (0 or 1)."""
    line = alt.Chart(threshold).encode(
        alt.X("probability:Q", title="probability threshold", scale=UNIT),
        alt.Y("score:Q", title=objective, scale=alt.Scale(zero=False, padding=16)),
        tooltip=[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("probability", "score")],
    )
    layers = [line.mark_line()]
    # An empty layer would make Vega complain.
    if threshold["chosen"].any():
        chosen = line.transform_filter(alt.datum.chosen == 1)
        layers += [
            chosen.mark_point(size=90, filled=True, style="chosen"),
            chosen.mark_text(dy=-12, fontWeight="bold").encode(
                text=alt.Text("probability:Q", format=".3f")
            ),
        ]
    return alt.layer(*layers).properties(
        height=HEIGHT, title="Score over the threshold, out-of-fold"
    )


def draw_reliability(reliability: pd.DataFrame) -> Any:
    """How often what is predicted with a probability is there.

    Args:
        reliability: `probability`, `frequency` and `calibration` (before or after) of every bin.
    """
    sides = [each for each in ("before", "after") if (reliability["calibration"] == each).any()]
    diagonal = pd.DataFrame({"probability": [0.0, 1.0], "frequency": [0.0, 1.0]})
    axes = (
        alt.X("probability:Q", title="mean probability of a bin", scale=UNIT),
        alt.Y("frequency:Q", title="share that is there", scale=UNIT),
    )
    named: dict[str, Any] = {"title": "calibration", "scale": alt.Scale(domain=sides)}
    return alt.layer(
        alt.Chart(diagonal).mark_line(style="reference").encode(*axes),
        alt.Chart(reliability).mark_line().encode(*axes, alt.Color("calibration:N", **named)),
        alt.Chart(reliability)
        .mark_point(filled=True, size=44)
        .encode(
            *axes,
            alt.Color("calibration:N", **named),
            alt.Shape("calibration:N", **named),
            tooltip=[
                "calibration:N",
                alt.Tooltip("probability:Q", format=".3f"),
                alt.Tooltip("frequency:Q", format=".3f"),
            ],
        ),
    ).properties(height=HEIGHT, title="Reliability, out-of-fold, cross-fitted")


def draw_precision_recall(table: pd.DataFrame) -> Any:
    """Precision over recall, all classes pooled: `recall`, `precision`, `series` (the part)."""
    return _line_of_each_part(
        table,
        "Precision over recall, all classes pooled",
        alt.X("recall:Q", scale=UNIT),
        alt.Y("precision:Q", scale=UNIT),
        ".3f",
    )


def draw_risk_coverage(table: pd.DataFrame) -> Any:
    """What is wrong of the surest images: `coverage`, `risk`, `series` (the part)."""
    share = alt.Axis(format="%")
    return _line_of_each_part(
        table,
        "Wrong labels, if only the surest are decided",
        alt.X(
            "coverage:Q",
            title="share of images that is decided, surest first",
            axis=share,
            scale=UNIT,
        ),
        alt.Y("risk:Q", title="share of labels that is wrong", axis=share),
        ".1%",
    )


def _line_of_each_part(table: pd.DataFrame, title: str, x: alt.X, y: alt.Y, digits: str) -> Any:
    """A line of each part's, in the order of x; `series` is the part."""
    names = list(PARTS.values())
    tooltips = [str(each.shorthand) for each in (x, y)]
    return (
        alt.Chart(table.replace({"series": PARTS}), title=title)
        .mark_line()
        .encode(
            x,
            y,
            alt.Color("series:N", title=None, scale=alt.Scale(domain=names)),
            alt.StrokeDash(
                "series:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]])
            ),
            alt.Order(str(x.shorthand)),
            tooltip=[alt.Tooltip(name, format=digits) for name in tooltips],
        )
        .properties(height=HEIGHT)
    )


def draw_label_counts(table: pd.DataFrame, part: str) -> Any:
    """How many labels images have and are given.

    Args:
        table: `kind` (true or predicted), `labels`, `images`, `share`; one part's.
        part: its name.
    """
    used = table[table["share"] > 0]
    numbers = sorted(used["labels"].unique())[:MOST_BARS]
    title = f"Labels per image, {part}"
    if len(numbers) < used["labels"].nunique():
        title += f": up to {numbers[-1]}"
    kinds: dict[str, Any] = {"title": None, "sort": ["true", "predicted"]}
    return (
        alt.Chart(used[used["labels"].isin(numbers)], title=title)
        .mark_bar()
        .encode(
            alt.X("labels:O", title="labels of an image", axis=alt.Axis(labelAngle=0)),
            alt.XOffset("kind:N", sort=["true", "predicted"]),
            alt.Y("share:Q", title="share of images", axis=alt.Axis(format="%", tickCount=5)),
            alt.Color("kind:N", scale=alt.Scale(domain=["true", "predicted"]), **kinds),
            tooltip=["kind:N", "labels:O", "images:Q", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=HEIGHT)
    )
