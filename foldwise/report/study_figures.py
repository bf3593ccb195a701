"""Which charts a search for settings gets, and what stands in them."""

from typing import Any

import numpy as np
import pandas as pd

from foldwise.charts.study import (
    UNDRAWN,
    draw_history,
    draw_importances,
    draw_parallel,
    draw_rungs,
    draw_slice,
    draw_strip,
)
from foldwise.report.figures import Figure, figure
from foldwise.report.study_record import StudyRecord, as_numbers, short_texts

MOST_KEYS = 12
"""Keys that charts show."""
MOST_VALUES = 20
"""Values that a chart gives a row."""
MOST_TICKS = 8
"""Values that stand at an axis."""
AXIS = 108
"""Least width in pixels of an axis of parallel coordinates with what is written at it."""
SPAN = 10
"""Largest of few numbers over the smallest from which on an axis is logarithmic."""
FEW = 8


def ordered_keys(record: StudyRecord) -> tuple[list[str], int]:
    """The keys that charts show, the most important first, and how many they do not show."""
    shares = record.importances.drop_duplicates("key").set_index("key")["importance"]
    known = list(record.values.columns)
    ordered = sorted(known, key=lambda key: -shares.get(key, 0.0))
    return ordered[:MOST_KEYS], len(ordered) - len(ordered[:MOST_KEYS])


def floor_of(scores: pd.Series, least: float) -> float:
    """Where an axis of scores begins, so that few very low ones do not squeeze all others.

    As far below the lower quartile as the best is above it, and never above `least`.

    >>> floor_of(pd.Series([0.0, 0.5, 0.75, 1.0]), 0.9), floor_of(pd.Series([0.5, 0.75]), 0.6)
    (0.0, 0.5)
    >>> floor_of(pd.Series([0.0, 0.75, 0.75, 0.75, 1.0]), 0.9)
    0.5
    """
    known = scores.dropna()
    quarter, top = float(known.quantile(0.25)), float(known.max())
    floor = 2 * quarter - top
    return float(known.min()) if top == quarter else min(max(floor, float(known.min())), least)


def study_figures(
    record: StudyRecord,
    trials: pd.DataFrame,
    values: pd.DataFrame,
    keys: list[str],
    objective: str,
) -> tuple[dict[str, list[Figure]], list[str]]:
    """The charts, and what is said of scores that are below their axes."""
    complete = trials[trials["state"] == "complete"]
    base = float(trials.loc[trials["trial"] == 0, "score"].fillna(np.inf).min())
    floor = floor_of(complete["score"], base)
    low = floor_of(complete["low"].fillna(complete["score"]), base)
    below = int((complete["score"] < floor).sum())
    columns = ["trial", "state", "score", "low", "high", "best", "params", "winner"]
    found = [figure("tune_history", draw_history(trials[columns], objective, low), wide=True)]
    if len(record.importances):
        names = short_keys(record.importances["key"].tolist(), 24)
        shares = record.importances.assign(key=record.importances["key"].map(names))
        found.append(
            figure(
                "tune_importances",
                draw_importances(shares.head(2 * MOST_KEYS), record.outcome.importances_of),
            )
        )
    rungs = _first_fold_rungs(record, trials)
    if len(rungs):
        own = floor_of(rungs["score"], np.inf)
        found.append(figure("tune_rungs", draw_rungs(rungs, objective, own)))
    drawn = complete[complete["trial"] != 0]
    parallel = _parallel_chart(drawn, values.loc[drawn.index, keys], objective, floor)
    slices = []
    for number, key in enumerate(keys):
        column = values.loc[complete.index, key]
        own = complete[column != ""][["trial", "score", "winner"]].assign(base=base)
        if len(own):
            chart = _key_chart(own, column[column != ""].tolist(), key, objective, floor)
            slices.append(figure(f"tune_key_{number}", chart))
    lines = []
    if below:
        score, stand = ("trial scores", "stands") if below == 1 else ("trials score", "stand")
        lines = [f"{below:,} {score} below {floor:.4f} and {stand} at the edge of the charts."]
    return {"overview": [*found, *parallel], "keys": slices}, lines


def short_keys(keys: list[str], most: int) -> dict[str, str]:
    """Names of keys without what would be too long: they differ at their ends.

    >>> short_keys(["lr", "train.loss_options.label_smoothing"], 20)
    {'lr': 'lr', 'train.loss_options.label_smoothing': '...s.label_smoothing'}
    """
    turned = short_texts([each[::-1] for each in keys], most)
    return {each: turned[each[::-1]][::-1] for each in keys}


def _key_chart(
    table: pd.DataFrame, texts: list[str], key: str, objective: str, floor: float
) -> Any:
    name = short_texts([key], 60)[key]
    if (numbers := as_numbers(texts)) is not None:
        log = is_log(numbers)
        return draw_slice(table.assign(value=numbers), name, log, objective, floor)
    order = _best_first(texts, table["score"])
    short = short_texts(order)
    kept = order[:MOST_VALUES]
    if len(kept) < len(order):
        name += f": {len(kept)} of {len(order)} values, the best"
    own = table.assign(value=[short[each] for each in texts], place=[order.index(x) for x in texts])
    own = own[own["place"] < len(kept)].sort_values(["place", "trial"])
    return draw_strip(own.drop(columns="place"), name, objective, floor)


