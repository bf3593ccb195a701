"""Stage 6: how a logit becomes a label, decided on out-of-fold logits alone.

Reads data/ensemble.npz, labels and folds; writes data/decision.json, the out-of-fold images' labels
and calibrated logits to data/outoffold.npz, cross-fitted, metrics/threshold.json, and the pictures'
tables plots/reliability.csv and plots/ladder.csv.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.settings import read
from foldwise.decision.calibration_error import calibration_errors, reliability
from foldwise.decision.decision import cross_fitted_probabilities, fit_decision, plain_decision
from foldwise.decision.evidence import choose
from foldwise.decision.guarantee import cross_fitted_bounds, fit_bounds, summary
from foldwise.decision.ladder import ablation, cross_calibrated, decision_rungs, oof_rungs
from foldwise.decision.settings import Threshold, check_decision, decoder_of


def main() -> None:
    asked = read("threshold", Threshold)
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    dataset = files.read_dataset()
    classes, single = dataset["classes"], dataset["task"] == "multiclass"
    ids, logits = ensemble["oof_id"], ensemble["oof_logits"]
    labels = files.labels_of(ids, classes).to_numpy(np.int8)
    folds = files.folds_of(ids).to_numpy()
    check_decision(asked, single, len(classes))
    try:
        choice = choose(labels, logits, folds, asked, single)
        settings, decoder = choice.settings, decoder_of(choice.settings, single)
        decision = fit_decision(labels, logits, folds, settings, single, decoder)
        steps = {
            name: fit_decision(labels, logits, folds, step, single, way).as_json()
            for name, (step, way) in decision_rungs(settings, single, choice.left_out).items()
        }
        rungs = oof_rungs(
            ensemble["oof_single"], ensemble["oof_views"], labels, logits, folds, choice, single
        )
    except ValueError as error:
        raise UserError(f"{files.ENSEMBLE}: {error}") from None
    ladder = ablation(labels, rungs, settings.objective, folds)
    calibrated = cross_calibrated(labels, logits, folds, choice, single)
    sides = {"before": logits} | ({} if settings.calibration == "none" else {"after": calibrated})

    content = {"objective": settings.objective.name, "ladder": ladder} | decision.summary(classes)
    content["calibration"] = {"method": settings.calibration} | {
        side: calibration_errors(labels, each, single) for side, each in sides.items()
    }
    if choice.evidence:
        content["evidence"] = choice.evidence
    if len(decision.thresholds) == 1 and decoder == "threshold" and settings.fixed is None:
        content["cross_fitted_probabilities"] = cross_fitted_probabilities(
            labels, logits, folds, settings, single
        )
    if asked.guarantee is not None:
        bounds = fit_bounds(labels, decision.calibrator(logits), asked.guarantee, single)
        decision = replace(decision, bounds=bounds)
        found = cross_fitted_bounds(labels, logits, folds, choice, single)
        content["guarantee"] = summary(bounds, asked.guarantee, found)
    files.write_json(files.DECISION, decision.as_json() | {"steps": steps})
    # The last rung has all of the decision; each fold's labels are fitted on the other folds.
    labelled = list(rungs.values())[-1][0] if steps else plain_decision(single)(logits)
    files.write_arrays(files.OUT_OF_FOLD, oof_id=ids, logits=calibrated, labels=labelled)
    files.write_json(files.METRICS / "threshold.json", content)
    files.write_plot(
        files.PLOTS / "reliability.csv",
        pd.concat(
            [
                reliability(labels, each, single).assign(calibration=side)
                for side, each in sides.items()
            ]
        ),
    )
    files.write_plot(
        files.PLOTS / "ladder.csv",
        pd.DataFrame.from_dict(ladder, orient="index").rename_axis("step").reset_index(),
    )


if __name__ == "__main__":
    run(main)
