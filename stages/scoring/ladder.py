"""What each step from one model to the final labels adds."""

from collections.abc import Mapping

import numpy as np

from stages.scoring.decision import Decision
from stages.scoring.merge import merge_logits
from stages.scoring.metrics import average_precision, mean_over_classes
from stages.scoring.threshold import score_at
from stages.settings.scoring import Merge

HALF = Decision(0.0)


def ladder(
    labels: np.ndarray,
    predictions: Mapping[str, list[np.ndarray]],
    identity: int,
    views: Merge,
    folds: Merge,
    members: Merge,
    decision: Decision,
) -> dict[str, dict[str, float]]:
    """Accuracy, micro F1 and macro AP after every step, on the test part.

    Args:
        labels: (images, classes).
        predictions: of every member, each fold's logits (views, images, classes).
        identity: which view is the untransformed image.
        views: how views are merged.
        folds: how folds are merged.
        members: how members are merged.
        decision: of all steps together; those before it decide at probability 0.5.

    Returns:
        Steps in order. A step that starts from several models is their mean.
    """
    single = [fold[identity] for each in predictions.values() for fold in each]
    merged = {
        name: [merge_logits(fold, views) for fold in each] for name, each in predictions.items()
    }
    joined = [merge_logits(np.stack(each), folds) for each in merged.values()]
    final = merge_logits(np.stack(joined), members)
    steps = {
        "one model": [_scores(labels, each, HALF) for each in single],
        "+ TTA": [_scores(labels, each, HALF) for folds_ in merged.values() for each in folds_],
        "+ folds": [_scores(labels, each, HALF) for each in joined],
    }
    if len(predictions) > 1:
        steps["+ members"] = [_scores(labels, final, HALF)]
    steps["+ threshold"] = [_scores(labels, final, decision)]
    return {
        step: {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
        for step, scores in steps.items()
    }


def _scores(labels: np.ndarray, logits: np.ndarray, decision: Decision) -> dict[str, float]:
    return {
        "accuracy": score_at(logits, labels, decision.threshold, "accuracy"),
        "micro_f1": score_at(logits, labels, decision.threshold, "micro_f1"),
        "macro_ap": mean_over_classes(average_precision(labels, logits)) or 0.0,
    }
