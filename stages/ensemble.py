"""Stage 5: one logit per image and class, of all views, folds and members.

Reads data/predictions/, labels and folds; writes data/ensemble.npz, which views and weights were
used to data/ensemble.json, and what they gain to metrics/ensemble.json and plots/views.csv. An
out-of-fold row is made of the fold's models that never saw it, by views and weights that its labels
did not choose; a test row of all folds'.
"""

import numpy as np
import pandas as pd

from foldwise.checks import check_params
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import Folds, Members, read
from foldwise.ensembling.combine import (
    Held,
    audits,
    merge_views,
    merged_arrays,
    used_members,
    weigh_members,
)
from foldwise.ensembling.included import included_members
from foldwise.ensembling.out_of_fold import MemberPredictions
from foldwise.ensembling.settings import Ensemble, Tta, check_weights
from foldwise.scoring.objective import ObjectiveField
from foldwise.scoring.thresholds import threshold_fit


def main() -> None:
    numbers, names = read("folds", Folds), read("members", Members)
    tta, settings = read("tta", Tta), read("ensemble", Ensemble)
    objective = read("threshold.objective", ObjectiveField)
    check_params()
    dataset = files.read_dataset()
    check_weights(settings, dataset["task"] == "multiclass")
    folds = files.read_folds()
    held_out = folds[folds["fold"] >= 0]
    oof_id = held_out["id"].to_numpy(str)
    test_id = np.array(files.ids_of_test_part(folds), str)
    held = Held(
        files.labels_of(oof_id, dataset["classes"]).to_numpy(np.int8),
        held_out["fold"].to_numpy(),
        objective,
        threshold_fit(objective, dataset["task"] == "multiclass"),
    )
    found = {
        name: {
            fold: files.read_arrays(files.PREDICTIONS / name / f"{fold}.npz", "predict")
            for fold in numbers
        }
        for name in names
    } | included_members(settings.include, folds, dataset["classes"])
    predictions = [
        MemberPredictions.from_arrays(name, each, oof_id, held.groups, test_id)
        for name, each in found.items()
    ]
    try:
        members = [
            merge_views(each, held, tta)
            for each in track(predictions, len(predictions), "audit of views")
        ]
        oof, weighing, weighed = weigh_members(members, held, settings)
    except ValueError as error:
        raise UserError(f"{files.LABELS}: held-out labels: {error}") from None
    arrays = merged_arrays(predictions, members, weighing, settings)
    files.write_arrays(files.ENSEMBLE, oof_id=oof_id, oof_logits=oof, test_id=test_id, **arrays)
    files.write_json(
        files.MERGING,
        {
            "folds": list(numbers),
            "merge": {"views": tta.merge, "folds": settings.folds, "members": settings.members},
            "members": used_members(members, weighing),
        },
    )
    audit = pd.DataFrame([{"member": each.name} | row for each in members for row in each.audit])
    files.write_json(
        files.METRICS / "ensemble.json",
        {"objective": objective.name, "views": audits(members), "weights": weighed},
    )
    files.write_plot(files.PLOTS / "views.csv", audit)


if __name__ == "__main__":
    run(main)
