"""Metrics of multi-label and single-label classification; labels of -1 take no part."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldwise.decision.calibration_error import calibration_errors
from foldwise.evaluation.average_precision import CONVENTIONS, Difficult, average_precision
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.ranking import ranking_metrics, roc_auc, top_k
from foldwise.evaluation.tail_accuracy import last_tail_accuracy
from foldwise.scoring.objective import Objective, safe_divide, score
from foldwise.scoring.probability import sigmoid

TOP = (1, 3, 5)


def confusion_counts(
    labels: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives per class, each (classes,).

    Args:
        labels: (images, classes): 1, 0 or -1.
        predicted: (images, classes): 1 or 0.

    >>> found = confusion_counts(np.array([[1, 0], [1, -1]]), np.array([[1, 1], [0, 1]]))
    >>> [each.tolist() for each in found]
    [[1, 0], [0, 1], [1, 0]]
    """
    positive, negative = labels == 1, labels == 0
    return (
        (positive & (predicted == 1)).sum(0),
        (negative & (predicted == 1)).sum(0),
        (positive & (predicted == 0)).sum(0),
    )


def mean_over_classes(values: np.ndarray) -> float | None:
    """Mean over the classes that have a value; None if none has.

    Args:
        values: (classes,), NaN where a class has none.

    >>> mean_over_classes(np.array([0.5, np.nan, 1.0]))
    0.75
    """
    return None if np.isnan(values).all() else float(np.nanmean(values))


def mean_macro_ap(labels: np.ndarray, models: Sequence[np.ndarray]) -> float:
    """Macro average precision, the mean over models; 0 where no class has a positive label.

    Args:
        labels: (images, classes): 1, 0 or -1.
        models: logits of each, (images, classes).

    >>> labels = np.array([[1], [0]])
    >>> mean_macro_ap(labels, [np.array([[2], [1]]), np.array([[1], [2]])])  # AP of 1 and of 1/2
    0.75
    """
    found = [mean_over_classes(average_precision(labels, each)) or 0.0 for each in models]
    return float(np.mean(found))


def per_class(labels: np.ndarray, logits: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """AP (`area`), ROC AUC, F1, precision, recall, prevalence and positive images of every class.

    Precision is TP / (TP + FP), recall TP / (TP + FN), F1 their harmonic mean
    2 TP / (2 TP + FP + FN), prevalence the share of present labels.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).
        predicted: (images, classes): 1 or 0.

    >>> labels, logits = np.array([[1], [0], [1]]), np.array([[2], [1], [-1]])
    >>> per_class(labels, logits, (logits > 0).astype(np.int8)).round(3).to_dict("records")
    [{'ap': 0.833, 'roc_auc': 0.5, 'f1': 0.5, 'precision': 0.5, 'recall': 0.5,
      'prevalence': 0.667, 'images': 2}]
    """
    true_positive, false_positive, false_negative = confusion_counts(labels, predicted)
    return pd.DataFrame(
        {
            "ap": average_precision(labels, logits),
            "roc_auc": roc_auc(labels, logits),
            "f1": safe_divide(
                2 * true_positive, 2 * true_positive + false_positive + false_negative
            ),
            "precision": safe_divide(true_positive, true_positive + false_positive),
            "recall": safe_divide(true_positive, true_positive + false_negative),
            "prevalence": safe_divide((labels == 1).sum(0), (labels >= 0).sum(0)),
            "images": (labels == 1).sum(0),
        }
    )


def label_metrics(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """What predicted labels are worth, by every convention.

    `accuracy` is element-wise over images x classes, `hamming_loss` what it lacks to 1;
    `exact_match` is the share of images with every class right (subset accuracy). Precision,
    recall, F1 and Jaccard come as `micro_` (all classes pooled), `macro_` (mean over classes) and
    `sample_` (mean over images). In the words of multi-label papers OP, OR and OF1 are the micro
    figures, CP and CR the macro ones, but `cf1` is their harmonic mean 2 CP CR / (CP + CR), not
    `macro_f1`. Ratios of nothing are 0. Arguments as for `per_class`.

    >>> found = label_metrics(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [1, 0]]))
    >>> found["accuracy"], found["exact_match"]
    (0.5, 0.0)
    >>> round(found["micro_f1"], 3), found["macro_f1"]  # 4 / (4 + 1 + 1); (1 + 0) / 2
    (0.667, 0.5)
    """
    found = {
        name: score(labels, predicted, Objective(name=name)) for name in ("accuracy", "exact_match")
    }
    found["hamming_loss"] = 1 - found["accuracy"]
    tables = {
        "micro": [each.sum(keepdims=True) for each in confusion_counts(labels, predicted)],
        "macro": confusion_counts(labels, predicted),
        "sample": confusion_counts(labels.T, predicted.T),
    }
    for average, (true_positive, false_positive, false_negative) in tables.items():
        known = (labels >= 0).any(1) if average == "sample" else slice(None)
        for name, above, below in (
            ("precision", true_positive, true_positive + false_positive),
            ("recall", true_positive, true_positive + false_negative),
            ("f1", 2 * true_positive, 2 * true_positive + false_positive + false_negative),
            ("jaccard", true_positive, true_positive + false_positive + false_negative),
        ):
            each = safe_divide(above, below)[known]
            found[f"{average}_{name}"] = float(each.mean()) if len(each) else 0.0
    both = found["macro_precision"] + found["macro_recall"]
    product = 2 * found["macro_precision"] * found["macro_recall"]
    return found | {"cf1": product / both if both else 0.0}


def all_metrics(part: Part, single: bool) -> dict[str, Any]:
    """Every figure that a paper may want of one part of the data.

    `macro_ap` follows scikit-learn; `macro_ap_all_point` PASCAL VOC from 2010 on, and
    `macro_ap_11_point` VOC 2007; where labels are ignored, `..._difficult` counts them as present.

    Args:
        part: what is measured.
        single: whether every image has one class, which adds `top1`, `top3` and `top5` of the
            calibrated logits, by which the labels are given, and `top1_uncalibrated`.

    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[2, -1], [1, 2]])
    >>> part = Part(np.array(["a", "b"]), labels, logits, logits, (logits > 0).astype(np.int8))
    >>> found = all_metrics(part, single=True)
    >>> found["accuracy"], found["top1"], found["macro_ap"], found["ranking_loss"]
    (0.75, 1.0, 1.0, 0.0)
    """
    labels, logits = part.labels, part.logits
    found: dict[str, Any] = label_metrics(labels, part.predicted)
    readings: list[tuple[Difficult, str]] = [("ignore", "")]
    if (labels < 0).any():
        readings.append(("count", "_difficult"))
    for difficult, suffix in readings:
        for convention in CONVENTIONS:
            name = "macro_ap" if convention == "area" else f"macro_ap_{convention}"
            each = average_precision(labels, logits, convention, difficult)
            found[name + suffix] = mean_over_classes(each)
    found["macro_roc_auc"] = mean_over_classes(roc_auc(labels, logits))
    found |= ranking_metrics(labels, logits)
    if single:
        rows = (labels == 1).sum(1) == 1
        for k in TOP:
            if k < labels.shape[1]:
                hits = top_k(labels[rows], part.calibrated[rows], k, logits[rows])
                found[f"top{k}"] = float(hits.mean())
        found["top1_uncalibrated"] = float(top_k(labels[rows], logits[rows], 1).mean())
    found |= calibration_errors(labels, part.calibrated, single)
    found["tail_accuracy"] = last_tail_accuracy(labels, sigmoid(part.calibrated))
    return found
