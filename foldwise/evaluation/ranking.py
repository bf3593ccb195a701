"""Metrics of how well scores rank: each image's classes, or each class's images.

Labels of -1 take no part.
"""

import numpy as np

from foldwise.scoring.objective import safe_divide


def roc_auc(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Area under each class's ROC curve, (classes,); NaN without both positive and negative labels.

    The share of pairs of a positive and a negative image whose scores are in that order; equal
    scores count half (Hanley and McNeil 1982).

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).

    Of four pairs of a positive and a negative image, two are in order and one is a tie:

    >>> labels, logits = np.array([[1], [1], [0], [0]]), np.array([[3], [1], [2], [1]])
    >>> roc_auc(labels, logits).tolist()
    [0.625]
    """
    result = np.full(labels.shape[1], np.nan)
    for index, (column, scores) in enumerate(zip(labels.T, logits.T, strict=True)):
        negative = np.sort(scores[column == 0])
        positive = scores[column == 1]
        if len(negative) and len(positive):
            below = np.searchsorted(negative, positive, "left")
            up_to = np.searchsorted(negative, positive, "right")
            pairs = len(negative) * len(positive)
            result[index] = (below.sum() + up_to.sum()) / 2 / pairs
    return result


def ranking_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """`coverage`, `ranking_loss` and `lrap`, means over images (Tsoumakas et al. 2010).

    As `coverage_error`, `label_ranking_loss` and `label_ranking_average_precision_score` of
    scikit-learn; Tsoumakas et al. subtract 1 from the coverage.

    `coverage`: how many classes, from the best score down, must be taken to have all that are there
    (0 for an image with none). `ranking_loss`: the share of pairs of a present and an absent class
    that are in the wrong order or tied (0 without such pairs). `lrap`: label ranking average
    precision, the mean over present classes of the share of present ones among those that score as
    high or higher (1 for an image where all are there, or none).

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).

    From the best score down: present, absent, present:

    >>> found = ranking_metrics(np.array([[1, 0, 1]]), np.array([[3, 2, 1]]))
    >>> found["coverage"], found["ranking_loss"], round(found["lrap"], 3)  # (1 + 2/3) / 2
    (3.0, 0.5, 0.833)
    """
    order = np.argsort(np.where(labels >= 0, -logits.astype(np.float64), np.inf), 1, "stable")
    scores = np.take_along_axis(logits, order, 1)
    labels = np.take_along_axis(labels, order, 1)
    classes = labels.shape[1]
    # An ignored class comes last and ends no group: what stands before it is not tied with it.
    ends = np.ones(labels.shape, bool)
    ends[:, :-1] = (scores[:, 1:] != scores[:, :-1]) | (labels[:, 1:] < 0)
    last = np.where(ends, np.arange(classes), classes)
    last = np.minimum.accumulate(last[:, ::-1], 1)[:, ::-1]
    present, absent = labels == 1, labels == 0
    present_above = np.take_along_axis(np.cumsum(present, 1), last, 1)
    absent_above = np.take_along_axis(np.cumsum(absent, 1), last, 1)
    positives, negatives = present.sum(1), absent.sum(1)
    coverage = np.where(present, last + 1, 0).max(1)
    wrong = np.where(present, absent_above, 0).sum(1)
    shares = np.where(present, present_above / (last + 1), 0).sum(1)
    trivial = (positives == 0) | (negatives == 0)
    found = {
        "coverage": coverage,
        "ranking_loss": safe_divide(wrong, positives * negatives),
        "lrap": np.where(trivial, 1.0, safe_divide(shares, positives)),
    }
    known = (present | absent).any(1)
    return {name: float(each[known].mean()) if known.any() else 0.0 for name, each in found.items()}


def top_k(
    labels: np.ndarray, logits: np.ndarray, k: int, ties: np.ndarray | None = None
) -> np.ndarray:
    """Whether the class of each image is among its k largest logits, (images,) bool.

    Of equal logits those of the first classes are taken, as `argmax` does.

    Args:
        labels: (images, classes), one 1 in every row.
        logits: (images, classes).
        k: how many are taken.
        ties: (images, classes), by which equal logits are told apart first: those from before a
            calibration that made them equal, as `Decision` has it.

    >>> labels, logits = np.array([[1, 0, 0], [0, 0, 1]]), np.array([[2, 3, 1], [2, 3, 1]])
    >>> top_k(labels, logits, 1).tolist(), top_k(labels, logits, 2).tolist()
    ([False, False], [True, False])
    """
    best = np.lexsort((-(logits if ties is None else ties), -logits), axis=1)[:, :k]
    return (np.take_along_axis(labels, best, 1) == 1).any(1)
