"""Decoding labels together, knowing how many an image has.

Logits say of each label how likely it is; nothing in them says that an image has 10 to 14. Where
the labels of an image are independent, their number has a Poisson-binomial distribution. The model
here keeps the labels' odds and reweights their number:

    P(labels) ~ weight(number of labels) * prod p^label (1 - p)^(1 - label)

with weight(k) = share of training images with k labels / share that the probabilities themselves
give k, on average over images. If they already know the number, all weights are 1.

Say that of two labels of p = 3/4 and 1/2 exactly one is there. It is the first with odds of
3/4 1/2 to 1/4 1/2, which is 3 to 1.
"""

from collections.abc import Iterator

import numpy as np

from foldwise.scoring.probability import sigmoid

# (images, classes, classes) float64 numbers are held, of so many images that they are no more.
HELD = 2**20


def _chunks(logits: np.ndarray) -> Iterator[slice]:
    images, classes = logits.shape
    size = max(1, HELD // (classes + 1) ** 2)
    return (slice(start, start + size) for start in range(0, images, size))


def count_distribution(logits: np.ndarray) -> np.ndarray:
    """Poisson-binomial distribution of the number of labels, (images, classes + 1) float64.

    One label after the other is added (Barlow and Heidtmann 1984): P(k) of n labels is
    p_n P(k - 1) + (1 - p_n) P(k) of n - 1. O(images x classes^2) time.

    Args:
        logits: (images, classes): calibrated.

    >>> count_distribution(np.array([[0.0, 0.0]])).round(6).tolist()
    [[0.25, 0.5, 0.25]]
    """
    p = sigmoid(logits)
    counts = np.zeros((len(p), p.shape[1] + 1))
    counts[:, 0] = 1
    for index in range(p.shape[1]):
        _add_label(counts, p[:, index])
    return counts


def _add_label(counts: np.ndarray, p: np.ndarray) -> None:
    """One label more, in place."""
    moved = counts[:, :-1] * p[:, None]
    counts *= (1 - p)[:, None]
    counts[:, 1:] += moved


def fit_count_weights(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Weights of the numbers of labels, (classes + 1,), their largest 1.

    Both shares are of one image more, whose number may be any: a number that was never seen is
    rare, not impossible. Images with an ignored label do not count.

    Args:
        labels: (images, classes).
        logits: (images, classes): calibrated.

    Raises:
        ValueError: every image has a label that is ignored.

    An image has one of two labels of p = 1/2; with 1/3 of an image more for each number,
    (1/3, 4/3, 1/3) over (7/12, 10/12, 7/12) is (4/7, 8/5, 4/7):

    >>> fit_count_weights(np.array([[1, 0]]), np.array([[0.0, 0.0]])).round(3).tolist()
    [0.357, 1.0, 0.357]
    """
    whole = np.asarray((labels >= 0).all(1))
    if not whole.any():
        raise ValueError(
            "every image has an ignored label, so nobody knows how many labels it has; write "
            "`decode: threshold`"
        )
    classes = labels.shape[1]
    seen = np.bincount((labels[whole] == 1).sum(1), minlength=classes + 1)
    given = np.zeros(classes + 1)
    for rows in _chunks(logits):
        given += count_distribution(logits[rows][whole[rows]]).sum(0)
    any_number = 1 / (classes + 1)
    weights = (seen + any_number) / (given + any_number)
    return weights / weights.max()


def posterior(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability of each label, given the weights of their number: (images, classes) float64.

    Exact: what lies before a label (forward) and behind it (backward) are Poisson-binomial sums,
    of which every term is positive, so nothing cancels. O(images x classes^2) time.

    Where only one number has a weight, this is the conditional Bernoulli model (Chen and Liu 1997).

    Args:
        logits: (images, classes): calibrated.
        weights: (classes + 1,), of no label to all of them; not negative.

    >>> posterior(np.log([[3.0, 1.0]]), np.array([0.0, 1.0, 0.0])).round(6).tolist()
    [[0.75, 0.25]]
    """
    result = np.empty(logits.shape)
    for rows in _chunks(logits):
        result[rows] = _posterior(sigmoid(logits[rows]), weights)
    return result


def _posterior(p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    images, classes = p.shape
    # behind[j][:, k]: expected weight if k labels are there before j.
    behind = np.empty((classes + 1, images, classes + 1))
    behind[classes] = weights
    for index in reversed(range(classes)):
        each = p[:, index, None]
        behind[index] = behind[index + 1] * (1 - each)
        behind[index][:, :-1] += behind[index + 1][:, 1:] * each
    before = np.zeros((images, classes + 1))
    before[:, 0] = 1
    result = np.empty(p.shape)
    for index in range(classes):
        present = p[:, index] * np.einsum("nk,nk->n", before[:, :-1], behind[index + 1][:, 1:])
        absent = (1 - p[:, index]) * np.einsum("nk,nk->n", before, behind[index + 1])
        result[:, index] = present / (present + absent)
        _add_label(before, p[:, index])
    return result


def marginal_decision(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The labels with the highest expected number right, int8 (images, classes).

    Expectation is linear, so these are the labels that are there with at least 1/2: the marginal
    decision, optimal for Hamming loss (Dembczynski et al. 2012, "On label dependence and loss
    minimization in multi-label classification"). Arguments as for `posterior`.

    Three labels are alike and one of them is there: each with about 1/3, so none is said to be.

    >>> marginal_decision(np.array([[0.0, 0.0, 0.0]]), np.array([0.01, 1, 0.01, 0.01])).tolist()
    [[0, 0, 0]]
    """
    return (posterior(logits, weights) >= 0.5).astype(np.int8)


def map_decision(logits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The likeliest set of labels, which maximises the probability of an exact match; int8.

    Of all sets of k labels the k largest logits are the likeliest, with odds of the exponential of
    their sum; so there are classes + 1 candidates. The MAP decision, optimal for subset 0/1 loss
    (Dembczynski et al. 2012). Arguments as for `posterior`, but weights are above 0. Of equal
    logits the first come first.

    >>> map_decision(np.array([[0.0, 0.0, 0.0]]), np.array([0.01, 1, 0.01, 0.01])).tolist()
    [[1, 0, 0]]
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    ranked = np.take_along_axis(logits, order, 1).astype(np.float64)
    sums = np.concatenate([np.zeros((len(logits), 1)), ranked.cumsum(1)], 1)
    best = (sums + np.log(weights)).argmax(1)
    labels = np.zeros(logits.shape, np.int8)
    chosen = (np.arange(logits.shape[1]) < best[:, None]).astype(np.int8)
    np.put_along_axis(labels, order, chosen, 1)
    return labels
