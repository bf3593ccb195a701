"""The ladder: an ablation of the steps from one model to the final labels, with what may be chance.

Out-of-fold every rung is cross-fitted; of the test part it is as the decision has it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.decision import Decision, fit_decision, plain_decision
from foldwise.decision.evidence import Choice
from foldwise.decision.settings import Decode, Threshold, calibration_of, decoder_of
from foldwise.scoring.bootstrap import DRAWS, BootstrapScores
from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.objective import Objective, score

COUNT_PRIORS = ("count_prior", "count_prior_mode")
ALSO = (Objective(name="accuracy"), Objective(name="micro_f1"))


def ablation(
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

    >>> labels = np.array([[1, 0], [0, 1]])
    >>> rungs = {"none": [0 * labels], "+ all": [labels]}
    >>> top = ablation(labels, rungs, Objective(name="accuracy"), draws=9)["+ all"]
    >>> top["score"], top["gain"], top["verdict"]
    (1.0, 0.5, 'helps')
    """
    sets = [predicted for each in rungs.values() for predicted in each]
    scores = BootstrapScores(labels, sets, objective, draws)
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


def decision_rungs(
    settings: Threshold, single: bool, left_out: Collection[str] = ()
) -> dict[str, tuple[Threshold, Decode]]:
    """The steps of a decision that are in use: settings and decoder of each, by its rung's name.

    Args:
        settings: of the decision; nothing in them is `auto`.
        single: whether every image has one label.
        left_out: names of rungs that evidence speaks against.

    >>> list(decision_rungs(Threshold(objective="accuracy", calibration="platt"), single=False))
    ['+ calibration', '+ threshold']
    """
    last = decoder_of(settings, single)
    used = {
        "+ calibration": settings.calibration != "none",
        "+ threshold": last != "top_k",
        "+ count prior": last in COUNT_PRIORS,
        "+ top k": last == "top_k" and (settings.k > 1 or not single),
    }
    return {
        name: _rung(name, settings, single) for name in used if used[name] and name not in left_out
    }


def _rung(name: str, settings: Threshold, single: bool) -> tuple[Threshold, Decode]:
    """The step of that name, as other settings have it, which may do nothing there."""
    if name == "+ calibration":
        plain = settings.model_copy(update={"fixed": 0.5, "scope": "global", "k": 1})
        return plain, "top_k" if single else "threshold"
    return settings, "threshold" if name == "+ threshold" else decoder_of(settings, single)


def oof_rungs(
    singles: np.ndarray,
    views: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    folds: np.ndarray,
    choice: Choice,
    single: bool,
) -> dict[str, list[np.ndarray]]:
    """Labels, (images, classes), of each rung's models; whatever is fitted is cross-fitted.

    So is what was chosen: a fold whose other folds choose otherwise has their step at that rung.

    Args:
        singles: (members, images, classes): logits of the untransformed view.
        views: likewise, of all views merged.
        labels: (images, classes): 1, 0 or -1.
        logits: of all members together.
        folds: (images,).
        choice: the decision's settings.
        single: whether every image has one label.

    Raises:
        ValueError: as `fit_decision`.

    >>> labels, logits = np.array([[0], [1], [0], [1]]), np.float32([[1], [3], [1], [3]])
    >>> own, folds = logits[None], np.array([0, 0, 1, 1])
    >>> choice = Choice(Threshold(objective="accuracy"))
    >>> rungs = oof_rungs(own, own, labels, logits, folds, choice, single=False)
    >>> {name: each[0][:, 0].tolist() for name, each in rungs.items()}
    {'single fold': [1, 1, 1, 1], '+ TTA': [1, 1, 1, 1], '+ threshold': [0, 1, 0, 1]}
    """
    plain = plain_decision(single)
    rungs = {
        "single fold": [plain(each) for each in singles],
        "+ TTA": [plain(each) for each in views],
    }
    if len(views) > 1:
        rungs["+ members"] = [plain(logits)]
    for name in decision_rungs(choice.settings, single, choice.left_out):

        def fit(
            truth: np.ndarray,
            own: np.ndarray,
            groups: np.ndarray,
            name: str = name,
        ) -> Apply:
            step, decoder = _rung(name, choice.of(groups), single)
            return fit_decision(truth, own, groups, step, single, decoder)

        rungs[name] = [cross_fit(labels, logits, with_several(folds), fit)]
    return rungs


