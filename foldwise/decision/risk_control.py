"""Thresholds that keep a risk on new images below a limit, with a confidence.

A risk is the mean over images of a loss between 0 and 1. A threshold is taken only after a test has
refused that its risk is above the limit; thresholds are tested one after another, in an order that
does not depend on the labels, up to the first one that cannot be refused, so that all of them
together are wrong at most as often as one (Learn then Test: Angelopoulos, Bates, Candes, Jordan and
Lei 2021; for a risk that falls with the threshold as well: Bates, Angelopoulos, Lei, Malik and
Jordan 2021, "Distribution-free, risk-controlling prediction sets"). It holds for images that come
from where these came from, and were scored in the same way.
"""

from bisect import bisect
from dataclasses import dataclass
from math import ceil, log, log1p

import numpy as np
from scipy.stats import binom

from foldwise.decision.betting import betting_p_values
from foldwise.scoring.thresholds import between

STARTS = (0.1, 0.25, 0.5, 1.0)
"""Shares of all images from which on a precision is tested, each with its part of the error: a
single wrong label among the first few would end a single row of tests at once."""


@dataclass(frozen=True)
class MeanLoss:
    """The mean loss of some images at any threshold.

    >>> loss = MeanLoss(np.array([1.0, 2.0]), np.array([0.0, 0.5, 1.0]), images=2, binary=True)
    >>> loss.at(np.array([1.0, 1.5, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    scores: np.ndarray
    """(labels,) rising; the loss changes where the threshold passes one."""
    from_there: np.ndarray
    """(labels + 1,): the mean loss where all scores from that one on are predicted."""
    images: int
    binary: bool
    """Whether an image's loss is 0 or 1, nothing in between."""

    def at(self, thresholds: np.ndarray) -> np.ndarray:
        """The mean loss where labels are `score >= threshold`, of every threshold."""
        return self.from_there[np.searchsorted(self.scores, thresholds)]


