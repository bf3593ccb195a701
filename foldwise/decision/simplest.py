"""Of several candidates the one that evidence speaks for.

A step is taken if its gain is not below zero beyond noise, and of several that help, the simplest
that is within noise of the best.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foldwise.scoring.bootstrap import Interval, interval


def paired_gain(values: np.ndarray, drawn: np.ndarray, index: int, over: int) -> Interval:
    """Of one candidate over another; values (candidates,), drawn (draws, candidates).

    >>> paired_gain(np.array([1.0, 3.0]), np.array([[1.0, 3.0], [2.0, 4.0]]), 1, over=0)
    Interval(value=2.0, low=2.0, high=2.0)
    """
    return interval(float(values[index] - values[over]), drawn[:, index] - drawn[:, over])


def simplest_of_best(
    names: Sequence[str],
    values: np.ndarray,
    drawn: np.ndarray,
    spoiled: set[int] | None = None,
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Which candidate is taken, and a row for each.

    Args:
        names: of the candidates, the plain one first, then from simple to rich.
        values: (candidates,): what is to be high.
        drawn: (draws, candidates): the same of each draw.
        spoiled: candidates that something else speaks against.

    The second is as good as the third, within noise, and simpler:

    >>> drawn = np.array([[0.0, 1.0, 1.1], [0.0, 1.1, 1.0]])
    >>> place, rows = simplest_of_best(["none", "few", "many"], drawn.mean(0), drawn)
    >>> place, rows["many"]["left_out"]
    (1, 'few is simpler, and as good within noise')
    """
    gains = [paired_gain(values, drawn, index, 0) for index in range(len(names))]
    spoiled = spoiled or set()
    steps = [
        index
        for index in range(1, len(names))
        if gains[index].verdict != "hurts" and index not in spoiled
    ]
    helping = [index for index in steps if gains[index].verdict == "helps"]
    near: list[int] = []
    taken = best = 0
    if steps:
        best = max(helping or steps, key=lambda index: values[index])
        near = [
            index for index in helping or steps if paired_gain(values, drawn, best, index).low <= 0
        ]
        taken = near[0]

    def why(index: int) -> str:
        if gains[index].verdict == "hurts":
            return "hurts"
        if index in spoiled:
            return "its labels hurt"
        if index in near:
            return f"{names[taken]} is simpler, and as good within noise"
        if helping and index not in helping:
            return "within noise, where others help"
        return f"{names[best]} is better beyond noise"

    rows: dict[str, dict[str, Any]] = {names[0]: {"taken": taken == 0}}
    for index in range(1, len(names)):
        rows[names[index]] = said(
            gains[index], index == taken, "" if index == taken else why(index)
        )
    return taken, rows


def said(gain: Interval, taken: bool, why: str) -> dict[str, Any]:
    """What a table says of a candidate: its gain, whether it is taken, and if not, why.

    >>> said(Interval(-0.2, -0.3, -0.1), taken=False, why="hurts")["verdict"]
    'hurts'
    """
    row: dict[str, Any] = {
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "verdict": gain.verdict,
        "taken": taken,
    }
    return row | ({"left_out": why} if why else {})
