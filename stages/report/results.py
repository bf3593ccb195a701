"""A picture of a run's results."""

from typing import Any

import altair as alt
import pandas as pd

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, GREEN, ORANGE, GREY = "#0072B2", "#009E73", "#D55E00", "#777777"
SIZE = {"width": 300, "height": 220}
# Views and classes that a chart can name one by one.
MOST_BARS = 40


def draw_results(
    ladder: pd.DataFrame,
    views: pd.DataFrame,
    reliability: pd.DataFrame,
    threshold: pd.DataFrame,
    classes: pd.DataFrame,
    objective: str,
) -> Any:
    """Two rows of charts: steps and views with intervals; calibration, threshold, classes.

    Args:
        ladder: `part`, `step`, `score`, `low`, `high`, `verdict` (None at the first step).
        views: `member`, `view`, `gain`, `gain_low`, `gain_high`, `used`.
        reliability: `calibration`, `probability`, `frequency`.
        threshold: `probability`, `score`, `chosen`.
        classes: `class`, `part`, `ap`.
        objective: what `score` is.
    """
    first = alt.hconcat(draw_ladder(ladder, objective), draw_views(views, objective))
    second = alt.hconcat(
        _reliability(reliability), _threshold(threshold, objective), _classes(classes)
    )
    return alt.vconcat(
        first.resolve_scale(color="independent", shape="independent"),
        second.resolve_scale(color="independent", shape="independent"),
    ).resolve_scale(color="independent", shape="independent")


def draw_ladder(ladder: pd.DataFrame, objective: str) -> Any:
    """Score and 95 % interval at every step, and whether its gain is beyond noise."""
    table = ladder.assign(verdict=ladder["verdict"].fillna(""))
    # In the order of the part with most steps: held-out images know no "+ folds".
    steps = max((part["step"].tolist() for _, part in ladder.groupby("part")), key=len)
    base = alt.Chart(table).encode(
        alt.Y("step:N", sort=steps, title=None, axis=alt.Axis(labelLimit=120)),
        color=alt.Color("part:N", scale=alt.Scale(range=[BLUE, ORANGE]), legend=None),
    )
    score = alt.X("score:Q", title=objective, scale=alt.Scale(zero=False))
    label = alt.expr.format(alt.datum.score, ".4f") + "  " + alt.datum.verdict
    chart = alt.layer(
        base.mark_rule(strokeWidth=2).encode(alt.X("low:Q", title=objective), x2="high:Q"),
        base.mark_point(filled=True, size=60).encode(score),
        base.mark_text(dy=-11, align="center")
        .encode(score, text="label:N")
        .transform_calculate(label=label),
    ).properties(width=SIZE["width"], height=alt.Step(34))
    return chart.facet(
        column=alt.Column("part:N", title="What each step adds, with 95 % intervals", sort=None)
    ).resolve_scale(x="independent")


def draw_views(views: pd.DataFrame, objective: str) -> Any:
    """What each view alone, and all together, gain over the untransformed image."""
    table = views.assign(
        name=views["view"]
        if views["member"].nunique() == 1
        else views["member"] + " " + views["view"],
        kept=views["used"].map({True: "used", False: "left out"}).fillna("merged"),
    ).head(MOST_BARS)
    base = alt.Chart(table, title="Views against the untransformed image (out-of-fold)").encode(
        alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=160)),
        color=alt.Color(
            "kept:N",
            title=None,
            scale=alt.Scale(domain=["used", "left out", "merged"], range=[BLUE, GREY, ORANGE]),
        ),
    )
    gain = alt.X("gain:Q", title=f"gain in {objective}")
    return alt.layer(
        alt.Chart(pd.DataFrame({"gain": [0.0]}))
        .mark_rule(color=GREY, strokeDash=[4, 3])
        .encode(gain),
        base.mark_rule(strokeWidth=2).encode(
            alt.X("gain_low:Q", title=f"gain in {objective}"), x2="gain_high:Q"
        ),
        base.mark_point(filled=True, size=60).encode(gain),
    ).properties(width=SIZE["width"], height=alt.Step(24))


def _reliability(table: pd.DataFrame) -> Any:
    base = alt.Chart(table, title="Reliability (out-of-fold, cross-fitted)")
    diagonal = pd.DataFrame({"probability": [0.0, 1.0], "frequency": [0.0, 1.0]})
    axes = (
        alt.X("probability:Q", title="mean probability", scale=alt.Scale(domain=[0, 1])),
        alt.Y("frequency:Q", title="share that is there", scale=alt.Scale(domain=[0, 1])),
    )
    return alt.layer(
        alt.Chart(diagonal).mark_line(color=GREY, strokeDash=[4, 3]).encode(*axes),
        base.mark_line(point=True).encode(
            *axes,
            alt.Color(
                "calibration:N",
                scale=alt.Scale(domain=["before", "after"], range=[ORANGE, BLUE]),
            ),
        ),
    ).properties(**SIZE)


def _threshold(table: pd.DataFrame, objective: str) -> Any:
    line = alt.Chart(table, title="Threshold (out-of-fold)").encode(
        alt.X("probability:Q", title="probability threshold"),
        alt.Y("score:Q", title=objective, scale=alt.Scale(zero=False)),
    )
    chosen = line.transform_filter(alt.datum.chosen == 1)
    return alt.layer(
        line.mark_line(color=BLUE),
        chosen.mark_point(color=ORANGE, size=90, filled=True),
        chosen.mark_text(dy=-12, color=ORANGE).encode(text=alt.Text("probability:Q", format=".3f")),
    ).properties(**SIZE)


def _classes(table: pd.DataFrame) -> Any:
    return (
        alt.Chart(table, title="Average precision per class")
        .mark_point(filled=True, size=60)
        .encode(
            alt.X("class:N", title="class", sort=None),
            alt.Y("ap:Q", title="average precision", scale=alt.Scale(zero=False)),
            alt.Color("part:N", scale=alt.Scale(range=[BLUE, ORANGE])),
            alt.Shape("part:N"),
        )
        .properties(**SIZE)
    )
