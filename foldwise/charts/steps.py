"""Charts of what each step and each view adds, with intervals."""

from typing import Any

import altair as alt
import pandas as pd

from foldwise.charts.style import MOST_BARS


def draw_ladder(ladder: pd.DataFrame, objective: str, part: str) -> Any:
    """Score and 95 % interval at every step, and whether its gain is beyond noise.

    Args:
        ladder: `step`, `score`, `low`, `high`, `verdict` (None at the first step); one part's.
        objective: what `score` is.
        part: its name.
    """
    table = ladder.assign(verdict=ladder["verdict"].fillna(""))
    title = f"{objective}, with 95 % interval"
    # Room for what is written above the points.
    axis = alt.Scale(zero=False, padding=48)
    # A base's name, a tag perhaps, makes a rung's longer than the others.
    room = min(max(120, 7 * int(table["step"].str.len().max())), 200)
    base = alt.Chart(table).encode(
        alt.Y("step:N", sort=None, title=None, axis=alt.Axis(labelLimit=room))
    )
    label = alt.expr.format(alt.datum.score, ".4f") + "  " + alt.datum.verdict
    return alt.layer(
        base.mark_rule(style="interval").encode(
            alt.X("low:Q", title=title, scale=axis), x2="high:Q"
        ),
        base.mark_point(filled=True, size=60).encode(
            alt.X("score:Q", title=title, scale=axis),
            tooltip=["step:N", *_numbers("score", "low", "high"), "verdict:N"],
        ),
        base.mark_text(dy=-11)
        .encode(alt.X("score:Q", title=title, scale=axis), text="label:N")
        .transform_calculate(label=label),
    ).properties(height=34 * len(table), title=f"What each step adds, {part}")


def draw_views(views: pd.DataFrame, objective: str) -> Any:
    """What each view alone, and all together, gain over the untransformed image.

    Args:
        views: `member`, `view`, `gain`, `gain_low`, `gain_high`, `used` (None: all of them).
        objective: what is gained.
    """
    several = views["member"].nunique() > 1
    table = views.assign(
        name=views["member"] + " " + views["view"] if several else views["view"],
        kept=views["used"].map({True: "used", False: "left out"}).fillna("merged"),
    ).head(MOST_BARS)
    title = "Views against the untransformed image, out-of-fold"
    if len(views) > MOST_BARS:
        title += f": the first {MOST_BARS} of {len(views)}"
    gain = f"gain in {objective}, with 95 % interval"
    kinds = alt.Scale(domain=["used", "merged", "left out"])
    base = alt.Chart(table).encode(
        alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=160)),
        alt.Color("kept:N", title=None, scale=kinds),
    )
    return alt.layer(
        alt.Chart(pd.DataFrame({"gain": [0.0]}))
        .mark_rule(style="reference")
        .encode(alt.X("gain:Q", title=gain)),
        base.mark_rule(style="interval").encode(alt.X("gain_low:Q", title=gain), x2="gain_high:Q"),
        base.mark_point(filled=True, size=60).encode(
            alt.X("gain:Q", title=gain),
            alt.Shape("kept:N", title=None, scale=kinds),
            tooltip=["name:N", *_numbers("gain", "gain_low", "gain_high"), "kept:N"],
        ),
    ).properties(height=24 * len(table), title=title)


def _numbers(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".4f") for name in names]
