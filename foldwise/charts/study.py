"""Charts of a search for settings: history, what each key is worth, what was stopped early."""

from typing import Any

import altair as alt
import pandas as pd

from foldwise.charts.scores import HEIGHT

LOW = "#0072B2"
HIGH = "#D55E00"
"""Colours of low and high scores of lines, which stand out from white and from black alike."""
UNDRAWN = -0.16
"""Place of what a trial did not draw, below the axis of a key from 0 to 1."""
STATES = ("complete", "pruned", "failed")
MANY = 60
"""Lines from which on each is thin."""
PAPER = "var(--paper)"
"""What the page's stylesheet calls the colour behind its charts."""
MOST_STOPS = 8
"""Numbers of epochs that an axis names one by one."""
LABEL = 150
"""Pixels of a value's or a key's name."""


def draw_history(trials: pd.DataFrame, objective: str, floor: float) -> Any:
    """Score of each trial with its 95 % interval, the best so far, and marks of what was stopped.

    Args:
        trials: `trial`, `state`, `score`, `low`, `high`, `best`, `params` (in words), `winner`.
        objective: what `score` is.
        floor: where the axis begins; what is below stands at it.
    """
    best = "best so far"
    kinds = ["complete", best, *[each for each in STATES[1:] if (trials["state"] == each).any()]]
    shapes = {"complete": "circle", best: "stroke", "pruned": "cross", "failed": "triangle-down"}
    row = alt.Legend(columns=4, symbolOpacity=1)
    colour = alt.Color("state:N", title=None, scale=alt.Scale(domain=kinds), legend=row)
    shape = alt.Shape(
        "state:N",
        title=None,
        scale=alt.Scale(domain=kinds, range=[shapes[each] for each in kinds]),
        legend=row,
    )
    place = alt.Scale(domainMin=floor, nice=True, clamp=True, zero=False)
    x = alt.X("trial:Q", title="trial, 0 is the base", axis=alt.Axis(tickMinStep=1, format="d"),
              scale=alt.Scale(nice=False, padding=12))  # fmt: skip
    complete = trials[trials["state"] == "complete"]
    stopped = trials[trials["state"] != "complete"]
    title = f"{objective}, 95 % interval"
    y = alt.Y("score:Q", title=title, scale=place)
    tooltip = ["trial:Q", "state:N", *_score_tooltips("score", "low", "high"), "params:N"]
    base = alt.Chart(complete).encode(x, colour)
    steps = trials.dropna(subset=["best"])[["trial", "best"]].assign(state=best)
    layers = [
        base.mark_rule(opacity=0.6).encode(alt.Y("low:Q", scale=place, title=title), y2="high:Q"),
        alt.Chart(steps).mark_line(interpolate="step-after").encode(
            x, alt.Y("best:Q", scale=place, title=title), colour
        ),
        base.mark_point(filled=True, size=44, opacity=1).encode(y, shape, tooltip=tooltip),
        _winner_ring(complete).encode(x, y),
    ]  # fmt: skip
    # An empty layer would make Vega complain.
    if len(stopped):
        layers.append(
            alt.Chart(stopped)
            .mark_point(filled=True, size=34, opacity=1)
            .encode(x, colour, shape, y=alt.value(HEIGHT - 5), tooltip=[*tooltip[:2], "params:N"])
        )
    return alt.layer(*layers).properties(height=HEIGHT, title="Score of each trial")


def _winner_ring(trials: pd.DataFrame) -> alt.Chart:
    """A ring around the winner."""
    chosen = trials[trials["winner"]][["trial", "score"]]
    return alt.Chart(chosen).mark_point(size=150, strokeWidth=2, style="chosen")


