"""Tables behind the plots, small enough for git."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from foldwise.evaluation.part import Part
from foldwise.scoring.objective_settings import Objective
from foldwise.scoring.probability import sigmoid
from foldwise.scoring.thresholds import threshold_curve

POINTS = 200


def thinned(table: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """At most so many rows, evenly spaced, with the first and the last."""
    if len(table) <= points:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, points).round().astype(int))]


def threshold_table(
    logits: np.ndarray, labels: np.ndarray, objective: Objective, chosen: float | None
) -> pd.DataFrame:
    """`probability`, `score` and `chosen` (1 in the row of the threshold `chosen`, a logit).

    The score at a probability is that of saying yes from there on: exact, not interpolated.
    Without one threshold for all classes (None) no row is marked.
    """
    curve = threshold_curve(logits, labels, objective)
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
    """`recall`, `precision` and `series` (the part's name), over all classes pooled."""
    tables = []
    for name, part in parts.items():
        used = part.labels >= 0
        precision, recall, _ = precision_recall_curve(part.labels[used], part.logits[used])
        table = pd.DataFrame({"recall": recall, "precision": precision}).iloc[::-1]
        tables.append(thinned(table).assign(series=name))
    return pd.concat(tables)


def curves_table(curves: dict[str, dict[str, pd.Series]]) -> pd.DataFrame:
    """`series`, `epoch` and a column per metric; a row per series and epoch."""
    return pd.concat(
        [
            pd.DataFrame(metrics)
            .rename_axis("epoch")
            .reset_index()
            .assign(epoch=lambda table: table["epoch"] + 1)
            .assign(series=name)
            for name, metrics in curves.items()
        ]
    )
