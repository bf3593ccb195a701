"""How much each member weighs, fitted on held-out predictions."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.optimize import nnls

from foldwise.ensembling.settings import Merge
from foldwise.scoring.probability import log_sigmoid, sigmoid

ROUNDS = 50


def fit_member_weights(
    labels: np.ndarray, logits: np.ndarray, how: Literal["greedy", "simplex"], merge: Merge
) -> np.ndarray:
    """Weights of members, not negative, summing to 1: (members,) float64.

    - greedy (Caruana et al. 2004, "Ensemble selection from libraries of models"): the member that
      lowers the negative log-likelihood of the mean most is added, with replacement, `ROUNDS`
      times; weights are how often each was taken until the lowest value of all.
    - simplex: the weighted mean of probabilities with the smallest squared error.

    Args:
        labels: (images, classes): 1, 0, or -1, which takes no part.
        logits: (images, members, classes).
        how: which.
        merge: mean_probability, or (greedy) mean_logit.

    The second member is right where the first one knows nothing, so it gets all the weight:

    >>> labels, logits = np.array([[1], [0]]), np.array([[[0], [9]], [[0], [-9]]])
    >>> fit_member_weights(labels, logits, "greedy", "mean_probability").round(3).tolist()
    [0.0, 1.0]
    """
    used = labels >= 0
    truth = labels[used] == 1
    members = [logits[:, index][used] for index in range(logits.shape[1])]
    if how == "simplex":
        return _simplex(np.stack([sigmoid(each) - truth for each in members]))
    signed = np.stack([np.where(truth, each, -each) for each in members]).astype(np.float64)
    if merge == "mean_logit":
        return _greedy(signed, log_likelihood=log_sigmoid)
    return _greedy(sigmoid(signed), log_likelihood=np.log)


def _greedy(values: np.ndarray, log_likelihood: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Take members by the likelihood of their mean; `values` are (members, labels)."""
    taken: list[int] = []
    total = np.zeros(values.shape[1])
    reached = []
    # Likelihoods of 0 are for members that are certain and wrong.
    with np.errstate(divide="ignore"):
        for size in range(1, ROUNDS + 1):
            gains = [log_likelihood((total + each) / size).mean() for each in values]
            best = int(np.argmax(gains))
            taken.append(best)
            reached.append(gains[best])
            total += values[best]
    kept = taken[: int(np.argmax(reached)) + 1]
    return np.bincount(kept, minlength=len(values)) / len(kept)


def _simplex(errors: np.ndarray) -> np.ndarray:
    """Weights w on the simplex of the smallest |w . errors|^2, of errors (members, labels).

    Least squares of [R; 1] w = [0; 1] with w >= 0 and R'R = errors errors' has its solution in the
    same direction: for a direction u that sums to 1, the best length leaves h / (1 + h) of
    h = |R u|^2, which rises with h.
    """
    gram = errors @ errors.T / errors.shape[1]
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    # Brought near 1, so that both parts of the system have a like scale.
    root /= max(float(np.abs(root).max()), np.finfo(float).tiny)
    members = len(errors)
    system = np.vstack([root, np.ones((1, members))])
    found, _ = nnls(system, np.append(np.zeros(members), 1.0))
    weights: np.ndarray = found / found.sum()
    return weights