def draw_slice(table: pd.DataFrame, key: str, log: bool, objective: str, floor: float) -> Any:
    """Score over the numbers that one key had; a ring around the winner, the base as a line.

    Args:
        table: `trial`, `value`, `score`, `winner`, `base` (the base's score).
        key: its name.
        log: whether the axis is logarithmic.
        objective: what `score` is.
        floor: where the axis of scores begins.
    """
    x = alt.X("value:Q", title=None, scale=_number_scale(log), axis=_number_axis(log))  # fmt: skip
    y = alt.Y("score:Q", title=objective, scale=_scores_from(floor))
    return alt.layer(
        _base_line(table).encode(y=y),
        alt.Chart(table)
        .mark_point(filled=True, size=44, opacity=0.8)
        .encode(x, y, tooltip=["trial:Q", "value:Q", *_score_tooltips("score")]),
        *([_winner_in_slice(table).encode(x, y)] if table["winner"].any() else []),
    ).properties(height=200, title=key)


def draw_strip(table: pd.DataFrame, key: str, objective: str, floor: float) -> Any:
    """Scores of each value that one key had, a row per value, in the table's order.

    Args:
        table: as of `draw_slice`, its values texts.
        key: its name.
        objective: what `score` is.
        floor: where the axis of scores begins.
    """
    values = list(dict.fromkeys(table["value"]))
    x = alt.X("score:Q", title=objective, scale=_scores_from(floor))
    y = alt.Y("value:N", title=None, sort=values, axis=alt.Axis(labelLimit=LABEL))
    return alt.layer(
        _base_line(table).encode(x=x),
        alt.Chart(table)
        .mark_point(filled=True, size=44, opacity=0.6)
        .encode(x, y, tooltip=["trial:Q", "value:N", *_score_tooltips("score")]),
        *([_winner_in_slice(table).encode(x, y)] if table["winner"].any() else []),
    ).properties(height=max(60, 30 * len(values)), title=key)


def _base_line(table: pd.DataFrame) -> alt.Chart:
    line = pd.DataFrame({"score": table["base"].head(1), "what": "score of the base"})
    return alt.Chart(line).mark_rule(style="reference").encode(
        tooltip=["what:N", *_score_tooltips("score")]
    )  # fmt: skip


def _winner_in_slice(table: pd.DataFrame) -> alt.Chart:
    chosen = table[table["winner"]][["value", "score"]]
    return alt.Chart(chosen).mark_point(size=150, strokeWidth=2, style="chosen")


def draw_parallel(lines: pd.DataFrame, ticks: pd.DataFrame, objective: str, floor: float) -> Any:
    """A line per trial over an axis per key, in the colour of its score; the best on top.

    Args:
        lines: `trial`, `key`, `number` (of the axis, from the left), `place` (from 0 to 1, or
            `UNDRAWN`), `value` (text), `score`; the lowest score first.
        ticks: `key`, `place`, `text`: what stands where on the axes, those from the left.
        objective: what `score` is.
        floor: where colours begin; what is below has the first.
    """
    keys = list(dict.fromkeys(ticks["key"]))
    over = _trial_under_pointer()
    many = lines["trial"].nunique() > MANY
    axis = alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False, labelPadding=12,
                    labelLimit=LABEL)  # fmt: skip
    x = alt.X("key:N", sort=keys, title=None, scale=alt.Scale(padding=0.3), axis=axis)
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[UNDRAWN, 1], nice=False))
    colour = alt.Color(
        "score:Q",
        title=objective,
        scale=alt.Scale(domain=[floor, float(lines["score"].max())], range=[LOW, HIGH], clamp=True),
        legend=alt.Legend(gradientLength=160, titleLimit=240, format=".3f"),
    )
    axes = pd.DataFrame({"key": keys, "place": 0.0, "top": 1.0})
    texts = alt.Chart(ticks).encode(x, y, text="text:N")
    named: dict[str, Any] = {"align": "left", "dx": 6, "fontWeight": "bold"}
    return alt.layer(
        alt.Chart(axes).mark_rule(style="reference", strokeDash=[1, 0]).encode(x, y, y2="top:Q"),
        alt.Chart(lines)
        .mark_line()
        .encode(
            x,
            y,
            colour,
            alt.Detail("trial:Q"),
            alt.Order("number:Q"),
            opacity=alt.value(0.5 if many else 0.85),
            strokeWidth=alt.condition(over, alt.value(5), alt.value(1 if many else 1.8)),
            tooltip=["trial:Q", *_score_tooltips("score"), "key:N", "value:N"],
        )
        .add_params(over),
        # Of the page's own paper, so that what stands on lines can be read.
        texts.mark_text(stroke=PAPER, strokeWidth=4, strokeJoin="round", **named),
        texts.mark_text(**named),
    ).properties(height=320, title="Complete trials, a line each")


