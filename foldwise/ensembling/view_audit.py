"""Which views help: each one's score, what it adds to the others, and which to leave out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import Merge
from foldwise.scoring.bootstrap import DRAWS, BootstrapScores
from foldwise.scoring.cross_fitting import Fit, cross_fit, with_several
from foldwise.scoring.objective import Objective


class ViewAudit:
    """Audits sets of views of one member's held-out predictions.

    A set is scored by labels whose thresholds are fitted on the other folds, so that a view is not
    blamed for asking for a threshold of its own. Memory: linear in images x classes x views.

    The second view is upside down, so that it is left out:

    >>> labels = np.array([[0], [1]] * 10)
    >>> views = np.stack([labels, 1 - labels]).astype(np.float32)
    >>> accuracy, folds = Objective(name="accuracy"), np.arange(20) // 10
    >>> def decide(labels, logits, groups):
    ...     return lambda own: (own > 0.5).astype(np.int8)
    >>> audit = ViewAudit(labels, views, folds, "mean_logit", accuracy, decide, draws=20)
    >>> audit.select(np.full(20, True))
    (0,)
    """

    def __init__(
        self,
        labels: np.ndarray,
        logits: np.ndarray,
        groups: np.ndarray,
        merge: Merge,
        objective: Objective,
        decide: Fit,
        draws: int = DRAWS,
    ) -> None:
        """
        Args:
            labels: (images, classes): 1, 0 or -1.
            logits: (views, images, classes).
            groups: (images,): folds.
            merge: of views.
            objective: the score.
            decide: fits what turns logits into labels.
            draws: of the bootstrap.
        """
        self._logits = logits
        self._labels = labels
        self._groups = with_several(groups)
        self._merge: Merge = merge
        self._objective = objective
        self._decide = decide
        self._draws = draws
        self._merged: dict[tuple[int, ...], np.ndarray] = {}
        self.all = tuple(range(len(logits)))

    def merged(self, views: tuple[int, ...]) -> np.ndarray:
        """Their logits as one, (images, classes) float32."""
        if views in self._merged:
            return self._merged[views]
        merged = merge_logits([self._logits[each] for each in views], self._merge)
        # What every fold asks for again; smaller sets would be as many as views squared.
        if len(views) == 1 or len(views) >= len(self.all) - 1:
            self._merged[views] = merged
        return merged

    def scores(self, sets: Sequence[tuple[int, ...]], rows: np.ndarray) -> BootstrapScores:
        """Scores of sets of views on some of the images (a mask)."""
        labels, groups = self._labels[rows], with_several(self._groups[rows])
        predicted = [
            cross_fit(labels, self.merged(each)[rows], groups, self._decide) for each in sets
        ]
        return BootstrapScores(labels, predicted, self._objective, self._draws)

    def table(self, names: Sequence[str], baseline: int) -> list[dict[str, Any]]:
        """A row per view, and one for all together.

        `score` is of the view alone, `gain` its difference from the baseline, `adds` what the score
        of all together loses without it; `_low` and `_high` bound the paired 95 % interval.
        """
        several = len(self.all) > 1
        sets = [(view,) for view in self.all] + [self.all] * several
        sets += [_without(self.all, view) for view in self.all if several]
        scores = self.scores(sets, np.full(len(self._labels), True))
        weight = np.eye(len(sets))
        views = len(self.all)
        rows = []
        for index, name in enumerate([*names, "all"][: views + several]):
            row: dict[str, Any] = {"view": name, "score": float(scores.values[index])}
            row |= _interval(scores, weight[index] - weight[baseline], "gain")
            if index < views and several:
                row |= _interval(scores, weight[views] - weight[views + 1 + index], "adds")
            rows.append(row)
        return rows

    def select(self, rows: np.ndarray) -> tuple[int, ...]:
        """The views to keep, judged by some of the images (a mask).

        Again and again, the view without which the rest scores best is dropped, as long as the
        whole 95 % interval of that gain is above 0.
        """
        views = self.all
        while len(views) > 1:
            sets = [views, *(_without(views, view) for view in views)]
            scores = self.scores(sets, rows)
            best = int(scores.values[1:].argmax()) + 1
            if scores.interval(np.eye(len(sets))[best] - np.eye(len(sets))[0]).low <= 0:
                break
            views = sets[best]
        return views

    def select_cross_fitted(self) -> tuple[np.ndarray, tuple[int, ...]]:
        """Logits whose every group was merged by the views that the other groups chose.

        Returns:
            float32 (images, classes), and the views that all groups together choose.
        """
        result = np.empty(self._logits.shape[1:], np.float32)
        for group in np.unique(self._groups):
            own = self._groups == group
            result[own] = self.merged(self.select(~own))[own]
        return result, self.select(np.full(len(self._labels), True))


def _without(views: tuple[int, ...], view: int) -> tuple[int, ...]:
    return tuple(each for each in views if each != view)


def _interval(scores: BootstrapScores, weights: np.ndarray, name: str) -> dict[str, float]:
    found = scores.interval(weights)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
