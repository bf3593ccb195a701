"""The rung of the ladder that compares a run with the one that it is to be better than."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from foldwise.decision.ladder import ablation
from foldwise.evaluation.predictions import Part
from foldwise.scoring.objective import Objective


def base_rungs(
    pairs: Mapping[str, tuple[Part, Part]], objective: Objective, folds: np.ndarray
) -> dict[str, dict[str, Any]]:
    """By part, what `ablation` finds of this run above the base: its score, and the paired gain.

    Labels of both are the decided ones, out-of-fold cross-fitted.

    Args:
        pairs: by part, the base's images and this run's, in the same order; the latter's labels
            count.
        objective: the score.
        folds: of this run's out-of-fold images, (images,).

    >>> labels, ids = np.array([[1, 0], [0, 1]]), np.array(["a", "b"])
    >>> base, own = (Part(ids, labels, each, each, each) for each in (0 * labels, labels))
    >>> accuracy = Objective(name="accuracy")
    >>> rung = base_rungs({"oof": (base, own)}, accuracy, np.array([0, 1]))["oof"]
    >>> rung["score"], rung["gain"], rung["verdict"]
    (1.0, 0.5, 'helps')
    """
    found = {}
    for part, (base, own) in pairs.items():
        rungs = {"base": [base.predicted], "own": [own.predicted]}
        groups = folds if part == "oof" else None
        found[part] = ablation(own.labels, rungs, objective, groups)["own"]
    return found
