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
from stages.scoring.decision import Decision, plain_decision
from stages.scoring.ladder import climb
from stages.scoring.metrics import average_precision, mean_over_classes, per_class, summary

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


def test_ladder(
    ensemble: dict[str, np.ndarray], labels: np.ndarray, steps: dict[str, Any], params: Params
) -> dict[str, dict[str, Any]]:
    """What TTA, folds, members and the steps of the decision each add on the test part.

    Args:
        ensemble: what the stage of that name wrote.
        labels: (test images, classes).
        steps: of the decision, each as decision.json has it.
        params: say what the rungs are.
    """
    single = files.read_dataset()["task"] == "multiclass"
    plain = plain_decision(single)
    logits = ensemble["test_logits"]
    models: dict[str, list[np.ndarray]] = {
        "single fold": list(ensemble["test_single"]),
        "+ TTA": list(ensemble["test_views"]),
    }
    if len(params.folds) > 1:
        models["+ folds"] = list(ensemble["test_folds"])
    if len(ensemble["test_folds"]) > 1:
        models["+ members"] = [logits]
    rungs = {name: [plain(each) for each in found] for name, found in models.items()}
    for name, content in steps.items():
        rungs[name] = [Decision.from_json(content)(logits)]
    ladder = climb(labels, rungs, params.threshold.objective)
    for name, step in ladder.items():
        found = models.get(name, [logits])
        step["macro_ap"] = float(
            np.mean([mean_over_classes(average_precision(labels, each)) or 0.0 for each in found])
        )
    return ladder


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    classes = dataset["classes"]
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    written = files.read_json(files.DECISION, "threshold")
    decision = Decision.from_json(written)
    parts = labelled_parts(ensemble, classes)
    files.write_json(
        files.METRICS / "summary.json",
        {
            part: summary(labels, logits, decision(logits))
            for part, (labels, logits) in parts.items()
        },
    )
    steps: dict[str, dict[str, Any]] = {}
    if "test" in parts:
        steps = test_ladder(ensemble, parts["test"][0], written["steps"], params)
    files.write_json(files.METRICS / "ladder.json", steps)
    rungs = pd.read_csv(files.PLOTS / "ladder.csv")
    test_rungs = pd.DataFrame([{"step": name} | step for name, step in steps.items()])
    test_rungs = test_rungs.reindex(columns=[*rungs.columns, "macro_ap"])
    files.write_csv(files.PLOTS / "test_ladder.csv", test_rungs)
    logits = ensemble["test_logits"]
    files.write_csv(
        Path(params.evaluate.submission),
        submission(dataset, ensemble["test_id"].tolist(), logits, decision(logits)),
    )

    objective = params.threshold.objective
    oof_labels, oof_logits = parts["oof"]
    calibrated = decision.calibrator(oof_logits)
    one = decision.decoder == "threshold" and len(decision.thresholds) == 1
    thresholds = threshold_table(
        calibrated, oof_labels, objective, decision.thresholds[0] if one else None
    )
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
        chart = draw_results(
            pd.concat([rungs.assign(part="out-of-fold"), test_rungs.assign(part="test")]),
            pd.read_csv(files.PLOTS / "views.csv"),
            pd.read_csv(files.PLOTS / "reliability.csv"),
            thresholds,
            by_class,
            objective.name,
        )
        chart.save(str(temporary), format="png", scale_factor=2)


if __name__ == "__main__":
    run(main)
