"""Tables behind the plots, small enough for git whatever the number of images and classes."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from foldwise.core import files
from foldwise.evaluation.average_precision import average_precision, precision_recall_points
from foldwise.evaluation.headline import Drawn, Headline
from foldwise.evaluation.metrics import per_class
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.tail_accuracy import tail_curve
from foldwise.scoring.objective import Objective
from foldwise.scoring.probability import sigmoid
from foldwise.scoring.thresholds import threshold_curve

POINTS = 200
CURVES = ("train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap")
MOST_CLASSES = 40
"""Classes that a plot shows by name; of more, those of the lowest average precision."""
CLASS_POINTS = 40
"""Rows of one class's curve."""
MEAN = "mean over classes"


def thinned(table: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most so many rows, evenly spaced, with the first and the last.

    >>> thinned(pd.DataFrame({"score": [0, 1, 2, 3, 4]}), points=3)["score"].tolist()
    [0, 2, 4]
    """
    if len(table) <= points:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, points).round().astype(int))]


def threshold_table(
    labels: np.ndarray, logits: np.ndarray, objective: Objective, chosen: float | None
) -> pd.DataFrame:
    """`probability`, `score` and `chosen` (1 in the row of the threshold `chosen`, a logit).

    The score at a probability is that of saying yes from there on: exact, not interpolated.
    Without one threshold for all classes (None) no row is marked.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32.
        objective: the score.
        chosen: a logit, or None.

    Raises:
        ValueError: nothing is labelled, or a logit is not finite.

    >>> labels, logits = np.array([[0], [1]]), np.float32([[-1], [1]])
    >>> table = threshold_table(labels, logits, Objective(name="accuracy"), chosen=0.0)
    >>> table[table["chosen"] == 1].to_dict("list")
    {'probability': [0.5], 'score': [1.0], 'chosen': [1]}
    """
    curve = threshold_curve(labels, logits, objective)
    marks = np.array([] if chosen is None else [chosen])
    even = np.linspace(0.005, 0.995, POINTS - len(marks))
    wanted = np.append(even, sigmoid(marks))
    grid = np.append(np.log(even) - np.log1p(-even), marks)
    # Row i of the curve says yes from the i-th distinct score on, the last one never.
    rows = np.searchsorted(np.unique(logits[labels >= 0]).astype(np.float64), grid)
    table = pd.DataFrame(
        {
            "probability": wanted,
            "score": curve.scores[rows],
            "chosen": np.append(np.zeros(len(even), int), np.ones(len(marks), int)),
        }
    )
    return table.sort_values("probability", kind="stable")


def precision_recall_table(parts: dict[str, Part]) -> pd.DataFrame:
    """`recall`, `precision` and `series` (the part's name), over all classes pooled.

    Curves are scikit-learn's `precision_recall_curve`, from no recall to all; `parts` are by name.

    >>> labels, logits = np.array([[1], [0]]), np.array([[2], [1]])
    >>> part = Part(np.array(["a", "b"]), labels, logits, logits, labels)
    >>> precision_recall_table({"oof": part})[["recall", "precision"]].to_numpy().tolist()
    [[0.0, 1.0], [1.0, 1.0], [1.0, 0.5]]
    """
    tables = []
    for name, part in parts.items():
        used = part.labels >= 0
        precision, recall, _ = precision_recall_curve(part.labels[used], part.logits[used])
        table = pd.DataFrame({"recall": recall, "precision": precision}).iloc[::-1]
        tables.append(thinned(table).assign(series=name))
    return pd.concat(tables)


def curves_table(series: dict[str, Path]) -> pd.DataFrame:
    """`series`, `epoch` and a column per metric; a row per series and epoch.

    Args:
        series: of each training its folder, as DVCLive wrote it.
    """
    return pd.concat([_curves(folder).assign(series=name) for name, folder in series.items()])


def _curves(folder: Path) -> pd.DataFrame:
    stage = f"train@{folder.parent.name}-{folder.name}"
    metrics = {
        name: files.read_csv(
            folder / "plots" / "metrics" / f"{name}.tsv", stage, ["step", name], sep="\t"
        ).set_index("step")[name]
        for name in CURVES
    }
    table = pd.DataFrame(metrics).rename_axis("epoch").reset_index()
    return table.assign(epoch=table["epoch"] + 1)


def shown_classes(labels: np.ndarray, logits: np.ndarray) -> list[int]:
    """Indices of the classes that plots show, in their order: those that need to be looked at.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes).

    >>> shown_classes(np.array([[1, 0]]), np.array([[2, 1]]))
    [0, 1]
    """
    if labels.shape[1] <= MOST_CLASSES:
        return list(range(labels.shape[1]))
    worst = np.argsort(average_precision(labels, logits), kind="stable")
    return sorted(worst[:MOST_CLASSES].tolist())


def class_table(part: Part, ap: Drawn, classes: list[str]) -> pd.DataFrame:
    """`class` and its metrics, as `per_class` has them; AP with `ap_low` and `ap_high` (95 %).

    Args:
        part: what is shown.
        ap: (classes,), with draws of it, (draws, classes).
        classes: their names.

    >>> part = Part(np.array(["a", "b"]), *[np.array([[1], [0]])] * 4)
    >>> ap = Drawn(np.array([1.0]), np.array([[1.0], [1.0]]))
    >>> class_table(part, ap, ["cat"])[["class", "ap", "ap_low", "f1"]].to_dict("records")
    [{'class': 'cat', 'ap': 1.0, 'ap_low': 1.0, 'f1': 1.0}]
    """
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

    >>> labels, logits = np.array([[1], [0], [1]]), np.array([[3], [2], [1]])
    >>> part = Part(np.array(["a", "b", "c"]), labels, logits, logits, labels)
    >>> class_precision_recall_table(part, ["cat"], [0]).round(2).to_numpy().tolist()
    [['cat', 0.5, 1.0], ['cat', 0.5, 0.5], ['cat', 1.0, 0.67]]
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
            tables.append(thinned(table, CLASS_POINTS).assign(**{"class": classes[index]}))
    return pd.concat(tables[1:] or tables)[tables[0].columns]


def tail_table(part: Part, classes: list[str], shown: list[int]) -> pd.DataFrame:
    """`class`, `threshold` and `tail_accuracy` at 20 thresholds, of classes and of their mean.

    Args:
        part: what is shown.
        classes: their names.
        shown: indices of those that are in the table beside the mean over all.

    >>> part = Part(np.array(["a", "b"]), *[np.array([[1], [0]])] * 4)
    >>> table = tail_table(part, ["cat"], [0])
    >>> table["class"].unique().tolist(), table["tail_accuracy"].unique().tolist()
    (['mean over classes', 'cat'], [1.0])
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

    >>> labels, predicted = np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 1]])
    >>> part = Part(np.array(["a", "b"]), labels, predicted, predicted, predicted)
    >>> confusion_table(part, ["cat", "dog"], single=True).to_numpy().tolist()
    [['cat', 'cat', 1, 0.5], ['cat', 'dog', 1, 0.5]]
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

    >>> part = Part(np.array(["a", "b"]), *[np.array([[1, 1], [0, 1]])] * 4)
    >>> label_counts_table(part).head(2).to_numpy().tolist()
    [['true', 1, 1, 0.5], ['true', 2, 1, 0.5]]
    """
    labels, predicted = part.labels, part.predicted
    tables = []
    for kind, each in (("true", labels == 1), ("predicted", (predicted == 1) & (labels >= 0))):
        images = np.bincount(each.sum(1))
        table = pd.DataFrame({"kind": kind, "labels": np.arange(len(images)), "images": images})
        tables.append(table[images > 0].assign(share=images[images > 0] / len(labels)))
    return pd.concat(tables)


def class_tables(
    parts: dict[str, Part], headlines: dict[str, Headline], classes: list[str], single: bool
) -> dict[str, pd.DataFrame]:
    """All tables that show classes, of every part, by the name of their file.

    Args:
        parts: what is shown; `oof` is among them.
        headlines: of every part.
        classes: their names.
        single: whether images have one class.

    >>> part = Part(np.array(["a", "b"]), *[np.array([[1], [0]])] * 4)
    >>> ap = Drawn(np.array([1.0]), np.array([[1.0]]))
    >>> list(class_tables({"oof": part}, {"oof": Headline({}, {"ap": ap})}, ["cat"], single=False))
    ['classes', 'class_precision_recall', 'tail_accuracy', 'confusion', 'labels_per_image']
    """
    shown = shown_classes(parts["oof"].labels, parts["oof"].logits)
    found: dict[str, list[pd.DataFrame]] = {}
    for name, part in parts.items():
        for file, table in {
            "classes": class_table(part, headlines[name].classes["ap"], classes),
            "class_precision_recall": class_precision_recall_table(part, classes, shown),
            "tail_accuracy": tail_table(part, classes, shown),
            "confusion": confusion_table(part, classes, single),
            "labels_per_image": label_counts_table(part),
        }.items():
            found.setdefault(file, []).append(table.assign(part=name))
    return {file: pd.concat(each) for file, each in found.items()}
