"""Small cases to score, and objectives computed the slow way, one label after the other."""

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.evaluation.predictions import Part
from foldwise.scoring.objective import Objective

Case = tuple[np.ndarray, np.ndarray]

OBJECTIVES = [
    Objective(name="accuracy"),
    Objective(name="exact_match"),
    Objective(name="cost", false_negative=3.0, false_positive=1.0),
    *[Objective(name=name) for name in ("micro_f1", "macro_f1", "sample_f1")],
    Objective(name="micro_fbeta", beta=2.0),
    Objective(name="macro_fbeta", beta=0.5),
    Objective(name="sample_fbeta", beta=2.0),
    *[Objective(name=name) for name in ("micro_jaccard", "macro_jaccard", "sample_jaccard")],
    *[Objective(name=name) for name in ("micro_youden", "macro_youden")],
    Objective(name="micro_precision_at_recall", recall=0.6),
    Objective(name="macro_precision_at_recall", recall=0.5),
    Objective(name="micro_recall_at_precision", precision=0.6),
    Objective(name="macro_recall_at_precision", precision=0.7),
]

# Few distinct values, so that ties are common.
VALUES = [-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 1e-7]
values = st.sampled_from([float(np.float32(each)) for each in VALUES])


def part_of(case: Case, threshold: float = 0.1) -> Part:
    labels, logits = case
    ids = np.arange(len(labels)).astype(str)
    return Part(ids, labels, logits, logits, (logits >= threshold).astype(np.int8))


def cases(images: int = 8, classes: int = 4) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Labels (1, 0, -1) and logits of up to so many images and classes."""
    shapes = st.tuples(st.integers(1, images), st.integers(1, classes))
    return shapes.flatmap(
        lambda shape: st.tuples(
            arrays(np.int8, shape, elements=st.sampled_from([1, 0, -1])),
            arrays(np.float32, shape, elements=values),
        )
    )


def slow_score(labels: np.ndarray, predicted: np.ndarray, objective: Objective) -> float:
    """The objective, by loops over groups of labels."""
    pairs = [
        (row, column, int(labels[row, column]), int(predicted[row, column]))
        for row in range(labels.shape[0])
        for column in range(labels.shape[1])
        if labels[row, column] >= 0
    ]
    if objective.average == "micro":
        return _measure([each[2:] for each in pairs], objective)
    if objective.average == "macro":
        columns = range(labels.shape[1])
        groups = [[each[2:] for each in pairs if each[1] == column] for column in columns]
    else:
        rows = sorted({each[0] for each in pairs})
        groups = [[each[2:] for each in pairs if each[0] == row] for row in rows]
    return sum(_measure(group, objective) for group in groups) / len(groups)


def _measure(pairs: Iterable[tuple[int, ...]], objective: Objective) -> float:
    pairs = list(pairs)
    tp, fp, fn, tn = (pairs.count(each) for each in [(1, 1), (0, 1), (1, 0), (0, 0)])
    total = tp + fp + fn + tn

    def share(above: float, below: float) -> float:
        return above / below if below else 0.0

    recall, precision = share(tp, tp + fn), share(tp, tp + fp)
    name = objective.name.split("_", 1)[-1] if "_" in objective.name else objective.name
    if objective.name == "exact_match":
        return float(fp + fn == 0)
    if name == "accuracy":
        return share(tp + tn, total)
    if name == "cost":
        assert objective.false_negative
        assert objective.false_positive
        return -share(objective.false_negative * fn + objective.false_positive * fp, total)
    if name in ("f1", "fbeta"):
        weight = (objective.beta or 1) ** 2
        return share((1 + weight) * precision * recall, weight * precision + recall)
    if name == "jaccard":
        return share(tp, tp + fp + fn)
    if name == "youden":
        return recall + share(tn, tn + fp) - 1
    if name == "precision_at_recall":
        assert objective.recall
        return precision if recall >= objective.recall else recall - objective.recall
    assert objective.precision
    return recall if precision >= objective.precision else precision - objective.precision
