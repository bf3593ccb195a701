"""Successive halving: after which epochs of the first fold trials are compared, and by what.

Trials that are not among the best third at a rung go no further (asynchronous successive halving,
Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning").
"""

import math
from pathlib import Path

FACTOR = 3
"""One in so many goes on from a rung to the next."""
MOST = 4
"""Rungs at the most: an early epoch of many says little."""
METRIC = "valid_macro_ap"
"""What the first fold's held-out images are judged by: it has no threshold and no loss in it."""


def rungs(epochs: int) -> list[int]:
    """After how many epochs of the first fold trials are compared; at the last, it is whole.

    >>> rungs(4), rungs(150), rungs(1)
    ([1, 2, 4], [6, 17, 50, 150], [1])
    """
    found = [epochs]
    while found[0] > 1 and len(found) < MOST:
        found.insert(0, math.ceil(found[0] / FACTOR))
    return found


def step_of(rung: int) -> int:
    """The step by which Optuna knows a rung.

    >>> [step_of(rung) for rung in range(3)]
    [1, 3, 9]
    """
    return FACTOR**rung


def goes_on(score: float, at_rung: list[float]) -> bool:
    """Whether a trial is among the best third at a rung, or the best while there is no third.

    The rule of Optuna's SuccessiveHalvingPruner, told from what is stored alone: that one notes a
    trial at a rung before it judges, so that after a kill in between it lets it pass.

    Args:
        score: of the trial; NaN does not go on.
        at_rung: of all that have been there, the trial among them.

    >>> goes_on(0.5, [0.5]), goes_on(0.5, [0.5, 0.6]), goes_on(0.5, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    (True, False, True)
    """
    known = sorted((each for each in at_rung if not math.isnan(each)), reverse=True)
    best = known[: max(1, len(at_rung) // FACTOR)]
    return not math.isnan(score) and score >= best[-1]


def validation_scores(curves: Path, metric: str = METRIC) -> dict[int, float]:
    """Scores of held-out images by the number of epochs behind them, as DVCLive logs them.

    Args:
        curves: folder of one member and fold, perhaps still being written.
        metric: which one.
    """
    path = curves / "plots" / "metrics" / f"{metric}.tsv"
    try:
        # What follows the last line's end is still being written.
        lines = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return {}
    if not lines:
        return {}
    columns = lines[0].split("\t")
    at, value = columns.index("step"), columns.index(metric)
    rows = [line.split("\t") for line in lines[1:]]
    return {int(row[at]) + 1: float(row[value]) for row in rows if len(row) == len(columns)}