def _trial_under_pointer() -> alt.Parameter:
    """Holds the trial whose line the pointer is over: it becomes thick, and can be followed."""
    return alt.selection_point(
        name="over", fields=["trial"], on="pointerover", empty=False, clear="pointerout"
    )


def draw_importances(importances: pd.DataFrame, of: str) -> Any:
    """What share of the scores' variance each key explains, `key` and `importance`.

    Args:
        importances: a row per key.
        of: what scores these are.
    """
    table = importances.sort_values("importance", ascending=False, kind="stable")
    axis: dict[str, Any] = {"title": "share of the scores' variance", "scale": alt.Scale(zero=True)}
    base = alt.Chart(table).encode(
        alt.X("importance:Q", axis=alt.Axis(format="%"), **axis),
        alt.Y("key:N", sort=None, title=None, axis=alt.Axis(labelLimit=LABEL)),
        tooltip=["key:N", alt.Tooltip("importance:Q", format=".1%")],
    )
    return base.mark_bar().properties(
        height=max(60, 24 * len(table)), title=f"Importance of each key (fANOVA), {of}"
    )


def draw_rungs(rungs: pd.DataFrame, objective: str, floor: float) -> Any:
    """What halving compared: the first fold's validation score over epochs, a line per trial.

    Args:
        rungs: `trial`, `epochs`, `score`, `state`.
        objective: what `score` is.
        floor: where the axis of scores begins.
    """
    over = _trial_under_pointer()
    states = [each for each in STATES if (rungs["state"] == each).any()]
    many = rungs["trial"].nunique() > MANY
    stops = sorted(rungs["epochs"].unique())
    log = stops[0] > 0 and stops[-1] / stops[0] >= 8
    axis = alt.Axis(format="d", tickMinStep=1)
    if len(stops) <= MOST_STOPS:
        axis = alt.Axis(format="d", values=[float(each) for each in stops])
    x = alt.X("epochs:Q", title="epochs of the first fold", scale=_number_scale(log), axis=axis)
    base = alt.Chart(rungs).encode(
        x,
        alt.Y("score:Q", title=f"{objective} of its validation images", scale=_scores_from(floor)),
        alt.Color("state:N", title=None, scale=alt.Scale(domain=states)),
        alt.Detail("trial:Q"),
        tooltip=["trial:Q", "state:N", "epochs:Q", *_score_tooltips("score")],
    )
    return alt.layer(
        base.mark_line().encode(
            alt.StrokeDash(
                "state:N",
                title=None,
                scale=alt.Scale(domain=states, range=[[1, 0], [5, 3], [2, 2]][: len(states)]),
            ),
            opacity=alt.value(0.5 if many else 0.8),
            strokeWidth=alt.condition(over, alt.value(5), alt.value(1 if many else 1.6)),
        ),
        base.mark_point(filled=True, size=26, opacity=1).add_params(over),
    ).properties(height=HEIGHT, title="What halving compared")


def _number_scale(log: bool) -> alt.Scale:
    """A scale of numbers; a logarithmic one has no zero to leave out."""
    if log:
        return alt.Scale(type="log", nice=False, padding=12)
    return alt.Scale(zero=False, nice=False, padding=12)


def _scores_from(floor: float) -> alt.Scale:
    return alt.Scale(domainMin=floor, zero=False, nice=True, clamp=True)


def _number_axis(log: bool) -> alt.Axis:
    """Ticks of numbers; a logarithmic axis would draw nine lines for each power of ten."""
    return alt.Axis(format="~e" if log else "~g", tickCount=4, labelOverlap="greedy", grid=not log)


def _score_tooltips(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".4f") for name in names]
