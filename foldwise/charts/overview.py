"""A picture of a run's results."""

from typing import Any

import altair as alt
import pandas as pd

from foldwise.charts.classes import draw_class_ap
from foldwise.charts.scores import draw_reliability, draw_threshold
from foldwise.charts.steps import draw_ladder, draw_views
from foldwise.charts.style import LIGHT, readable

WIDTH = 300


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
        classes: `class`, `part`, `ap`, `ap_low`, `ap_high`.
        objective: what `score` is.
    """
    name = readable(objective)
    parts = ladder.groupby("part", sort=False)
    first = [draw_ladder(table, name, str(part)) for part, table in parts]
    second = [draw_reliability(reliability), draw_threshold(threshold, name)]
    rows = [[*first, draw_views(views, name)], [*second, draw_class_ap(classes)]]
    return (
        alt.vconcat(
            *[
                alt.hconcat(
                    *[each.properties(width=WIDTH) for each in row], spacing=40
                ).resolve_scale(color="independent", shape="independent")
                for row in rows
            ]
        )
        .resolve_scale(color="independent", shape="independent")
        .properties(config=alt.Config(**LIGHT | {"background": "white"}))
    )
