"""How likely it is that a mean loss lies above a limit, by bets against it.

Bounds that know of losses only that they lie between 0 and 1 take them for as scattered as losses
of 0 or 1 are. Bets notice if they are not (Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting").
"""

from math import log, sqrt

import numpy as np

SCATTER = (1.0, 0.5, 0.25, 0.125)
"""Standard deviations for which a bet is best, as parts of the largest one; the means of images'
labels scatter much less than yes and no."""


def bets(images: int, limit: float, error: float) -> np.ndarray:
    """What to stake against each image's loss, by nothing that a label decides.

    Against losses of deviation s the best stake is about sqrt(2 log(1 / error) / n) / s; more than
    1 / (1 - limit) could lose all.

    Args:
        images: n, how many losses there are.
        limit: that their expectation may not exceed, between 0 and 1.
        error: of the test.

    >>> bets(500, 0.1, 0.1).round(3).tolist()
    [0.32, 0.64, 1.111]
    """
    largest = sqrt(limit * (1 - limit))
    wanted = sqrt(2 * log(1 / error) / images) / (largest * np.array(SCATTER))
    return np.unique(np.minimum(wanted, 1 / (1 - limit)))


def betting_p_values(losses: np.ndarray, limit: float, error: float) -> np.ndarray:
    """Of every column one over the mean of what several bets have made of 1, at most 1.

    Where the expected loss is a or more, prod(1 + s (a - loss)) over independent images is 1 or
    less in expectation, for any stake s of 0 to 1 / (1 - a); so is the mean over stakes, and it
    exceeds 1 / p at most with probability p (Markov). Neither the images' order matters, nor can a
    larger loss make it larger.

    Args:
        losses: (images, thresholds), between 0 and 1.
        limit: a, between 0 and 1.
        error: for which stakes are best.

    >>> losses = np.array([[0.05, 0.1, 0.2]] * 500)
    >>> betting_p_values(losses, 0.1, 0.1).round(4).tolist()
    [0.0, 1.0, 1.0]
    """
    if not len(losses):
        return np.ones(losses.shape[1])
    gains = limit - losses
    # A stake of all that is there may lose it: log 0.
    with np.errstate(divide="ignore"):
        capital = [np.log1p(stake * gains).sum(0) for stake in bets(len(losses), limit, error)]
    log_mean = np.logaddexp.reduce(capital, axis=0) - log(len(capital))
    return np.exp(-np.maximum(log_mean, 0.0))
