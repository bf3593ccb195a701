"""Metrics of multi-label classification; labels of -1 take no part."""

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from stages.scoring.objectives import ratio


def confusion_counts(
    labels: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives per class, each (classes,)."""
    positive, negative = labels == 1, labels == 0
    return (
        (positive & (predicted == 1)).sum(0),
        (negative & (predicted == 1)).sum(0),
        (positive & (predicted == 0)).sum(0),
    )


def average_precision(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Area under each class's precision-recall curve, as scikit-learn computes it.

    (classes,) float64; NaN for a class with no positive label.
    """
    result = np.full(labels.shape[1], np.nan)
    for index in range(labels.shape[1]):
        used = labels[:, index] >= 0
        truth = labels[used, index]
        if truth.any():
            result[index] = average_precision_score(truth, logits[used, index])
    return result


def mean_over_classes(values: np.ndarray) -> float | None:
    """Mean over the classes that have a value; None if none has."""
    return None if np.isnan(values).all() else float(np.nanmean(values))


def per_class(labels: np.ndarray, logits: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """AP, F1, precision, recall and prevalence, a row per class.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).
        predicted: (images, classes): 1 or 0.
    """
    true_positive, false_positive, false_negative = confusion_counts(labels, predicted)
    return pd.DataFrame(
        {
            "ap": average_precision(labels, logits),
            "f1": ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
            "precision": ratio(true_positive, true_positive + false_positive),
            "recall": ratio(true_positive, true_positive + false_negative),
            "prevalence": ratio((labels == 1).sum(0), (labels >= 0).sum(0)),
        }
    )


def summary(
    labels: np.ndarray, logits: np.ndarray, predicted: np.ndarray
) -> dict[str, float | None]:
    """The headline figures; arguments as for `per_class`.

    `accuracy` is element-wise over images x classes; `exact_match` is the share of images with
    every class right; `macro_ap` and `macro_f1` are means over classes (a class with no positive
    label has no AP and is left out of that mean); `micro_f1` pools all classes. Where every image
    has one class, `top1` is the share of images whose largest logit is that class's.
    """
    used = labels >= 0
    right = (labels == predicted) | ~used
    table = per_class(labels, logits, predicted)
    true_positive, false_positive, false_negative = (
        each.sum() for each in confusion_counts(labels, predicted)
    )
    pooled = 2 * true_positive + false_positive + false_negative
    single = (labels == 1).sum(1) == 1
    top1 = {"top1": float((logits.argmax(1) == labels.argmax(1)).mean())} if single.all() else {}
    return top1 | {
        "accuracy": float(right[used].mean()),
        "exact_match": float(right.all(1).mean()),
        "macro_ap": mean_over_classes(table["ap"].to_numpy()),
        "macro_f1": float(table["f1"].mean()),
        "micro_f1": float(2 * true_positive / pooled) if pooled else 0.0,
    }
