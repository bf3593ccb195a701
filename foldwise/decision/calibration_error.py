"""How far probabilities are from how often labels are there."""

import numpy as np
import pandas as pd

from foldwise.decision.calibrator import calibrated_scores
from foldwise.scoring.probability import log_sigmoid, sigmoid

BINS = 15


def calibration_errors(labels: np.ndarray, logits: np.ndarray, softmax: bool) -> dict[str, float]:
    """Expected calibration error, Brier score and negative log-likelihood (nats); lower is better.

    Of several labels per image each is a forecast of its own: errors are means over images and
    classes. Where classes exclude each other, `ece` is of the largest probability (Guo et al.
    2017), `brier` the sum over classes of squared errors (Brier 1950), `nll` the true class's.

    ECE is the sum over bins of (labels in the bin / all labels) |mean probability - frequency|
    (Naeini et al. 2015), the Brier score the mean of (p - label)^2, the negative log-likelihood
    that of -log p for a label that is present and of -log(1 - p) for one that is absent.

    Args:
        labels: (images, classes): 1, 0, or -1, which takes no part.
        logits: (images, classes): log-odds of each class.
        softmax: whether classes exclude each other.

    Two forecasts of p = 3/4, of which one comes true:

    >>> errors = calibration_errors(np.array([[1, 0]]), np.log([[3, 3]]), softmax=False)
    >>> {name: round(value, 4) for name, value in errors.items()}
    {'ece': 0.25, 'brier': 0.3125, 'nll': 0.837}
    """
    if softmax:
        rows = (labels == 1).sum(1) == 1
        scores, truth = calibrated_scores(logits[rows], True), labels[rows] == 1
        errors = ((np.exp(scores) - truth) ** 2).sum(1)
        likelihood = scores[truth]
    else:
        used = labels >= 0
        scores, truth = logits[used].astype(np.float64), labels[used] == 1
        errors = (sigmoid(scores) - truth) ** 2
        likelihood = log_sigmoid(np.where(truth, scores, -scores))
    table = reliability(labels, logits, softmax)
    gaps = (table["probability"] - table["frequency"]).abs()
    return {
        "ece": float((gaps * table["count"]).sum() / table["count"].sum()),
        "brier": float(errors.mean()),
        "nll": -float(likelihood.mean()),
    }


def image_losses(
    labels: np.ndarray, logits: np.ndarray, softmax: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What each image adds to the negative log-likelihood, and of how many labels; both (images,).

    The sum of the one over that of the other is `nll` of `calibration_errors`, whose arguments
    these are.

    >>> losses, counts = image_losses(np.array([[1, 0], [1, -1]]), np.zeros((2, 2)), softmax=False)
    >>> losses.round(3).tolist(), counts.tolist()
    ([1.386, 0.693], [2, 1])
    """
    if softmax:
        rows = (labels == 1).sum(1) == 1
        scores = calibrated_scores(logits, True)[np.arange(len(labels)), labels.argmax(1)]
        return np.where(rows, -scores, 0.0), rows.astype(int)
    used = labels >= 0
    scores = np.asarray(logits, np.float64)
    losses = -log_sigmoid(np.where(labels == 1, scores, -scores))
    return np.where(used, losses, 0.0).sum(1), used.sum(1)


def reliability(
    labels: np.ndarray, logits: np.ndarray, softmax: bool, bins: int = BINS
) -> pd.DataFrame:
    """`probability` (mean), `frequency` and `count` of the labels in each bin that has any.

    Bins have equal widths (Naeini et al. 2015). Arguments as for `calibration_errors`; where
    classes exclude each other, what is counted is whether the class of the largest probability is
    the true one.

    >>> reliability(np.array([[1, 0]]), np.log([[3, 3]]), softmax=False).round(6).to_dict("list")
    {'probability': [0.75], 'frequency': [0.5], 'count': [2]}
    """
    if softmax:
        rows = (labels == 1).sum(1) == 1
        p = np.exp(calibrated_scores(logits[rows], True))
        probabilities, truth = p.max(1), p.argmax(1) == labels[rows].argmax(1)
    else:
        used = labels >= 0
        probabilities, truth = sigmoid(logits[used]), labels[used] == 1
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    return pd.DataFrame(
        {
            "probability": np.bincount(place, probabilities, bins)[filled] / count[filled],
            "frequency": np.bincount(place, truth, bins)[filled] / count[filled],
            "count": count[filled],
        }
    )
