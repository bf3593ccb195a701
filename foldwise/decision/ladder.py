"""The rungs of the ladder, out-of-fold (cross-fitted) and of the test part."""

from typing import Any

import numpy as np

from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.climb import climb
from foldwise.decision.decision import Decision, decoder_of, fit_decision, plain_decision
from foldwise.ensembling.settings import Decode, Threshold
from foldwise.evaluation.average_precision import average_precision
from foldwise.evaluation.metrics import mean_over_classes
from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.objective_settings import Objective

COUNT_PRIORS = ("count_prior", "count_prior_mode")


def decision_rungs(settings: Threshold, single: bool) -> dict[str, tuple[Threshold, Decode]]:
    """The steps of a decision that are in use: settings and decoder of each, by its rung's name."""
    last = decoder_of(settings, single)
    plain = settings.model_copy(update={"fixed": 0.5, "scope": "global", "k": 1})
    rungs: dict[str, tuple[Threshold, Decode]] = {}
    if settings.calibration != "none":
        rungs["+ calibration"] = (plain, "top_k" if single else "threshold")
    if last == "threshold" or last in COUNT_PRIORS:
        rungs["+ threshold"] = (settings, "threshold")
    if last in COUNT_PRIORS:
        rungs["+ count prior"] = (settings, last)
    if last == "top_k" and (settings.k > 1 or not single):
        rungs["+ top k"] = (settings, last)
    return rungs


def oof_rungs(
    singles: np.ndarray,
    views: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    settings: Threshold,
    single: bool,
) -> dict[str, list[np.ndarray]]:
    """Labels, (images, classes), of each rung's models; whatever is fitted is cross-fitted.

    Args:
        singles: (members, images, classes): logits of the untransformed view.
        views: likewise, of all views merged.
        logits: of all members together.
        labels: (images, classes): 1, 0 or -1.
        folds: (images,).
        settings: of the decision.
        single: whether every image has one label.
    """
    plain = plain_decision(single)
    rungs = {
        "single fold": [plain(each) for each in singles],
        "+ TTA": [plain(each) for each in views],
    }
    if len(views) > 1:
        rungs["+ members"] = [plain(logits)]
    for name, (step, decoder) in decision_rungs(settings, single).items():

        def fit(
            own: np.ndarray,
            truth: np.ndarray,
            groups: np.ndarray,
            step: Threshold = step,
            decoder: Decode = decoder,
        ) -> Apply:
            return fit_decision(own, truth, groups, step, single, decoder)

        rungs[name] = [cross_fit(logits, labels, with_several(folds), fit)]
    return rungs


def cross_calibrated(
    logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, settings: Threshold, single: bool
) -> np.ndarray:
    """Logits (images, classes), each fold's calibrated by what the others taught."""
    return cross_fit(
        logits,
        labels,
        with_several(folds),
        lambda own, truth, _: fit_calibrator(own, truth, settings.calibration, single),
    )


def test_ladder(
    ensemble: dict[str, np.ndarray],
    labels: np.ndarray,
    steps: dict[str, Any],
    objective: Objective,
    single: bool,
) -> dict[str, dict[str, Any]]:
    """What TTA, folds, members and the steps of the decision each add on the test part.

    Args:
        ensemble: logits (models, images, classes) of the untransformed view (`test_single`) and of
            all views (`test_views`), of every member and fold; of all folds of every member
            (`test_folds`), of every fold (`test_by_fold`); and of all (`test_logits`).
        labels: (images, classes).
        steps: of the decision, each as decision.json has it.
        objective: the score.
        single: whether every image has one class.

    Returns:
        Of each rung what `climb` finds, and `macro_ap`.
    """
    plain = plain_decision(single)
    logits = ensemble["test_logits"]
    models: dict[str, list[np.ndarray]] = {
        "single fold": list(ensemble["test_single"]),
        "+ TTA": list(ensemble["test_views"]),
    }
    if len(ensemble["test_by_fold"]) > 1:
        models["+ folds"] = list(ensemble["test_folds"])
    if len(ensemble["test_folds"]) > 1:
        models["+ members"] = [logits]
    rungs = {name: [plain(each) for each in found] for name, found in models.items()}
    for name, content in steps.items():
        rungs[name] = [Decision.from_json(content)(logits)]
    ladder = climb(labels, rungs, objective)
    for name, step in ladder.items():
        found = models.get(name, [logits])
        step["macro_ap"] = float(
            np.mean([mean_over_classes(average_precision(labels, each)) or 0.0 for each in found])
        )
    return ladder
