"""What choosing cost: the gain of the best of many trials, on images that did not choose it.

The best of many noisy scores lies above its own mean, so its gain over the base is too high even
where no trial is better (Cawley and Talbot 2010, "On over-fitting in model selection"). In a nested
estimate each fold is scored by the trial that the other folds choose (Varma and Simon 2006, "Bias
in error estimation when using cross-validation for model selection"); the trials are trained
already, so nothing is trained anew. Its interval is

    gain -+ sqrt(z^2 V + t^2 (d - 1) W)

V is the variance over images: draws with replacement, the choice made anew in each (after
Tsamardinos, Greasidou and Borboudakis 2018, "Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation"). It is too little: who trains again with another seed gets
another score, and a lucky base looks beyond its trials' reach on any images. One model per trial
and fold gives that away, as folds then disagree on which trial is better by more than their images
explain. Fold scores less the means of their trial and of their fold, the interaction of an analysis
of variance (Scheffe 1959, "The analysis of variance"), have a sum of squares; d is this divided by
what it is over draws, an overdispersion (McCullagh and Nelder 1989, "Generalized linear models"). W
is V without a new choice, so that (d - 1) W is what training adds: little to a trial that differs
from the base in few images, as one that changes what comes after training. z and t are the 97.5 %
quantiles of the normal distribution and of Student's, of (trials - 1) (folds - 1) degrees of
freedom.

Not in it: that a search proposes trials in view of what earlier ones scored on all folds; and that
trials which share the base's models share its luck, so that a search of these and of a few that are
trained anew, alike in score, has an interval somewhat too short.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from scipy.stats import norm, t

from foldwise.scoring.bootstrap import DRAWS, LEVEL, BootstrapScores, Interval
from foldwise.scoring.cross_fitting import with_several
from foldwise.scoring.objective import Objective
from foldwise.tuning.fold_sums import FoldSums

# Noise is estimated from the base and the better half of the other trials, or all of so few: one
# that fails in one fold says nothing of how others vary. Mean scores are independent of the
# interaction, which therefore stays what it is.
FEW = 4


def nested_gain(
    labels: np.ndarray,
    predicted: np.ndarray,
    objective: Objective,
    folds: np.ndarray,
    seen: Collection[int] = (),
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Gain of choosing among trials over the first of them, the base.

    A hold-out's images are parted in five. They share one model per trial, so that nothing tells
    the luck of training from a gain: value and interval are of images alone, and too good.

    Args:
        labels: (images, classes): 1, 0 or -1.
        predicted: (trials, images, classes), 1 or 0, none fitted on the image itself; the base
            first.
        objective: the score, by which trials are chosen too.
        folds: (images,).
        seen: folds by which trials were dropped before. Their images take part in the choice, but
            are not scored, unless there are no others.
        draws: of the bootstrap.

    Returns:
        `value`, `low`, `high` (95 % interval), `verdict` (helps, hurts or within noise); `choices`,
        the share of draws and folds in which each trial is chosen; `images`, how many are scored;
        `noise`, what the interval holds: images, and training if folds tell.

    Two trials that are best on one fold are chosen for the other, where they fail:

    >>> labels, folds = np.ones((8, 1), np.int8), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> trials = np.array([[1, 1, 1, 0, 1, 1, 1, 0], [1] * 4 + [0] * 4, [0] * 4 + [1] * 4])
    >>> found = nested_gain(labels, trials[..., None], Objective(name="accuracy"), folds)
    >>> found["value"], found["verdict"], found["images"]
    (-0.75, 'within noise', 8)
    """
    if len(predicted) == 1:
        nothing = {"value": 0.0, "low": 0.0, "high": 0.0, "verdict": "within noise"}
        return nothing | {"choices": [1.0], "images": len(labels), "noise": []}
    held_out = len(np.unique(folds)) == 1
    names, place = np.unique(with_several(folds), return_inverse=True)
    scored = np.ones(len(names), bool) if held_out else ~np.isin(names, list(seen))
    scored |= not scored.any()
    found, choices = _estimate(
        FoldSums(labels, predicted, objective, place), scored, not held_out, draws
    )
    return {
        **{"value": found.value, "low": found.low, "high": found.high, "verdict": found.verdict},
        "choices": choices.tolist(),
        "images": int(scored[place].sum()),
        "noise": ["images"] if held_out else ["images", "training"],
    }


def _estimate(
    sums: FoldSums, scored: np.ndarray, trained: bool, draws: int
) -> tuple[Interval, np.ndarray]:
    """The gain, and how often each trial is chosen, (trials,), in all 1.

    Args:
        sums: of folds and trials.
        scored: (folds,) bool.
        trained: whether each fold has its own models.
        draws: of the bootstrap.
    """
    trials = sums.whole.shape[1]
    # Two folds can disagree, one cannot.
    compared = np.flatnonzero(scored if scored.sum() > 1 else scored | True)[:, None]
    best = sums.best()
    steady = np.sort([0, *best[: max(FEW, len(best) // 2)]])
    choice = sums.choice(sums.whole)[scored]
    again, fixed, residuals, counts = [], [], [], np.zeros(trials)
    for drawn in sums.drawn(draws):
        choices = sums.choice(drawn)[:, scored]
        again.append(sums.gain(drawn[:, scored], choices))
        fixed.append(sums.gain(drawn[:, scored], np.broadcast_to(choice, choices.shape)))
        residuals.append(sums.interaction(drawn[:, compared, steady]))
        counts += np.bincount(choices.ravel(), minlength=trials)
    quantile = (1 + LEVEL) / 2
    variance = norm.ppf(quantile) ** 2 * np.concatenate(again).var()
    expected = np.concatenate(residuals).var(0).sum()
    if trained and expected:
        dispersion = (sums.interaction(sums.whole[compared, steady]) ** 2).sum() / expected
        student = t.ppf(quantile, (len(steady) - 1) * (len(compared) - 1))
        variance += student**2 * max(0.0, dispersion - 1) * np.concatenate(fixed).var()
    value, half = float(sums.gain(sums.whole[scored], choice)), float(np.sqrt(variance))
    return Interval(value, value - half, value + half), counts / counts.sum()


def within_noise(
    labels: np.ndarray,
    predicted: np.ndarray,
    objective: Objective,
    winner: int,
    draws: int = DRAWS,
) -> list[int]:
    """Trials that are not worse than the winner beyond noise of images, itself among them.

    Args:
        labels: (images, classes): 1, 0 or -1.
        predicted: (trials, images, classes): 1 or 0.
        objective: the score.
        winner: whose interval of score minus theirs (95 %, paired) reaches 0.
        draws: of the bootstrap.

    The second trial misses one image of ten, the third all:

    >>> labels, rights = np.ones((10, 1), np.int8), (10, 9, 0)
    >>> trials = np.array([[1] * right + [0] * (10 - right) for right in rights])[..., None]
    >>> within_noise(labels, trials, Objective(name="accuracy"), winner=0)
    [0, 1]
    """
    scores = BootstrapScores(labels, list(predicted), objective, draws)
    near = []
    for trial in range(len(predicted)):
        weights = np.zeros(len(predicted))
        weights[winner] += 1
        weights[trial] -= 1
        gain = scores.interval(weights)
        if trial == winner or gain.low <= 0 <= gain.high:
            near.append(trial)
    return near
