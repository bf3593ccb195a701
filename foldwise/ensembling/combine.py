"""From every member's views and folds to one logit per image and class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.out_of_fold import MemberPredictions
from foldwise.ensembling.settings import Ensemble, Tta
from foldwise.ensembling.view_audit import ViewAudit
from foldwise.ensembling.weighing import Weighing, fit_weighing
from foldwise.scoring.bootstrap import DRAWS, BootstrapScores
from foldwise.scoring.cross_fitting import Apply, Fit, cross_fit, with_several
from foldwise.scoring.objective import Objective


@dataclass(frozen=True)
class Held:
    """What is known of the held-out images."""

    labels: np.ndarray
    """(images, classes): 1, 0 or -1."""
    groups: np.ndarray
    """(images,): folds."""
    objective: Objective
    """What views and weights are to be good at."""
    decide: Fit
    """Fits what turns logits into labels."""
    draws: int = DRAWS
    """Of the bootstrap."""


@dataclass(frozen=True)
class Merged:
    """One member, its views merged."""

    name: str
    views: tuple[str, ...]
    """Those that the test part is seen through."""
    single: np.ndarray
    """float32 (images, classes): held-out images, the untransformed view."""
    oof: np.ndarray
    """float32 (images, classes): held-out images, all views that help."""
    test: tuple[np.ndarray, ...]
    """Of every fold, float32 (test images, classes)."""
    audit: list[dict[str, Any]]
    """A row per view, as `ViewAudit.table` describes it."""


def merge_views(member: MemberPredictions, held: Held, settings: Tta) -> Merged:
    """Audit a member's views, and merge all of them or those that help.

    With `select: audit`, each fold's held-out images are merged by the views that the other folds
    chose, and the test part by what all folds together choose.
    """
    audit = ViewAudit(
        held.labels,
        member.oof,
        held.groups,
        settings.merge,
        held.objective,
        held.decide,
        held.draws,
    )
    table = audit.table(member.views, member.identity)
    chosen = audit.all
    oof = audit.merged(chosen)
    if settings.select == "audit":
        oof, chosen = audit.select_cross_fitted()
    for index, row in enumerate(table[: len(member.views)]):
        row["used"] = index in chosen
    return Merged(
        member.name,
        tuple(member.views[index] for index in chosen),
        member.oof[member.identity],
        oof,
        tuple(
            merge_logits([fold[index] for index in chosen], settings.merge) for fold in member.test
        ),
        table,
    )


def weigh_members(
    members: Sequence[Merged], held: Held, settings: Ensemble
) -> tuple[np.ndarray, Weighing, dict[str, Any]]:
    """Merge members by equal weights, or by fitted ones where these are better beyond noise.

    Fitted weights are compared with equal ones cross-fitted: each fold's images are merged
    by weights, and decided by thresholds, that are fitted on the other folds.

    Returns:
        Held-out logits, float32 (images, classes), cross-fitted where weights are fitted; the
        members' weighing for the test part; and what was found.
    """
    stacked = np.stack([each.oof for each in members], 1)
    equal = Weighing.equal(len(members))
    alike = merge_logits(np.moveaxis(stacked, 1, 0), settings.members)
    found: dict[str, Any] = {"asked": settings.weights, "used": "equal"}
    how = settings.weights
    if how == "equal" or len(members) == 1:
        return alike, equal, found
    groups = with_several(held.groups)

    def fit(labels: np.ndarray, logits: np.ndarray, near: np.ndarray) -> Apply:
        weighing = fit_weighing(labels, logits, near, how, settings.members)
        return lambda own: weighing.merged(list(np.moveaxis(own, 1, 0)), settings.members)

    fitted = cross_fit(held.labels, stacked, groups, fit)
    decided = [cross_fit(held.labels, each, groups, held.decide) for each in (alike, fitted)]
    scores = BootstrapScores(held.labels, decided, held.objective, held.draws)
    gain = scores.interval(np.array([-1.0, 1.0]))
    weighing = fit_weighing(held.labels, stacked, groups, how, settings.members)
    found |= {
        "equal_score": float(scores.values[0]),
        "fitted_score": float(scores.values[1]),
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "verdict": gain.verdict,
    } | _fitted(members, weighing, how)
    if gain.low <= 0:
        return alike, equal, found
    return fitted, weighing, found | {"used": how}


def _fitted(members: Sequence[Merged], weighing: Weighing, how: str) -> dict[str, Any]:
    """Of every member its weight (of a stack the mean over classes), and what calibrated it."""
    found: dict[str, Any] = {"fitted": {}}
    for each, weight, line in zip(members, weighing.weights.tolist(), weighing.lines, strict=True):
        found["fitted"][each.name] = weight
        if line is not None and how == "stack":
            found["fitted"][each.name] = weight * float(line.slope.mean())
        elif line is not None:
            found.setdefault("calibrated", {})[each.name] = {
                "slope": float(line.slope[0]),
                "offset": float(line.offset[0]),
            }
    return found


def merge_test(
    members: Sequence[Merged], weighing: Weighing, settings: Ensemble
) -> tuple[list[np.ndarray], np.ndarray]:
    """Each member's folds merged, and all members; float32 (test images, classes)."""
    joined = [merge_logits(each.test, settings.folds) for each in members]
    return joined, weighing.merged(joined, settings.members)


def merge_by_fold(members: Sequence[Merged], weighing: Weighing, settings: Ensemble) -> np.ndarray:
    """Of each fold all members merged, float32 (folds, test images, classes)."""
    folds = zip(*(each.test for each in members), strict=True)
    return np.stack([weighing.merged(fold, settings.members) for fold in folds])


def merged_arrays(
    predictions: Sequence[MemberPredictions],
    members: Sequence[Merged],
    weighing: Weighing,
    settings: Ensemble,
) -> dict[str, np.ndarray]:
    """The test part's logits, and every rung of the ladder (models, images, classes).

    Rungs: of every member the untransformed view (`oof_single`; of the test part by every fold,
    `test_single`), then all views (`oof_views`, `test_views`), all folds of every member
    (`test_folds`), all members (`test_logits`). `test_by_fold` is every fold with its members
    merged, which shows how far folds differ.
    """
    joined, test = merge_test(members, weighing, settings)
    return {
        "test_logits": test,
        "oof_single": np.stack([each.single for each in members]),
        "oof_views": np.stack([each.oof for each in members]),
        "test_single": np.stack(
            [fold[each.identity] for each in predictions for fold in each.test]
        ),
        "test_views": np.stack([fold for each in members for fold in each.test]),
        "test_folds": np.stack(joined),
        "test_by_fold": merge_by_fold(members, weighing, settings),
    }


def used_members(members: Sequence[Merged], weighing: Weighing) -> dict[str, dict[str, Any]]:
    """Of every member how it takes part: its views, its weight and, if it is moved, its line."""
    found: dict[str, dict[str, Any]] = {}
    for each, weight, line in zip(members, weighing.weights, weighing.lines, strict=True):
        moved = {} if line is None else line.as_json()
        found[each.name] = {"views": list(each.views), "weight": float(weight)} | moved
    return found


def audits(members: Sequence[Merged]) -> dict[str, dict[str, Any]]:
    """Of every member and view what the audit found."""
    return {
        each.name: {
            row["view"]: {key: row[key] for key in row if key != "view"} for row in each.audit
        }
        for each in members
    }