def p_values(
    mean: np.ndarray, images: int | np.ndarray, limit: float, binary: bool = False
) -> np.ndarray:
    """How likely a mean loss so small is at most, where its expectation is above a limit.

    Of a loss of 0 or 1 the binomial distribution tells; of others the smaller of Hoeffding's bound,
    exp(-n h(min(m, a), a)) with h(m, a) = m log(m / a) + (1 - m) log((1 - m) / (1 - a)), and
    Bentkus', e P(Bin(n, a) <= ceil(n m)) (Bates et al. 2021, section 3.1).

    Args:
        mean: of losses, any shape.
        images: n, how many losses; a number or as many as means.
        limit: a, between 0 and 1.
        binary: every loss is 0 or 1.

    >>> p_values(np.array([0.0, 0.1, 0.3]), 50, 0.1, binary=True).round(4).tolist()
    [0.0052, 0.6161, 1.0]
    >>> p_values(np.array([0.0, 0.1, 0.3]), 50, 0.1).round(4).tolist()
    [0.0052, 1.0, 1.0]
    """
    # A sum of thirds may lie a rounding error above an integer.
    bad = np.ceil(images * mean - 1e-6)
    tail = binom.cdf(bad, images, limit)
    if binary:
        return tail
    low = np.minimum(mean, limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(low > 0, low * np.log(low / limit), 0.0)
    h = first + (1 - low) * np.log((1 - low) / (1 - limit))
    return np.minimum(np.minimum(np.exp(-images * h), np.e * tail), 1.0)


def fewest(limit: float, confidence: float) -> int:
    """Images without a single loss that it takes to promise a limit.

    >>> fewest(0.05, 0.9)  # 0.95 ** 45 = 0.0994
    45
    """
    return ceil(log(1 - confidence) / log1p(-limit))


def missed_labels(labels: np.ndarray, scores: np.ndarray) -> MeanLoss:
    """The mean part of an image's labels that a threshold misses: 1 - recall.

    Args:
        labels: (images, classes): 1, 0 or -1; images without any 1 take no part.
        scores: (images, classes).

    >>> loss = missed_labels(np.array([[1, 1], [1, 0]]), np.array([[3.0, 1.0], [2.0, 9.0]]))
    >>> loss.at(np.array([0.5, 1.5, 2.5, 3.5])).tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    present = labels == 1
    counts = present.sum(1)
    images = int((counts > 0).sum())
    rows, _ = np.nonzero(present)
    found = scores[present].astype(np.float64)
    weights = 1 / counts[rows] / max(images, 1)
    order = np.argsort(found, kind="stable")
    below = np.append(0.0, np.cumsum(weights[order]))
    return MeanLoss(found[order], below, images, bool((counts <= 1).all()))


def wrong_labels(labels: np.ndarray, scores: np.ndarray) -> MeanLoss:
    """The mean part of an image's predicted labels that is wrong: 1 - precision.

    An image with no label predicted has none wrong.

    Args:
        labels: (images, classes): 1, 0, or -1, which takes no part; nor do images of -1 alone.
        scores: (images, classes).

    >>> loss = wrong_labels(np.array([[1, 0], [0, 0]]), np.array([[3.0, 1.0], [2.0, -9.0]]))
    >>> loss.at(np.array([0.5, 1.5, 2.5, 3.5])).tolist()
    [0.75, 0.5, 0.0, 0.0]
    """
    used = labels >= 0
    kept = np.where(used, scores, -np.inf).astype(np.float64)
    order = np.argsort(-kept, axis=1, kind="stable")
    ranked = np.take_along_axis(used, order, 1)
    wrong = np.cumsum(np.take_along_axis(labels == 0, order, 1), 1)
    share = wrong / np.arange(1, labels.shape[1] + 1)
    images = int(used.any(1).sum())
    change = np.diff(share, axis=1, prepend=0.0)[ranked] / max(images, 1)
    found = np.take_along_axis(kept, order, 1)[ranked]
    rising = np.argsort(found, kind="stable")
    # What is predicted from a score on are all scores above it.
    above = np.append(np.cumsum(change[rising][::-1])[::-1], 0.0)
    return MeanLoss(found[rising], above.clip(0, 1), images, labels.shape[1] == 1)


def recall_threshold(
    labels: np.ndarray, scores: np.ndarray, recall: float, confidence: float
) -> float | None:
    """The highest threshold that finds as large a part of an image's labels, on average.

    Where images have one label, by the binomial distribution; else by `betting_p_values`, which
    rise with the threshold, as every image's loss does.

    Args:
        labels: (images, classes), as for `missed_labels`.
        scores: (images, classes), finite.
        recall: that is promised, between 0 and 1.
        confidence: of the promise.

    Returns:
        None if it takes more images.

    >>> labels, scores = np.ones((100, 1)), np.arange(100.0)[:, None]
    >>> recall_threshold(labels, scores, 0.9, 0.9)  # 5 of 100 may be missed, for want of 10
    4.5
    """
    loss = missed_labels(labels, scores)
    if loss.images < fewest(1 - recall, confidence):
        return None
    candidates = between(np.unique(loss.scores))
    error = 1 - confidence
    if loss.binary:
        values = p_values(loss.at(candidates), loss.images, 1 - recall, binary=True)
        return float(candidates[_passed(values, error) - 1])
    present = labels == 1
    some = present.any(1)
    present, own = present[some], scores[some]

    def stands(place: int) -> bool:
        missed = (present & (own < candidates[place])).sum(1) / present.sum(1)
        return bool(betting_p_values(missed[:, None], 1 - recall, error)[0] <= error)

    failing = bisect(range(len(candidates)), False, key=lambda place: not stands(place))
    return float(candidates[failing - 1]) if failing else None


def precision_threshold(
    labels: np.ndarray, scores: np.ndarray, precision: float, confidence: float
) -> float | None:
    """The lowest threshold whose labels are right, on average over images that get any.

    Images that get any are the k whose best scores are above the threshold. Given the best score of
    the next one, which is the threshold, they are independent; and k rises from `STARTS`, which no
    label decides.

    Args:
        labels: (images, classes), as for `wrong_labels`.
        scores: (images, classes), finite.
        precision: that is promised, between 0 and 1.
        confidence: of the promise.

    Returns:
        None if it takes more images, or cannot be promised for the surest of them.

    >>> labels, scores = np.ones((200, 1)), np.arange(200.0)[:, None]
    >>> labels[:40] = 0
    >>> precision_threshold(labels, scores, 0.95, 0.9) < 40
    True
    """
    used = (labels >= 0).any(1)
    loss = wrong_labels(labels, scores)
    best = np.where(labels >= 0, scores, -np.inf)[used].max(1).astype(np.float64)
    falling = np.sort(best)[::-1]
    error = (1 - confidence) / len(STARTS)
    least = fewest(1 - precision, 1 - error)
    starts = {max(least, ceil(share * loss.images)) for share in STARTS}
    counts = np.arange(min(starts), loss.images + 1)
    if not len(counts):
        return None
    following = np.append(falling[1:], falling[-1:] - 1)
    # Scores are float32: no other one lies between.
    thresholds = np.nextafter(following[counts - 1], np.inf)
    values = p_values(
        loss.at(thresholds) * loss.images / counts, counts, 1 - precision, loss.binary
    )
    rows = [start - counts[0] for start in starts if start <= loss.images]
    # The last that stands in a row of tests; 0: in none.
    passed = max(row + _passed(values[row:], error) if values[row] <= error else 0 for row in rows)
    # Equal scores are answered together or not at all.
    while passed and falling[counts[passed - 1] - 1] < thresholds[passed - 1]:
        passed -= 1
    return float(thresholds[passed - 1]) if passed else None


def _passed(values: np.ndarray, error: float) -> int:
    """How many hypotheses are refused, one after another, before the first that is not."""
    fails = values > error
    return int(fails.argmax()) if fails.any() else len(values)
