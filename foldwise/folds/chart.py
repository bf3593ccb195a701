"""A picture of a data set and its folds."""

from typing import Any

import altair as alt
import pandas as pd

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
SHOWN = 60
"""Classes that fit on a page; of more, those that differ most between folds are drawn."""
ROW = 12


def draw_data(prevalences: pd.DataFrame, counts: pd.DataFrame) -> Any:
    """Charts side by side: every class's prevalence per part and fold, and labels per image.

    Args:
        prevalences: `class`, `set`, `prevalence`.
        counts: `set`, `labels`, `share`.
    """
    sets = list(prevalences["set"].unique())
    colour = alt.Color(
        "set:N",
        title=None,
        sort=sets,
        scale=alt.Scale(domain=sets, range=[COLOURS[i % len(COLOURS)] for i in range(len(sets))]),
    )
    by_class = prevalences.groupby("class", sort=False)["prevalence"]
    spread = (by_class.max() - by_class.min()).sort_values(ascending=False, kind="stable")
    title = "Class prevalence"
    if len(spread) > SHOWN:
        title += f": {SHOWN} of {len(spread)} classes, those that differ most"
        prevalences = prevalences[prevalences["class"].isin(spread.index[:SHOWN])]
    order = prevalences[prevalences["set"] == "train"].sort_values(
        "prevalence", ascending=False, kind="stable"
    )["class"]
    classes = (
        alt.Chart(prevalences, title=title)
        .mark_point(filled=True, opacity=0.8, size=36)
        .encode(
            alt.X(
                "prevalence:Q",
                title="share of images",
                axis=alt.Axis(format="%", tickCount=6),
                scale=alt.Scale(zero=False),
            ),
            alt.Y("class:N", title=None, sort=list(order)),
            colour,
            alt.Shape("set:N", title=None, sort=sets, scale=alt.Scale(domain=sets)),
        )
        .properties(width=320, height=max(120, ROW * min(SHOWN, len(spread))))
    )
    labels = (
        alt.Chart(counts[counts["share"] > 0], title="Labels per image")
        .mark_bar()
        .encode(
            alt.X("labels:O", title="labels of an image", axis=alt.Axis(labelAngle=0)),
            alt.XOffset("set:N", sort=sets),
            alt.Y("share:Q", title="share of images", axis=alt.Axis(format="%")),
            colour,
        )
        .properties(width=320, height=240)
    )
    return alt.hconcat(classes, labels)
