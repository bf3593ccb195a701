"""What each step from one model to the final labels adds, with what may be chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foldwise.scoring.bootstrap import DRAWS, Scores
from foldwise.scoring.objective import score
from foldwise.scoring.objective_settings import Objective

ALSO = (Objective(name="accuracy"), Objective(name="micro_f1"))


def climb(
    labels: np.ndarray,
    rungs: Mapping[str, Sequence[np.ndarray]],
    objective: Objective,
    folds: np.ndarray | None = None,
    draws: int = DRAWS,
) -> dict[str, dict[str, Any]]:
    """The score at every rung, and its gain over the rung below.

    Args:
        labels: (images, classes): 1, 0 or -1.
        rungs: from the first to the last: the labels, (images, classes), that each of its models
            predicts; the rung's score is the mean over its models.
        objective: the score.
        folds: (images,), for the spread over folds; None: the images are in no fold.
        draws: of the bootstrap.

    Returns:
        Of each rung: `score`, `low` and `high` (95 % interval), the same of the `gain`, its
        `verdict` (helps, hurts or within noise), `accuracy` and `micro_f1`; with `folds` also
        `fold_std` and `gain_fold_std`, standard deviations (n - 1) over folds; of several models
        `model_std`, that of their scores.
    """
    sets = [predicted for each in rungs.values() for predicted in each]
    scores = Scores(labels, sets, objective, draws)
    by_fold = [] if folds is None else [folds == fold for fold in np.unique(folds)]
    steps: dict[str, dict[str, Any]] = {}
    below, fold_below, start = np.zeros(len(sets)), np.zeros(len(by_fold)), 0
    for name, predicted in rungs.items():
        weights = np.zeros(len(sets))
        weights[start : start + len(predicted)] = 1 / len(predicted)
        start += len(predicted)
        at = scores.interval(weights)
        step: dict[str, Any] = {"score": at.value, "low": at.low, "high": at.high}
        each_fold = np.array(
            [
                np.mean([score(labels[own], each[own], objective) for each in predicted])
                for own in by_fold
            ]
        )
        if steps:
            gain = scores.interval(weights - below)
            step |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
            step["verdict"] = gain.verdict
        if len(by_fold) > 1:
            step["fold_std"] = float(each_fold.std(ddof=1))
            if steps:
                step["gain_fold_std"] = float((each_fold - fold_below).std(ddof=1))
        if len(predicted) > 1:
            own = scores.values[start - len(predicted) : start]
            step["model_std"] = float(own.std(ddof=1))
        for other in ALSO:
            step[other.name] = float(np.mean([score(labels, each, other) for each in predicted]))
        steps[name] = step
        below, fold_below = weights, each_fold
    return steps
