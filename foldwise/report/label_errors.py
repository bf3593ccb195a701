"""Labels that are probably wrong, as models that never saw the image judge them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores

from foldwise.core.corrected import judged
from foldwise.scoring.probability import sigmoid

COLUMNS = ["row", "class_index", "given", "probability", "quality", "suggested", "around"]


def label_quality(labels: np.ndarray, logits: np.ndarray, single: bool) -> np.ndarray:
    """float64 (images, classes): each label's quality, 0 worst, 1 best; nan where there is none.

    It is the probability of what the label says, cleanlab's self-confidence (Northcutt et al. 2021,
    "Confident learning: estimating uncertainty in dataset labels"), of every image-class pair as a
    problem of two classes; where images have one label, of the class that is given, and the other
    classes have none. cleanlab's functions for several labels know no unknown ones, and of two
    classes its three scores rank alike; benchmarks/results/suspects.md has what finds most.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: of the same shape, calibrated and out-of-fold.
        single: whether every image has one label; the rows' probabilities are brought to a sum of
            1 then.
    """
    quality = np.full(labels.shape, np.nan)
    if single:
        rows = np.flatnonzero((labels == 1).any(1))
        given = labels[rows].argmax(1)
        probabilities = sigmoid(logits[rows])
        probabilities /= probabilities.sum(1, keepdims=True)
        known = np.zeros(labels.shape, bool)
        known[rows, given] = True
    else:
        known = labels >= 0
        given = labels[known].astype(np.int64)
        # Both by the sigmoid: 1 - p would lose what tells confident ones apart.
        probabilities = np.stack([sigmoid(-logits[known]), sigmoid(logits[known])], 1)
    if given.size:
        quality[known] = get_label_quality_scores(given, probabilities, method="self_confidence")
    return quality


def looked_at(
    corrected: pd.DataFrame, ids: Sequence[str] | np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """(images, classes) bool: labels that somebody looked at, and found right or made right.

    Args:
        corrected: as `read_corrected` gives it.
        ids: of the images.
        classes: their names, in the order of the columns.

    >>> said = {"id": ["b", "b"], "class": ["x", "y"], "why": ["right", "unsure"]}
    >>> looked_at(pd.DataFrame(said), ["a", "b"], ["x", "y"]).tolist()
    [[False, False], [True, False]]
    """
    found = np.zeros((len(ids), len(classes)), bool)
    sure = judged(corrected)
    rows = pd.Index(ids).get_indexer(pd.Index(sure["id"]))
    columns = pd.Index(classes).get_indexer(pd.Index(sure["class"]))
    known = (rows >= 0) & (columns >= 0)
    found[rows[known], columns[known]] = True
    return found


def suspected_errors(
    labels: np.ndarray,
    logits: np.ndarray,
    single: bool,
    most: int,
    settled: np.ndarray | None = None,
    midst: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The labels that predictions contradict, or images that lie around theirs, worst first.

    One that the images around contradict has the mean of its quality and the share of them that
    agree with it, where that is less: two witnesses, who count alike.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: of the same shape, calibrated and out-of-fold.
        single: whether every image has one label; it is suspected once at most then.
        most: how many rows at the most.
        settled: (images, classes) bool: labels that are not suspected, as `looked_at` gives them.
        midst: labels that the images around contradict, as `in_the_midst` gives them.

    Returns:
        `row` (of the image), `class_index`, `given` (the label, 1 or 0), `probability` (of the
        class, 0-1), `quality` (see `label_quality`), `suggested`, the index of the class that the
        image probably is where images have one label; else `class_index`, whose label is probably
        the other one; and `around`, the share of the nearest images that contradict it, or nan.
    """
    quality = label_quality(labels, logits, single)
    if single:
        # A class that is unknown of an image is no better than the one that is given.
        best = np.where(labels >= 0, logits, -np.inf).argmax(1)
        suspected = ~np.isnan(quality)
        suspected[np.arange(len(labels)), best] = False
    else:
        best = np.empty(0, int)
        suspected = quality < 0.5
    both, around = quality, np.full(quality.shape, np.nan)
    if midst is not None and len(midst):
        at = midst["row"].to_numpy(int), midst["class_index"].to_numpy(int)
        around[at] = midst["share"]
        both = _by_both(quality, at, midst["agree"].to_numpy(np.float64))
        if single:
            # Where the models agree with the label it is the images around that say what it is.
            best[at[0]] = np.where(suspected[at], best[at[0]], midst["other"])
        suspected[at] = ~np.isnan(quality[at])
    rows, columns = np.nonzero(suspected if settled is None else suspected & ~settled)
    ranked = both[rows, columns]
    # Of equal ones the first class, then the first image.
    order = np.lexsort((rows, columns, ranked))[:most]
    rows, columns, ranked = rows[order], columns[order], ranked[order]
    given, score = labels[rows, columns].astype(np.int64), quality[rows, columns]
    table = {
        "row": rows,
        "class_index": columns,
        "given": given,
        "probability": np.where(given == 1, score, 1 - score),
        "quality": ranked,
        "suggested": best[rows] if single else columns,
        "around": around[rows, columns],
    }
    return pd.DataFrame(table, columns=COLUMNS)


def _by_both(
    quality: np.ndarray, at: tuple[np.ndarray, np.ndarray], agree: np.ndarray
) -> np.ndarray:
    """Quality, at some labels its mean with the share of images around that agree, if less."""
    found = quality.copy()
    found[at] = np.minimum(quality[at], (quality[at] + agree) / 2)
    return found


def reasons_of(quality: float, around: float) -> list[str]:
    """Why a label is suspected, in words; both as `suspected_errors` gives them.

    >>> reasons_of(0.25, around=0.9)
    ['label quality 0.250', '90 % of the images around say otherwise']
    >>> reasons_of(0.25, around=float("nan"))
    ['label quality 0.250']
    """
    found = [f"label quality {quality:.3f}"]
    if not np.isnan(around):
        found.append(f"{100 * around:.0f} % of the images around say otherwise")
    return found