def is_log(numbers: list[float]) -> bool:
    """Whether the numbers span so much that their axis is logarithmic.

    Of many, the lowest tenth is left out: numbers that are even between 0 and 1 come near 0 too.

    >>> is_log([1e-5, 1e-2]), is_log([0.0, 0.5]), is_log([1.0, 10.0])
    (True, False, False)
    >>> is_log(list(np.linspace(0.001, 1, 50))), is_log(list(np.geomspace(0.001, 1, 50)))
    (False, True)
    """
    if min(numbers) <= 0:
        return False
    if len(set(numbers)) <= FEW:
        return max(numbers) / min(numbers) > SPAN
    return bool(max(numbers) / np.quantile(numbers, 0.1) > 2 * SPAN)


def _best_first(texts: list[str], scores: pd.Series) -> list[str]:
    """The values, that with the best median score first."""
    table = pd.DataFrame({"text": texts, "score": scores.to_numpy()})
    medians = table.groupby("text", sort=False)["score"].median()
    return [str(each) for each in medians.sort_values(ascending=False, kind="stable").index]


def _first_fold_rungs(record: StudyRecord, trials: pd.DataFrame) -> pd.DataFrame:
    """What halving compared, of the first fold alone: the score of all folds is another one."""
    rungs = record.rungs[record.rungs["folds"] == 1]
    rungs = rungs.merge(trials[["trial", "state"]], on="trial").sort_values(["trial", "epochs"])
    return rungs[["trial", "epochs", "score", "state"]].reset_index(drop=True)


def _parallel_chart(
    trials: pd.DataFrame, values: pd.DataFrame, objective: str, floor: float
) -> list[Figure]:
    keys = [key for key in values.columns if (values[key] != "").any()]
    if len(trials) < 2 or not keys:
        return []
    names = [*short_keys(keys, AXIS // 6).values(), objective]
    top = float(trials["score"].max())
    bottom = min(max(floor, float(trials["score"].min())), top)
    lines, ticks = [], []
    for number, name in enumerate(names):
        if number < len(keys):
            column = values[keys[number]]
            places, texts = axis_places(column.tolist(), trials["score"])
            said = column.map(short_texts(column.tolist()))
        else:
            room = top - bottom or 1.0
            places = ((trials["score"] - bottom) / room).clip(lower=0.0).tolist()
            texts = {f"{bottom + at * room:.4f}": at for at in (0.0, 1.0)}
            said = trials["score"].map("{:.4f}".format)
        lines.append(trials.assign(key=name, number=number, place=places, value=said))
        ticks += [{"key": name, "place": place, "text": text} for text, place in texts.items()]
    # The best are drawn last, on top.
    table = pd.concat(lines, ignore_index=True).sort_values("score", kind="stable")
    columns = ["trial", "key", "number", "place", "value", "score"]
    chart = draw_parallel(table[columns], pd.DataFrame(ticks), objective, bottom)
    return [figure("tune_parallel", chart, AXIS * len(names), wide=True)]


def axis_places(texts: list[str], scores: pd.Series) -> tuple[list[float], dict[str, float]]:
    """Where values stand on an axis from 0 to 1, and what is written at it.

    Args:
        texts: as the table of trials has them; "" was not drawn.
        scores: of their trials; of values that are no numbers, the best stands highest.

    >>> axis_places(["1e-4", "1e-2", ""], pd.Series([0.1, 0.2, 0.3]))
    ([0.0, 1.0, -0.16], {'0.0001': 0.0, '0.001': 0.5, '0.01': 1.0, 'not drawn': -0.16})
    >>> axis_places(['"bce"', '"focal"'], pd.Series([0.1, 0.2]))
    ([0.0, 1.0], {'bce': 0.0, 'focal': 1.0})
    """
    drawn = [each for each in texts if each]
    numbers = as_numbers(drawn)
    if numbers is None:
        order = _best_first(drawn, scores[[bool(each) for each in texts]])[::-1]
        places = {text: n / (len(order) - 1) if len(order) > 1 else 0.5
                  for n, text in enumerate(order)}  # fmt: skip
        short = short_texts(order, 16)
        step = -(-len(order) // MOST_TICKS)
        ticks = {short[text]: places[text] for text in order[::step]}
    else:
        log = is_log(numbers)
        at = np.log(numbers) if log else np.array(numbers)
        low, room = float(at.min()), float(at.max() - at.min())
        found = (at - low) / room if room else np.full(len(at), 0.5)
        places = dict(zip(drawn, map(float, found), strict=True))
        marks = np.array([0.0, 0.5, 1.0]) if room else np.array([0.5])
        reached = low + room * marks if room else np.array([low])
        ticks = {
            f"{np.exp(value) if log else value:.3g}": float(mark)
            for value, mark in zip(reached, marks, strict=True)
        }
    if len(drawn) < len(texts):
        ticks |= {"not drawn": UNDRAWN}
    return [places[each] if each else UNDRAWN for each in texts], ticks
