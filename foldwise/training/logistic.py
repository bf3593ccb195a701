"""The head on frozen features solved to its optimum: logistic regression, instead of steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from threadpoolctl import threadpool_limits
from torch import nn

from foldwise.model.classifier import Classifier
from foldwise.scoring.cross_fitting import with_several

# Of the gradient's largest entry, per row of the sum of losses.
TOLERANCE = 1e-6
ENOUGH_TO_CHOOSE = 1e-4
ROUNDS = 2000
LARGE = 10_000_000
"""Features of all rows, from which products are worth several threads."""


@dataclass(frozen=True)
class Rows:
    """What is fitted to: one row per image and view."""

    inputs: np.ndarray
    """float64 (rows, directions)."""
    labels: np.ndarray
    """(rows, classes): 1, 0 or -1, which takes no part."""
    weight: float
    """Of a row: all views of an image together weigh 1."""


def fit_head(
    network: Classifier,
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    strengths: Sequence[float],
    softmax: bool,
) -> float:
    """Give a network's last layer the weights of smallest regularised loss.

    The loss of scikit-learn's LogisticRegression: C times the sum of all rows' cross-entropies, of
    each class by itself or of a softmax, plus half the squared length of the weights, without the
    offsets. C is the one whose models have the smallest cross-entropy where they are fitted on the
    other groups; one for all classes, as rare ones say little about theirs.

    Args:
        network: its feature statistics are those of these features afterwards.
        views: float32 (images, features) of each view, all of which count alike.
        labels: (images, classes): 1, 0 or -1.
        groups: (images,): folds of the images that are trained on.
        strengths: values of C to choose from, rising.
        softmax: every image has one class.

    Returns:
        The chosen C.
    """
    together = torch.from_numpy(np.concatenate(views))
    if isinstance(network.norm, nn.BatchNorm1d):
        _take_statistics(network.norm, together)
    network.eval()
    with torch.inference_mode():
        normal = network.normalized(together).double().numpy()
    count = len(views)
    # Threads that wait for each other take several times as long for small products.
    threads = 1 if normal.size < LARGE else None
    with threadpool_limits(threads, user_api="blas"):
        inputs, back = _rotated(normal)
        chosen = strengths[0]
        if len(strengths) > 1:
            # On the first view alone, in a quarter of the time that two take.
            first = Rows(inputs[: len(labels)], labels, 1.0)
            chosen = _best_strength(first, with_several(groups), strengths, softmax)
        rows = Rows(inputs, np.tile(labels, (count, 1)), 1 / count)
        solved = solve(rows, chosen, softmax)
    with torch.no_grad():
        network.fc.weight.copy_(torch.from_numpy((back @ solved[:-1]).T))
        network.fc.bias.copy_(torch.from_numpy(solved[-1]))
    return chosen


def _take_statistics(norm: nn.BatchNorm1d, features: torch.Tensor) -> None:
    """Mean and variance of these features, by which new ones are standardised."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    exact = features.double()
    norm.running_mean.copy_(exact.mean(0))
    norm.running_var.copy_(exact.var(0, unbiased=False))


def _rotated(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows in as many directions as they span, and the way back, (features, directions).

    Weights of smallest length lie in the rows' span: with few images and many features, the same
    problem in a fraction of the time.
    """
    rows, features = inputs.shape
    if rows >= features:
        return inputs, np.eye(features)
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    spanned = values > values[0] * 1e-9
    return left[:, spanned] * values[spanned], right[spanned].T


def _best_strength(
    rows: Rows, groups: np.ndarray, strengths: Sequence[float], softmax: bool
) -> float:
    losses = np.zeros(len(strengths))
    for group in np.unique(groups):
        own = groups == group
        inputs, back = _rotated(rows.inputs[~own])
        fitted = Rows(inputs, rows.labels[~own], rows.weight)
        left = Rows(rows.inputs[own] @ back, rows.labels[own], rows.weight)
        weights = None
        for index, strength in enumerate(strengths):
            # From the last one's, which is near.
            weights = solve(fitted, strength, softmax, weights, ENOUGH_TO_CHOOSE)
            losses[index] += loss_and_slope(weights, left, softmax)[0]
    return strengths[int(losses.argmin())]


def solve(
    rows: Rows,
    strength: float,
    softmax: bool,
    start: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Weights, the offsets below them: float64 (directions + 1, classes).

    All classes at once, by L-BFGS: a fit per class would read the rows once for each of them.
    """
    shape = rows.inputs.shape[1] + 1, rows.labels.shape[1]
    begin = np.zeros(shape) if start is None else start

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        loss, slope = loss_and_slope(weights, rows, softmax)
        pulled = weights.copy()
        pulled[-1] = 0
        return loss + (pulled**2).sum() / strength / 2, (slope + pulled / strength).ravel()

    found = minimize(
        objective,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": ROUNDS,
            "maxfun": 2 * ROUNDS,
            "gtol": tolerance * len(rows.inputs) * rows.weight,
            "ftol": 0,
            "maxcor": 20,
        },
    )
    weights: np.ndarray = found.x.reshape(shape)
    return weights


def loss_and_slope(weights: np.ndarray, rows: Rows, softmax_: bool) -> tuple[float, np.ndarray]:
    """Sum of the rows' cross-entropies, without regularisation, and its gradient.

    Args:
        weights: (directions + 1, classes).
        rows: labelled.
        softmax_: rows have one class; those without any take no part.
    """
    logits = rows.inputs @ weights[:-1] + weights[-1]
    truth = rows.labels == 1
    if softmax_:
        used = (truth.any(1) * rows.weight)[:, None]
        loss = -(log_softmax(logits, 1) * truth * used).sum()
        error = (softmax(logits, 1) - truth) * used
    else:
        counts = (rows.labels >= 0) * rows.weight
        loss = ((np.logaddexp(0, logits) - truth * logits) * counts).sum()
        error = (expit(logits) - truth) * counts
    slope = np.vstack([rows.inputs.T @ error, error.sum(0)])
    return float(loss), slope
