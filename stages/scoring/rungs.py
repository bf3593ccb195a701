"""Held-out labels at every rung of the ladder, and what calibration does, cross-fitted."""

import numpy as np

from stages.scoring.calibrate import fit_calibrator
from stages.scoring.crossfit import Apply, cross_fit, with_several
from stages.scoring.decision import decoder_of, fit_decision, plain_decision
from stages.settings.scoring import Decode, Threshold

COUNT_PRIORS = ("count_prior", "count_prior_mode")


def decision_rungs(settings: Threshold, single: bool) -> dict[str, tuple[Threshold, Decode]]:
    """The steps of a decision that are in use: settings and decoder of each, by its rung's name."""
    last = decoder_of(settings, single)
    plain = settings.model_copy(update={"fixed": 0.5, "scope": "global", "k": 1})
    rungs: dict[str, tuple[Threshold, Decode]] = {}
    if settings.calibration != "none":
        rungs["+ calibration"] = (plain, "top_k" if single else "threshold")
    if last == "threshold" or (last in COUNT_PRIORS and not single):
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
