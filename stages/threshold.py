"""Stage 6: how a logit becomes a label, decided on out-of-fold logits alone.

Reads data/ensemble.npz, labels and folds; writes data/decision.json and metrics/threshold.json.
"""

import numpy as np

from stages import files
from stages.errors import UserError, run
from stages.params import read_params
from stages.scoring.decision import Decision
from stages.scoring.probability import logit, sigmoid
from stages.scoring.threshold import best_threshold, cross_fitted, score_at, threshold_curve

# A single hold-out has one fold; its images are parted for the cross-fitted estimate.
PARTS_OF_HOLDOUT = 5


def groups_for_cross_fitting(folds: np.ndarray) -> np.ndarray:
    """(images,): the folds, or contiguous parts of a single one."""
    if len(np.unique(folds)) > 1:
        return folds
    return np.arange(len(folds)) * PARTS_OF_HOLDOUT // len(folds)


def main() -> None:
    settings = read_params().threshold
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    classes = files.read_dataset()["classes"]
    ids, logits = ensemble["oof_id"], ensemble["oof_logits"]
    labels = files.read_labels().set_index("id").loc[ids, classes].to_numpy(np.int8)
    folds = files.read_folds().set_index("id").loc[ids, "fold"].to_numpy()
    try:
        curve = threshold_curve(logits, labels, settings.objective)
    except ValueError as error:
        raise UserError(f"{files.ENSEMBLE}: {error}; look at the training curves") from None
    threshold = best_threshold(curve) if settings.fixed is None else logit(settings.fixed)
    honest, chosen = cross_fitted(
        logits, labels, groups_for_cross_fitting(folds), settings.objective
    )
    at_half = score_at(logits, labels, 0.0, settings.objective)
    files.write_json(files.DECISION, Decision(threshold).as_json())
    files.write_json(
        files.METRICS / "threshold.json",
        {
            "objective": settings.objective,
            "probability": float(sigmoid(np.array(threshold))),
            "fixed": settings.fixed is not None,
            "at_0.5": at_half,
            "at_probability": score_at(logits, labels, threshold, settings.objective),
            "at_optimum": float(curve.scores.max()),
            "cross_fitted": honest,
            "cross_fitted_gain": honest - at_half,
            "cross_fitted_probabilities": {
                str(group): float(sigmoid(np.array(each))) for group, each in chosen.items()
            },
        },
    )


if __name__ == "__main__":
    run(main)
