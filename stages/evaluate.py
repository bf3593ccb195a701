"""Stage 7: how good it is, in numbers and pictures, and the test part's labels.

Reads data/ensemble.npz, data/decision.json, labels, folds' predictions and learning curves; writes
metrics/summary.json, metrics/ladder.json, plots/ and the submission.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import files
from stages.errors import run
from stages.images.store import ImageStore
from stages.params import Params, read_params
from stages.report.examples import draw_examples
from stages.report.results import draw_results
from stages.report.submission import submission
from stages.report.tables import (
    class_table,
    curves_table,
    precision_recall_table,
    threshold_table,
)
from stages.scoring.decision import Decision
from stages.scoring.ladder import ladder
from stages.scoring.metrics import per_class, summary

CURVES = ("train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap")


def labelled_parts(
    ensemble: dict[str, np.ndarray], classes: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and logits (images, classes) of the parts that have labels."""
    table = files.read_labels().set_index("id")[classes]
    parts = {}
    for part in ("oof", "test"):
        rows = table.loc[ensemble[f"{part}_id"]]
        if len(rows) and rows.notna().to_numpy().all():
            parts[part] = rows.to_numpy(np.int8), ensemble[f"{part}_logits"]
    return parts


def read_curves(params: Params) -> dict[str, dict[str, pd.Series]]:
    """Every member's and fold's learning curves, as DVCLive wrote them."""
    return {
        f"{member} fold {fold}": {
            name: pd.read_csv(
                files.CURVES / member / str(fold) / "plots" / "metrics" / f"{name}.tsv",
                sep="\t",
                index_col="step",
            )[name]
            for name in CURVES
        }
        for member in params.members
        for fold in params.folds
    }


def test_ladder(params: Params, labels: np.ndarray, decision: Decision) -> dict[str, Any]:
    """What TTA, folds, members and the threshold each add on the test part."""
    predictions = {
        member: [
            files.read_arrays(files.PREDICTIONS / member / f"{fold}.npz", "predict")["test_logits"]
            for fold in params.folds
        ]
        for member in params.members
    }
    views = params.tta.views
    return ladder(
        labels,
        predictions,
        views.index("identity") if "identity" in views else 0,
        params.tta.merge,
        params.ensemble.folds,
        params.ensemble.members,
        decision,
    )


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    classes = dataset["classes"]
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    decision = Decision.from_json(files.read_json(files.DECISION, "threshold"))
    parts = labelled_parts(ensemble, classes)
    files.write_json(
        files.METRICS / "summary.json",
        {
            part: summary(labels, logits, decision(logits))
            for part, (labels, logits) in parts.items()
        },
    )
    steps = test_ladder(params, parts["test"][0], decision) if "test" in parts else {}
    files.write_json(files.METRICS / "ladder.json", steps)
    logits = ensemble["test_logits"]
    files.write_csv(
        Path(params.evaluate.submission),
        submission(dataset, ensemble["test_id"].tolist(), logits, decision(logits)),
    )

    objective = params.threshold.objective
    oof_labels, oof_logits = parts["oof"]
    thresholds = threshold_table(oof_logits, oof_labels, objective, decision.threshold)
    by_class = class_table(
        {
            part: per_class(labels, logits, decision(logits))
            for part, (labels, logits) in parts.items()
        },
        classes,
    )
    files.write_csv(files.PLOTS / "curves.csv", curves_table(read_curves(params)))
    files.write_csv(files.PLOTS / "threshold.csv", thresholds)
    files.write_csv(files.PLOTS / "classes.csv", by_class)
    files.write_csv(files.PLOTS / "precision_recall.csv", precision_recall_table(parts))
    shown = "test" if "test" in parts else "oof"
    rows = slice(params.evaluate.examples)
    labels, logits = parts[shown]
    store = ImageStore(files.IMAGES)
    examples = draw_examples(
        [store.pixels(id, 3) for id in ensemble[f"{shown}_id"][rows].tolist()],
        labels[rows],
        decision(logits[rows]),
        classes,
    )
    with files.replacing(files.PLOTS / "examples.png") as temporary:
        examples.save(temporary, format="png")
    with files.replacing(files.PLOTS / "results.png") as temporary:
        chart = draw_results(steps, thresholds, by_class, objective)
        chart.save(str(temporary), format="png", scale_factor=2)


if __name__ == "__main__":
    run(main)
