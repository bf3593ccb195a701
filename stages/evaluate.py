"""Stage 7: how good it is, in numbers and pictures, and the test part's labels.

Reads data/ensemble.npz, data/outoffold.npz, data/decision.json, labels, folds and learning curves;
writes metrics/summary.json (the headline), metrics/evaluation.json (everything),
metrics/ladder.json, plots/ and the submission.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.charts.examples import draw_examples
from foldwise.charts.overview import draw_results
from foldwise.charts.save import save_chart
from foldwise.core import files
from foldwise.core.errors import run
from foldwise.core.progress import track
from foldwise.decision.decision import Decision
from foldwise.decision.ladder import test_ladder
from foldwise.evaluation import curve_tables as tables
from foldwise.evaluation import tables as class_tables
from foldwise.evaluation.headline import Headline, headline, headline_rows, headline_values
from foldwise.evaluation.metrics import all_metrics
from foldwise.evaluation.part import Part
from foldwise.evaluation.predictions import read_parts
from foldwise.evaluation.submission import submission
from foldwise.images.store import ImageStore
from foldwise.params import Params, read_params

CURVES = ("train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap")


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


def fold_values(
    parts: dict[str, Part], ensemble: dict[str, np.ndarray], decision: Decision, single: bool
) -> dict[str, list[dict[str, float | None]]]:
    """The headline of every fold: of the images that it held out, and of its test predictions."""
    folds = files.read_folds().set_index("id")["fold"]
    found = {}
    for name, part in parts.items():
        if name == "oof":
            fold_of = folds.loc[part.ids].to_numpy()
            each = [part.of(fold_of == fold) for fold in np.unique(fold_of)]
        else:
            each = [
                replace(part, logits=logits, predicted=decision(logits))
                for logits in ensemble["test_by_fold"]
            ]
        found[name] = [headline_values(fold, single) for fold in each]
    return found


def class_plots(
    parts: dict[str, Part], headlines: dict[str, Headline], classes: list[str], single: bool
) -> dict[str, pd.DataFrame]:
    """Tables of the plots that show classes, of every part; by file name."""
    shown = class_tables.shown_classes(parts["oof"].labels, parts["oof"].logits)
    found: dict[str, list[pd.DataFrame]] = {}
    for name, part in parts.items():
        for file, table in {
            "classes": class_tables.class_table(part, headlines[name].classes["ap"], classes),
            "class_precision_recall": class_tables.class_precision_recall_table(
                part, classes, shown
            ),
            "tail_accuracy": class_tables.tail_table(part, classes, shown),
            "confusion": class_tables.confusion_table(part, classes, single),
            "labels_per_image": class_tables.label_counts_table(part),
        }.items():
            found.setdefault(file, []).append(table.assign(part=name))
    return {file: pd.concat(each) for file, each in found.items()}


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    classes, single = dataset["classes"], dataset["task"] == "multiclass"
    objective = params.threshold.objective
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    written = files.read_json(files.DECISION, "threshold")
    decision = Decision.from_json(written)
    parts = read_parts(dataset, ensemble)
    oof, test = parts["oof"], parts.get("test")

    headlines = {
        name: headline(part, single)
        for name, part in track(parts.items(), len(parts), "bootstrap of metrics")
    }
    folds = fold_values(parts, ensemble, decision, single)
    rows = {name: headline_rows(each, folds[name]) for name, each in headlines.items()}
    summary = {name: {row["metric"]: row["value"] for row in rows[name]} for name in parts}
    files.write_json(files.METRICS / "summary.json", summary)
    every = {name: all_metrics(part, single) for name, part in parts.items()}
    flat = [{"part": name} | row for name, each in rows.items() for row in each]
    files.write_json(files.METRICS / "evaluation.json", {"headline": flat, "all": every})
    steps: dict[str, dict[str, Any]] = {}
    if test is not None:
        steps = test_ladder(ensemble, test.labels, written["steps"], objective, single)
    files.write_json(files.METRICS / "ladder.json", steps)
    logits = ensemble["test_logits"]
    files.write_csv(
        Path(params.evaluate.submission),
        submission(dataset, ensemble["test_id"].tolist(), decision.best(logits), decision(logits)),
    )

    rungs = pd.read_csv(files.PLOTS / "ladder.csv")
    test_rungs = pd.DataFrame([{"step": name} | step for name, step in steps.items()])
    one = decision.decoder == "threshold" and len(decision.thresholds) == 1
    plots = class_plots(parts, headlines, classes, single) | {
        "curves": tables.curves_table(read_curves(params)),
        "precision_recall": tables.precision_recall_table(parts),
        "test_ladder": test_rungs.reindex(columns=[*rungs.columns, "macro_ap"]),
        "threshold": tables.threshold_table(
            decision.calibrator(oof.logits),
            oof.labels,
            objective,
            decision.thresholds[0] if one else None,
        ),
    }
    for name, table in plots.items():
        files.write_csv(files.PLOTS / f"{name}.csv", table)
    shown = (test or oof).of(slice(params.evaluate.examples))
    store = ImageStore(files.IMAGES)
    examples = draw_examples(
        [store.pixels(id, 3) for id in shown.ids.tolist()], shown.labels, shown.predicted, classes
    )
    with files.replacing(files.PLOTS / "examples.png") as temporary:
        examples.save(temporary, format="png")
    chart = draw_results(
        pd.concat([rungs.assign(part="out-of-fold"), plots["test_ladder"].assign(part="test")]),
        pd.read_csv(files.PLOTS / "views.csv"),
        pd.read_csv(files.PLOTS / "reliability.csv"),
        plots["threshold"],
        plots["classes"],
        objective.name,
    )
    with files.replacing(files.PLOTS / "results.png") as temporary:
        save_chart(chart, temporary)


if __name__ == "__main__":
    run(main)
