"""Logits and probabilities, without overflow."""

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of each logit, float64."""
    logits = np.asarray(logits, np.float64)
    return np.exp(log_sigmoid(logits))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logarithm of each logit's probability, exact where the probability itself would be 0 or 1."""
    logits = np.asarray(logits, np.float64)
    return -np.logaddexp(0, -logits)


def logit(probability: float) -> float:
    """The logit of a probability strictly between 0 and 1."""
    return float(np.log(probability) - np.log1p(-probability))
