"""Steps of a decision that evidence speaks for, where settings say `auto`.

Calibration is there for probabilities, so its gain is how much it lowers the negative
log-likelihood; a threshold's is of the objective.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from foldwise.decision.calibration_error import image_losses
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.decision import fit_decision, fit_decoder
from foldwise.decision.settings import Calibration, Decode, Threshold, calibration_of, decoder_of
from foldwise.decision.simplest import paired_gain, said, simplest_of_best
from foldwise.scoring.bootstrap import DRAWS, BootstrapScores, draw
from foldwise.scoring.cross_fitting import Apply, Fit, cross_fit, halves, with_several

FOLD_DRAWS = 300
"""Of the bootstrap, for the choices of single folds."""
PLAIN = {"fixed": 0.5, "scope": "global"}


@dataclass(frozen=True)
class Judged:
    """What candidates are judged by."""

    labels: np.ndarray
    """(images, classes): 1, 0 or -1."""
    logits: np.ndarray
    """(images, classes) float32."""
    groups: np.ndarray
    """(images,): what is left out together."""
    single: bool
    """Whether every image has one label."""
    draws: int
    """Of the bootstrap."""

    def cross_fitted(self, fit: Fit) -> np.ndarray:
        """As `cross_fit`.

        >>> ours = Judged(np.array([[1], [0]]), np.float32([[2], [3]]), np.arange(2), False, DRAWS)
        >>> ours.cross_fitted(lambda labels, *_: lambda logits: logits + labels.mean()).tolist()
        [[2.0], [4.0]]
        """
        return cross_fit(self.labels, self.logits, self.groups, fit)


@dataclass(frozen=True)
class Choice:
    """What is taken, and why."""

    settings: Threshold
    """Without `auto`."""
    left_out: tuple[str, ...] = ()
    """Rungs of the ladder that evidence speaks against."""
    by_fold: Mapping[int, Threshold] = field(default_factory=dict)
    """What the other folds choose for each; none: nothing was to be chosen."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """Of each step and candidate what was found; for people."""

    def of(self, groups: np.ndarray) -> Threshold:
        """The settings for a fit on some folds (images,): chosen by these alone.

        >>> ours, other = Threshold(objective="accuracy"), Threshold(objective="macro_f1")
        >>> Choice(ours, by_fold={0: ours, 1: other}).of(np.array([0, 2])).objective.name
        'macro_f1'
        """
        for fold, settings in self.by_fold.items():
            if fold not in groups:
                return settings
        return self.settings


def choose(
    labels: np.ndarray, logits: np.ndarray, folds: np.ndarray, settings: Threshold, single: bool
) -> Choice:
    """Settle what is `auto`, for all folds together and for every fold by the other ones.

    What all folds together leave out is left out of every fold. Fits of a fold's own choice are on
    halves of the other folds, which takes less time and leans to what is simple.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        folds: (images,).
        settings: of the decision.
        single: whether every image has one label.

    Raises:
        ValueError: as `fit_decision`.

    The common threshold puts all labels right:

    >>> labels, logits = np.array([[0], [1]] * 9), np.float32([[1], [3]] * 9)
    >>> settings = Threshold(objective="accuracy", scope="auto")
    >>> choice = choose(labels, logits, np.arange(18) // 6, settings, single=False)
    >>> choice.settings.scope, choice.evidence["threshold"]["candidates"]["global"]["gain"]
    ('global', 0.5)
    """
    if not settings.auto:
        return Choice(settings)
    groups = with_several(folds)
    taken = _choose(Judged(labels, logits, groups, single, DRAWS), settings)
    still = settings
    if taken.settings.calibration == "none":
        still = still.model_copy(update={"calibration": "none"})
    if settings.scope == "auto":
        still = still.model_copy(update={"decode": taken.settings.decode})
        if taken.settings.fixed is not None:
            still = still.model_copy(update=PLAIN)
    by_fold = {}
    for fold in np.unique(groups).tolist():
        rest = groups != fold
        others = Judged(labels[rest], logits[rest], halves(groups[rest]), single, FOLD_DRAWS)
        by_fold[fold] = _choose(others, still).settings
    evidence = taken.evidence | {
        "by_fold": {str(fold): _in_short(each, single) for fold, each in by_fold.items()}
    }
    return replace(taken, by_fold=by_fold, evidence=evidence)


def _choose(judged: Judged, settings: Threshold) -> Choice:
    if not np.isfinite(judged.logits).all():
        raise ValueError("some logits are not finite; look at the training curves")
    choice = Choice(settings)
    if settings.calibration == "auto":
        choice = _with_calibration(judged, choice)
    if settings.scope != "auto":
        return choice
    if decoder_of(settings, judged.single) == "top_k":
        return replace(choice, settings=choice.settings.model_copy(update={"scope": "global"}))
    return _with_threshold(judged, choice)


def _with_calibration(judged: Judged, choice: Choice) -> Choice:
    """Choose by likelihood, among those whose labels are not worse where nothing follows."""
    settings, single = choice.settings, judged.single
    methods = get_args(Calibration)
    decoder = decoder_of(settings, single)
    direct = decoder == "top_k" or settings.fixed is not None
    step = settings if direct else settings.model_copy(update=PLAIN)
    way: Decode = decoder if decoder == "top_k" else "threshold"
    losses, predicted = [], []
    counts = np.zeros(len(judged.labels))
    for method in methods:
        tried = step.model_copy(update={"calibration": method, "scope": "global"})

        def fit(
            truth: np.ndarray, own: np.ndarray, near: np.ndarray, tried: Threshold = tried
        ) -> Apply:
            decision = fit_decision(truth, own, near, tried, single, way)
            return lambda held: np.stack([decision.calibrator(held), decision(held)], -1)

        both = judged.cross_fitted(fit)
        loss, counts = image_losses(judged.labels, both[..., 0], single)
        losses.append(loss)
        predicted.append(both[..., 1].astype(np.int8))
    if not counts.any():
        raise ValueError("there is no labelled score to calibrate by")
    values, drawn = _likelihoods(np.stack([*losses, counts], 1), judged.draws)
    spoiled: set[int] = set()
    if direct:
        scores = BootstrapScores(judged.labels, predicted, settings.objective, judged.draws)
        gains = [
            paired_gain(scores.values, scores.draws, index, 0) for index in range(len(methods))
        ]
        spoiled = {index for index, gain in enumerate(gains) if gain.verdict == "hurts"}
    place, rows = simplest_of_best(methods, values, drawn, spoiled)
    candidates = {
        name: {"nll": -float(value)} | row
        for (name, row), value in zip(rows.items(), values, strict=True)
    }
    method = methods[place]
    found = {"taken": method, "judged_by": "nll", "candidates": candidates}
    return replace(
        choice,
        settings=settings.model_copy(update={"calibration": method}),
        left_out=(*choice.left_out, *(["+ calibration"] if method == "none" else [])),
        evidence=choice.evidence | {"calibration": found},
    )


def _likelihoods(sums: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Minus the loss per label, (candidates,) and drawn; the last column counts labels."""

    def mean(total: np.ndarray) -> np.ndarray:
        return -total[..., :-1] / np.maximum(total[..., -1:], 1)

    return mean(sums.sum(0)), np.concatenate([mean(each @ sums) for each in draw(len(sums), draws)])


def _with_threshold(judged: Judged, choice: Choice) -> Choice:
    """Choose a scope by the objective, then whether a count prior may follow."""
    settings, single = choice.settings, judged.single
    steps: dict[str, dict[str, Any]] = {"plain": PLAIN, "global": {"scope": "global"}}
    if not settings.common_only:
        steps |= {"shrunk": {"scope": "shrunk"}, "per_class": {"scope": "per_class"}}
    ways: list[tuple[Threshold, Decode]] = [
        (settings.model_copy(update=update), "threshold") for update in steps.values()
    ]
    last = decoder_of(settings, single)
    if last != "threshold":
        ways.append((ways[0][0], last))

    def fit(truth: np.ndarray, own: np.ndarray, near: np.ndarray) -> Apply:
        calibrator = fit_calibrator(truth, own, calibration_of(settings), single)
        decisions = [fit_decoder(truth, own, near, *way, calibrator) for way in ways]
        return lambda held: np.stack([each(held) for each in decisions], -1)

    predicted = judged.cross_fitted(fit)
    sets = list(np.moveaxis(predicted, -1, 0))
    scores = BootstrapScores(judged.labels, sets, settings.objective, judged.draws)
    many = len(steps)
    place, rows = simplest_of_best(list(steps), scores.values[:many], scores.draws[:, :many])
    candidates = {
        name: {"score": float(value)} | row
        for (name, row), value in zip(rows.items(), scores.values, strict=False)
    }
    found: dict[str, Any] = {
        "threshold": {
            "taken": list(steps)[place],
            "judged_by": settings.objective.name,
            "candidates": candidates,
        }
    }
    taken, left_out = ways[place][0], ["+ threshold"] * (place == 0)
    if last != "threshold":
        gain = paired_gain(scores.values, scores.draws, many, place)
        hurts = gain.verdict == "hurts"
        found["decoder"] = {
            "taken": "threshold" if hurts else last,
            "judged_by": settings.objective.name,
            "candidates": {
                last: {"score": float(scores.values[many])}
                | said(gain, not hurts, "hurts" if hurts else "")
            },
        }
        if hurts:
            taken = taken.model_copy(update={"decode": "threshold"})
            left_out.append("+ count prior")
    return Choice(taken, (*choice.left_out, *left_out), {}, choice.evidence | found)


def _in_short(settings: Threshold, single: bool) -> str:
    """`platt, shrunk, threshold`, say."""
    decoder = decoder_of(settings, single)
    scope = settings.scope if settings.fixed is None else f"p >= {settings.fixed:g}"
    words = [str(settings.calibration), scope, decoder]
    return ", ".join(word for word in words if decoder != "top_k" or word != scope)