def cross_calibrated(
    labels: np.ndarray, logits: np.ndarray, folds: np.ndarray, choice: Choice, single: bool
) -> np.ndarray:
    """Logits (images, classes), each fold's by a calibrator fitted on the other folds.

    Arguments as for `oof_rungs`, of the settings the calibration alone. Two of three images have
    the label in the first fold, three of four in the second:

    >>> labels, logits = np.array([[1, 1, 0, 1, 1, 1, 0]]).T, np.full((7, 1), 2.0)
    >>> folds = np.array([0, 0, 0, 1, 1, 1, 1])
    >>> choice = Choice(Threshold(objective="accuracy", calibration="temperature"))
    >>> odds = np.exp(cross_calibrated(labels, logits, folds, choice, single=False))
    >>> odds[:, 0].round(2).tolist()
    [3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0]
    """
    return cross_fit(
        labels,
        logits,
        with_several(folds),
        lambda truth, own, groups: fit_calibrator(
            truth, own, calibration_of(choice.of(groups)), single
        ),
    )


def test_models(ensemble: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Logits, (images, classes), of the models of each rung below the decision, by its name.

    Args:
        ensemble: logits (models, images, classes) of the untransformed view (`test_single`) and of
            all views (`test_views`), of every member and fold; of all folds of every member
            (`test_folds`), of every fold (`test_by_fold`); and of all (`test_logits`).

    Two members of two folds each, three images, one class:

    >>> shapes = {"test_single": 4, "test_views": 4, "test_folds": 2, "test_by_fold": 2}
    >>> ensemble = {name: np.zeros((models, 3, 1)) for name, models in shapes.items()}
    >>> models = test_models(ensemble | {"test_logits": np.zeros((3, 1))})
    >>> {name: len(each) for name, each in models.items()}
    {'single fold': 4, '+ TTA': 4, '+ folds': 2, '+ members': 1}
    """
    models: dict[str, list[np.ndarray]] = {
        "single fold": list(ensemble["test_single"]),
        "+ TTA": list(ensemble["test_views"]),
    }
    if len(ensemble["test_by_fold"]) > 1:
        models["+ folds"] = list(ensemble["test_folds"])
    if len(ensemble["test_folds"]) > 1:
        models["+ members"] = [ensemble["test_logits"]]
    return models


def test_ladder(
    ensemble: dict[str, np.ndarray],
    labels: np.ndarray,
    steps: dict[str, Decision],
    objective: Objective,
    single: bool,
) -> dict[str, dict[str, Any]]:
    """What TTA, folds, members and the steps of the decision each add on the test part.

    Args:
        ensemble: as for `test_models`.
        labels: (images, classes).
        steps: on the way to the decision.
        objective: the score.
        single: whether every image has one class.

    Returns:
        Of each rung what `ablation` finds.

    One model, whose threshold is right where p >= 1/2 is not:

    >>> names = ("test_single", "test_views", "test_folds", "test_by_fold")
    >>> ensemble = {"test_logits": np.array([[1], [3]])}
    >>> ensemble |= {name: ensemble["test_logits"][None] for name in names}
    >>> plain = plain_decision(single=False)
    >>> steps = {"+ threshold": Decision(plain.calibrator, "threshold", (2.0,))}
    >>> labels, accuracy = np.array([[0], [1]]), Objective(name="accuracy")
    >>> ladder = test_ladder(ensemble, labels, steps, accuracy, single=False)
    >>> {name: rung["score"] for name, rung in ladder.items()}
    {'single fold': 0.5, '+ TTA': 0.5, '+ threshold': 1.0}
    """
    plain = plain_decision(single)
    rungs = {name: [plain(each) for each in found] for name, found in test_models(ensemble).items()}
    for name, step in steps.items():
        rungs[name] = [step(ensemble["test_logits"])]
    return ablation(labels, rungs, objective)
