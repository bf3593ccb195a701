"""Stage 7: how good it is, in numbers and pictures, and the test part's labels.

Reads data/ensemble.npz, data/outoffold.npz, data/decision.json, labels, folds and learning curves;
writes metrics/summary.json (the headline), metrics/evaluation.json (everything),
metrics/ladder.json, plots/ and the submission. `evaluate.base` adds a rung to the ladder, of the
paired gain over that commit's run.
"""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise import revisions
from foldwise.charts.examples import draw_examples
from foldwise.charts.overview import draw_results
from foldwise.charts.save import save_chart
from foldwise.core import files
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import Folds, Members, read
from foldwise.decision.decision import Decision, steps_from_json
from foldwise.decision.guarantee import promises_kept
from foldwise.decision.ladder import test_ladder, test_models
from foldwise.evaluation import tables
from foldwise.evaluation.base import base_rungs
from foldwise.evaluation.headline import headline, headline_rows, headline_values
from foldwise.evaluation.metrics import all_metrics, mean_macro_ap
from foldwise.evaluation.predictions import Part, read_parts
from foldwise.evaluation.runs import Run, fetch_run, paired
from foldwise.evaluation.selective import risk_coverage_table
from foldwise.evaluation.settings import Evaluate
from foldwise.evaluation.submission import submission
from foldwise.images.store import ImageStore
from foldwise.scoring.objective import Objective, ObjectiveField

KEY = "evaluate.base"


def main() -> None:
    settings = read("evaluate", Evaluate)
    objective = read("threshold.objective", ObjectiveField)
    series = {
        f"{member} fold {fold}": files.CURVES / member / str(fold)
        for member in read("members", Members)
        for fold in read("folds", Folds)
    }
    dataset = files.read_dataset()
    classes, single = dataset["classes"], dataset["task"] == "multiclass"
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    decision = files.read_json(files.DECISION, "threshold", Decision.from_json)
    parts = read_parts(dataset, ensemble, test=settings.test)
    oof, test = parts["oof"], parts.get("test")
    against = rungs_against(settings, Run("this run", classes, single, parts), objective)

    headlines = {
        name: headline(part, single)
        for name, part in track(parts.items(), len(parts), "bootstrap of metrics")
    }
    by_fold = {"oof": oof.by_fold(files.read_folds())}
    steps: dict[str, dict[str, Any]] = {}
    if test is not None:
        by_fold["test"] = test.predicted_by(list(ensemble["test_by_fold"]), decision)
        way = files.read_json(files.DECISION, "threshold", steps_from_json)
        steps = test_ladder(ensemble, test.labels, way, objective, single)
        steps |= against.get("test", {})
        models = test_models(ensemble)
        for name, step in steps.items():
            own = models.get(name, [ensemble["test_logits"]])
            step["macro_ap"] = mean_macro_ap(test.labels, own)
    rows = {
        name: headline_rows(each, [headline_values(fold, single) for fold in by_fold[name]])
        for name, each in headlines.items()
    }
    write_metrics(parts, rows, steps, single, decision)
    logits = ensemble["test_logits"]
    files.write_csv(
        Path(settings.submission),
        submission(dataset, ensemble["test_id"].tolist(), decision.best(logits), decision(logits)),
    )
    rungs = files.read_csv(files.PLOTS / "ladder.csv", "threshold", ["step", "score"])
    one = decision.decoder == "threshold" and len(decision.thresholds) == 1
    plots = tables.class_tables(parts, headlines, classes, single) | {
        "curves": tables.curves_table(series),
        "precision_recall": tables.precision_recall_table(parts),
        "risk_coverage": risk_coverage_table(parts, single),
        "test_ladder": as_table(steps, [*rungs.columns, "macro_ap"]),
        "base_ladder": as_table(against.get("oof", {}), [*rungs.columns]),
        "threshold": tables.threshold_table(
            oof.labels,
            decision.calibrator(oof.logits),
            objective,
            decision.thresholds[0] if one else None,
        ),
    }
    for name, table in plots.items():
        files.write_plot(files.PLOTS / f"{name}.csv", table)
    draw_pictures((test or oof).of(slice(settings.examples)), classes, rungs, plots, objective.name)


def rungs_against(
    settings: Evaluate, own: Run, objective: Objective
) -> dict[str, dict[str, dict[str, Any]]]:
    """By part, one more rung by its name; nothing where there is no base.

    Raises:
        UserError: the base cannot be had, moves, or has other images or classes.
    """
    base = settings.base
    if base is None:
        return {}
    commit = revisions.fixed_commit(base, KEY)
    with tempfile.TemporaryDirectory() as temporary:
        run_of_base = fetch_run(commit, f"params.yaml: {KEY}: {base}", Path(temporary))
    folds = files.folds_of(own.parts["oof"].ids).to_numpy()
    rungs = base_rungs(paired(run_of_base, own), objective, folds)
    return {part: {settings.base_step: rung} for part, rung in rungs.items()}


def as_table(steps: dict[str, dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A ladder as a table; header alone if it has no rungs."""
    rows = pd.DataFrame([{"step": name} | step for name, step in steps.items()])
    return rows.reindex(columns=list(columns))


def write_metrics(
    parts: dict[str, Part],
    rows: dict[str, list[dict[str, Any]]],
    steps: dict[str, dict[str, Any]],
    single: bool,
    decision: Decision,
) -> None:
    """The headline alone, everything, and the test part's ladder."""
    summary = {name: {row["metric"]: row["value"] for row in rows[name]} for name in parts}
    files.write_json(files.METRICS / "summary.json", summary)
    every = {name: all_metrics(part, single) for name, part in parts.items()}
    flat = [{"part": name} | row for name, each in rows.items() for row in each]
    content: dict[str, Any] = {"headline": flat, "all": every}
    if decision.bounds is not None and "test" in parts:
        test = parts["test"]
        found = promises_kept(decision.bounds, test.labels, test.calibrated)
        content["guarantee"] = {"test": found}
    files.write_json(files.METRICS / "evaluation.json", content)
    files.write_json(files.METRICS / "ladder.json", steps)


def draw_pictures(
    shown: Part,
    classes: list[str],
    rungs: pd.DataFrame,
    plots: dict[str, pd.DataFrame],
    objective: str,
) -> None:
    """Pictures of some images with their labels, and of the results."""
    store = ImageStore(files.IMAGES)
    examples = draw_examples(
        [store.pixels(id, 3) for id in shown.ids.tolist()], shown.labels, shown.predicted, classes
    )
    with files.replacing(files.PLOTS / "examples.png") as temporary:
        examples.save(temporary, format="png")
    oof = [each.assign(part="out-of-fold") for each in (rungs, plots["base_ladder"]) if len(each)]
    chart = draw_results(
        pd.concat([*oof, plots["test_ladder"].assign(part="test")]),
        files.read_csv(files.PLOTS / "views.csv", "ensemble", ["member", "view"]),
        files.read_csv(files.PLOTS / "reliability.csv", "threshold", ["calibration"]),
        plots["threshold"],
        plots["classes"],
        objective,
    )
    with files.replacing(files.PLOTS / "results.png") as temporary:
        save_chart(chart, temporary)


if __name__ == "__main__":
    run(main)
