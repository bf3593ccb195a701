"""A picture of a run's results."""

from typing import Any

import altair as alt
import pandas as pd

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, GREEN, ORANGE = "#0072B2", "#009E73", "#D55E00"
SIZE = {"width": 260, "height": 200}


def draw_results(
    ladder: dict[str, dict[str, float]],
    threshold: pd.DataFrame,
    classes: pd.DataFrame,
    objective: str,
) -> Any:
    """Charts side by side: what each step adds, the threshold, the classes.

    Args:
        ladder: metrics after every step; empty where the test part is unlabelled.
        threshold: `probability`, `score`, `chosen`.
        classes: `class`, `part`, `ap`.
        objective: what `score` is.
    """
    line = alt.Chart(threshold, title="Threshold (out-of-fold)").encode(
        alt.X("probability:Q", title="probability threshold"),
        alt.Y("score:Q", title=objective, scale=alt.Scale(zero=False)),
    )
    chosen = line.transform_filter(alt.datum.chosen == 1)
    charts: list[Any] = [
        alt.layer(
            line.mark_line(color=BLUE),
            chosen.mark_point(color=ORANGE, size=90, filled=True),
            chosen.mark_text(dy=-12, color=ORANGE).encode(
                text=alt.Text("probability:Q", format=".3f")
            ),
        ).properties(**SIZE),
        alt.Chart(classes, title="Average precision per class")
        .mark_point(filled=True, size=60)
        .encode(
            alt.X("class:N", title="class", sort=None),
            alt.Y("ap:Q", title="average precision", scale=alt.Scale(zero=False)),
            alt.Color("part:N", scale=alt.Scale(range=[BLUE, ORANGE])),
            alt.Shape("part:N"),
        )
        .properties(**SIZE),
    ]
    if ladder:
        charts = [_steps(ladder), *charts]
    return alt.hconcat(*charts).resolve_scale(color="independent", shape="independent")


def _steps(ladder: dict[str, dict[str, float]]) -> Any:
    rows = [
        {"step": step, "metric": metric, "value": value}
        for step, metrics in ladder.items()
        for metric, value in metrics.items()
    ]
    base = alt.Chart(pd.DataFrame(rows), title="What each step adds (test)").encode(
        alt.X("step:N", sort=list(ladder), title=None, axis=alt.Axis(labelAngle=0)),
        alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        alt.Color("metric:N", scale=alt.Scale(range=[BLUE, GREEN, ORANGE])),
    )
    return alt.layer(
        base.mark_line(point=True),
        base.mark_text(dy=-10).encode(text=alt.Text("value:Q", format=".4f")),
    ).properties(**SIZE)
