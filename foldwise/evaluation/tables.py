"""Tables behind the plots of single classes, small enough for git whatever their number."""

import numpy as np
import pandas as pd

from foldwise.evaluation.average_precision import average_precision, precision_recall_points
from foldwise.evaluation.curve_tables import thinned
from foldwise.evaluation.headline import Drawn
from foldwise.evaluation.metrics import per_class
from foldwise.evaluation.part import Part
from foldwise.evaluation.tail_accuracy import tail_curve
from foldwise.scoring.probability import sigmoid

MOST_CLASSES = 40
"""Classes that a plot shows by name; of more, those of the lowest average precision."""
POINTS = 40
MEAN = "mean over classes"


def shown_classes(labels: np.ndarray, logits: np.ndarray) -> list[int]:
    """Indices of the classes that plots show, in their order: those that need to be looked at."""
    if labels.shape[1] <= MOST_CLASSES:
        return list(range(labels.shape[1]))
    worst = np.argsort(average_precision(labels, logits), kind="stable")
    return sorted(worst[:MOST_CLASSES].tolist())


def class_table(part: Part, ap: Drawn, classes: list[str]) -> pd.DataFrame:
    """`class` and its metrics, as `per_class` has them; AP with `ap_low` and `ap_high` (95 %)."""
    intervals = [
        None if np.isnan(value) else ap.of(i).interval() for i, value in enumerate(ap.value)
    ]
    table = per_class(part.labels, part.logits, part.predicted)
    table.insert(0, "class", classes)
    table.insert(2, "ap_low", [each and each.low for each in intervals])
    table.insert(3, "ap_high", [each and each.high for each in intervals])
    return table


def class_precision_recall_table(part: Part, classes: list[str], shown: list[int]) -> pd.DataFrame:
    """`class`, `recall` and `precision`, from no recall to all; none for a class without positives.

    Args:
        part: what is shown.
        classes: their names.
        shown: indices of those that are in the table.
    """
    labels, logits = part.labels, part.logits
    tables = [pd.DataFrame(columns=["class", "recall", "precision"])]
    for index in shown:
        used = labels[:, index] >= 0
        truth = labels[used, index] == 1
        if truth.any():
            found, predicted = precision_recall_points(truth, logits[used, index])
            table = pd.DataFrame({"recall": found / truth.sum(), "precision": found / predicted})
            # Below the last positive label only precision falls.
            table = table[: int(np.searchsorted(found, found[-1])) + 1]
            tables.append(thinned(table, POINTS).assign(**{"class": classes[index]}))
    return pd.concat(tables[1:] or tables)[tables[0].columns]


def tail_table(part: Part, classes: list[str], shown: list[int]) -> pd.DataFrame:
    """`class`, `threshold` and `tail_accuracy` at 20 thresholds, of classes and of their mean.

    Args:
        part: what is shown.
        classes: their names.
        shown: indices of those that are in the table beside the mean over all.
    """
    thresholds, accuracies, (common, mean) = tail_curve(part.labels, sigmoid(part.calibrated))
    curves = {MEAN: (common, mean)} | {
        classes[index]: (thresholds[:, index], accuracies[:, index]) for index in shown
    }
    return pd.concat(
        [
            pd.DataFrame({"class": name, "threshold": at, "tail_accuracy": each}).dropna()
            for name, (at, each) in curves.items()
        ]
    )


def confusion_table(part: Part, classes: list[str], single: bool) -> pd.DataFrame:
    """Which classes are taken for which: `actual`, `predicted`, `images` and `share`.

    Where images have one class, a row counts the images of class `actual` that were given class
    `predicted`, and `share` is of all images of `actual`. Where they have several, it counts the
    images in which `actual` was missed and `predicted` wrongly added, and `share` is of all images
    in which `actual` was missed. Pairs that never occur are left out, and of many classes all but
    those with the most errors.

    Args:
        part: what is shown.
        classes: their names.
        single: whether images have one class.
    """
    labels, predicted = part.labels, part.predicted
    missed = (labels == 1) & (predicted == 0)
    added = (labels == 0) & (predicted == 1)
    # Floating point, which is multiplied by BLAS, and exact up to 2^24 images.
    counts = (missed.T.astype(np.float32) @ added.astype(np.float32)).astype(np.int64)
    # Of missed labels, not of pairs: where nothing was added in return, no row says so.
    total = missed.sum(0)
    errors = total + added.sum(0)
    if single:
        counts += np.diag(((labels == 1) & (predicted == 1)).sum(0))
        total = (labels == 1).sum(0)
    shown = np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])
    rows = [
        (classes[i], classes[j], int(counts[i, j]), counts[i, j] / total[i])
        for i in shown
        for j in shown
        if counts[i, j]
    ]
    return pd.DataFrame(rows, columns=["actual", "predicted", "images", "share"])


def label_counts_table(part: Part) -> pd.DataFrame:
    """`kind` (true or predicted), `labels` (how many an image has), `images` and `share`.

    Where a label is -1, neither it nor what is predicted there is counted.
    """
    labels, predicted = part.labels, part.predicted
    tables = []
    for kind, each in (("true", labels == 1), ("predicted", (predicted == 1) & (labels >= 0))):
        images = np.bincount(each.sum(1))
        table = pd.DataFrame({"kind": kind, "labels": np.arange(len(images)), "images": images})
        tables.append(table[images > 0].assign(share=images[images > 0] / len(labels)))
    return pd.concat(tables)
