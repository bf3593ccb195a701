"""Stage 5: one logit per image and class, of all views, folds and members.

Reads data/predictions/, labels and folds; writes data/ensemble.npz, which views and weights were
used to data/ensemble.json, and what they gain to metrics/ensemble.json and plots/views.csv. An
out-of-fold row is made of the fold's models that never saw it, by views and weights that its labels
did not choose; a test row of all folds'.
"""

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.core.errors import UserError, run
from foldwise.core.progress import track
from foldwise.decision.decision import threshold_fit
from foldwise.ensembling.combine import Held, merge_by_fold, merge_test, merge_views, weigh_members
from foldwise.ensembling.included import fixed_commit, included_arrays
from foldwise.ensembling.out_of_fold import ARRAYS, MemberPredictions
from foldwise.params import Params, read_params


def read_members(
    params: Params, folds: pd.DataFrame, test_id: np.ndarray, classes: list[str]
) -> list[MemberPredictions]:
    """Predictions of this run's members, and of those that it includes."""
    found = {
        member: {
            fold: files.read_arrays(files.PREDICTIONS / member / f"{fold}.npz", "predict")
            for fold in params.folds
        }
        for member in params.members
    }
    commits = [fixed_commit(revision) for revision in params.ensemble.include]
    if len(set(commits)) < len(commits):
        raise UserError("params.yaml: ensemble.include: names one commit twice; leave one out")
    for revision in params.ensemble.include:
        for member, arrays in included_arrays(revision, folds, classes).items():
            found[f"{revision}/{member}"] = arrays
    held_out = folds[folds["fold"] >= 0]
    oof_id, fold_of = held_out["id"].to_numpy(str), held_out["fold"].to_numpy()
    for member, arrays in found.items():
        for fold, each in arrays.items():
            missing = [name for name in ARRAYS if name not in each]
            if missing:
                raise UserError(
                    f"{member} fold {fold}: its predictions lack `{missing[0]}`, as those of an "
                    "older version do; run `dvc repro predict` there"
                )
            if not all(np.isfinite(each[f"{part}_logits"]).all() for part in ("oof", "test")):
                raise UserError(
                    f"{member} fold {fold}: some logits are not finite; look at the training curves"
                )
    return [
        MemberPredictions.from_arrays(member, arrays, oof_id, fold_of, test_id)
        for member, arrays in found.items()
    ]


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    folds, labels = files.read_folds(), files.read_labels()
    held_out = folds[folds["fold"] >= 0]
    oof_id = held_out["id"].to_numpy(str)
    test_id = labels.loc[~labels["id"].isin(folds["id"]), "id"].to_numpy(str)
    objective = params.threshold.objective
    held = Held(
        labels.set_index("id").loc[oof_id, dataset["classes"]].to_numpy(np.int8),
        held_out["fold"].to_numpy(),
        objective,
        threshold_fit(objective, dataset["task"] == "multiclass"),
    )
    predictions = read_members(params, folds, test_id, dataset["classes"])
    try:
        members = [
            merge_views(each, held, params.tta)
            for each in track(predictions, len(predictions), "audit of views")
        ]
        oof, weights, found = weigh_members(members, held, params.ensemble)
    except ValueError as error:
        raise UserError(f"{files.LABELS}: held-out labels: {error}") from None
    joined, test = merge_test(members, weights, params.ensemble)
    audit = [{"member": each.name} | row for each in members for row in each.audit]

    files.write_arrays(
        files.ENSEMBLE,
        oof_id=oof_id,
        oof_logits=oof,
        test_id=test_id,
        test_logits=test,
        # Rungs of the ladder below: of every member the untransformed view, then all views; of the
        # test part by every fold, then of all folds.
        oof_single=np.stack([each.single for each in members]),
        oof_views=np.stack([each.oof for each in members]),
        test_single=np.stack([fold[each.identity] for each in predictions for fold in each.test]),
        test_views=np.stack([fold for each in members for fold in each.test]),
        test_folds=np.stack(joined),
        # Of every fold, its members merged: how far folds differ.
        test_by_fold=merge_by_fold(members, weights, params.ensemble),
    )
    files.write_json(
        files.MERGING,
        {
            "folds": list(params.folds),
            "merge": {
                "views": params.tta.merge,
                "folds": params.ensemble.folds,
                "members": params.ensemble.members,
            },
            "members": {
                each.name: {"views": list(each.views), "weight": float(weight)}
                for each, weight in zip(members, weights, strict=True)
            },
        },
    )
    files.write_json(
        files.METRICS / "ensemble.json",
        {
            "objective": objective.name,
            "views": {
                each.name: {
                    row["view"]: {key: row[key] for key in row if key != "view"}
                    for row in each.audit
                }
                for each in members
            },
            "weights": found,
        },
    )
    files.write_csv(files.PLOTS / "views.csv", pd.DataFrame(audit))


if __name__ == "__main__":
    run(main)
