"""Logits and probabilities, without overflow. All logarithms are natural."""

import numpy as np
from scipy.special import logsumexp


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of each logit, float64.

    1 / (1 + exp(-z)) of a logit z, of any shape.

    >>> sigmoid(np.array([0.0, -1000.0])).round(3).tolist()
    [0.5, 0.0]
    """
    return np.exp(log_sigmoid(logits))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logarithm of each logit's probability, exact where the probability itself would be 0 or 1.

    -log(1 + exp(-z)) of a logit z, of any shape.

    >>> log_sigmoid(np.array([-1000.0, 1000.0])).tolist()
    [-1000.0, 0.0]
    """
    logits = np.asarray(logits, np.float64)
    return np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))


def logit(probability: float) -> float:
    """The logit of a probability strictly between 0 and 1: log(p / (1 - p)).

    >>> logit(0.5)
    0.0
    >>> round(logit(0.75), 4)  # log 3
    1.0986
    """
    return float(np.log(probability) - np.log1p(-probability))


def log1mexp(logarithm: np.ndarray) -> np.ndarray:
    """log(1 - p) of log p < 0, in the form that is exact on both sides of -log 2.

    Maechler 2012, "Accurately computing log(1 - exp(-|a|))". -inf where float64 holds no difference
    from 1.

    >>> round(float(np.exp(log1mexp(np.log(0.25)))), 6)
    0.75
    """
    with np.errstate(divide="ignore"):
        return np.where(
            logarithm > -np.log(2), np.log(-np.expm1(logarithm)), np.log1p(-np.exp(logarithm))
        )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities of classes that exclude each other, (images, classes).

    z - log(sum over classes of exp(z)).

    >>> np.exp(log_softmax(np.log([[1, 3]]))).round(6).tolist()
    [[0.25, 0.75]]
    """
    logits = np.asarray(logits, np.float64)
    return logits - logsumexp(logits, axis=1, keepdims=True)


def one_vs_rest_log_odds(logarithms: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) of log p (images, classes), whose p sum to 1 in every row.

    >>> odds = np.exp(one_vs_rest_log_odds(np.log([[0.2, 0.8]])))
    >>> odds.round(6).tolist()
    [[0.25, 4.0]]
    """
    others = log1mexp(np.minimum(logarithms, 0.0))
    # Near p = 1 the difference is lost; there the others are added up. Only the largest can be.
    rows, best = np.arange(len(logarithms)), logarithms.argmax(1)
    rest = logarithms.copy()
    rest[rows, best] = -np.inf
    if logarithms.shape[1] > 1:
        others[rows, best] = logsumexp(rest, axis=1)
    return logarithms - others
