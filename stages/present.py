"""Stage 8: everything about a run on one page that needs no network.

Reads what the stages before it wrote, and which commit its inputs come from; writes
plots/report.html.
"""

from dataclasses import fields
from typing import Any

import pandas as pd
from pydantic import BaseModel

from foldwise.core import files
from foldwise.core.corrected import read_corrected
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import read_file
from foldwise.evaluation.predictions import read_parts
from foldwise.images.store import ImageStore
from foldwise.params import read_params
from foldwise.report.budget import picture_keys
from foldwise.report.figures import Tables, figures, picked_classes
from foldwise.report.galleries import confident_errors, shown_pairs, suspects_gallery
from foldwise.report.heatmaps import heat_maps_of
from foldwise.report.label_errors import looked_at, suspected_errors
from foldwise.report.learned import gains_over, kinds_of, learned_from
from foldwise.report.page import (
    Report,
    class_galleries,
    compose_page,
    renamed,
    review_data,
    short_names,
)
from foldwise.report.run_facts import read_origin, run_facts, written_params
from foldwise.report.study_record import read_study_record
from foldwise.report.thumbnails import small_pictures
from foldwise.report.tuning import tuning_section

THRESHOLD = files.METRICS / "threshold.json"
EVALUATION = files.METRICS / "evaluation.json"
STUDY = (
    files.METRICS / "tune.json",
    files.PLOTS / "tune.csv",
    files.PLOTS / "tune_rungs.csv",
    files.PLOTS / "tune_importances.csv",
)
"""What a search for settings leaves: `{}` and headers where there was none."""
REPORT = files.PLOTS / "report.html"
SUSPECTS = 48
"""Suspected label errors that are shown."""
INPUTS = ("params.yaml", "dvc.yaml", "requirements.txt", "stages", "foldwise")
"""What decides a run's results, apart from its data."""

# Of these columns every value is text: a class may be called NA, or 007.
TEXT = ("class", "part", "actual", "predicted", "step", "verdict", "member", "view", "series",
        "calibration", "kind")  # fmt: skip

WRITERS = {"ladder": "threshold", "reliability": "threshold", "views": "ensemble", "data": "split"}
"""What stage writes a table, where it is not `evaluate`."""


class HeadlineRow(BaseModel):
    """One figure of one part."""

    part: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    fold_mean: float | None
    fold_std: float | None


class Chosen(BaseModel):
    """What evidence chose for a step."""

    taken: str


class Evidence(BaseModel):
    """What it chose, of the steps that were left to it."""

    calibration: Chosen | None = None
    threshold: Chosen | None = None
    decoder: Chosen | None = None


class ThresholdFile(BaseModel):
    """What metrics/threshold.json must hold where any were."""

    evidence: Evidence


class EvaluationFile(BaseModel):
    """What metrics/evaluation.json must hold."""

    headline: list[HeadlineRow]
    all: dict[str, dict[str, float | None]]


def read_plot_table(name: str) -> pd.DataFrame:
    """A table of plots/."""
    path = files.PLOTS / f"{name}.csv"
    stage = WRITERS.get(name, "evaluate")
    columns = files.read_csv(path, stage, [], nrows=0).columns
    texts = [name for name in columns if name in TEXT]
    table = files.read_csv(
        path,
        stage,
        [],
        dtype=dict.fromkeys(texts, str),
        na_values={name: [""] for name in columns if name not in TEXT},
        keep_default_na=False,
    )
    return table.assign(**{name: table[name].map(files.plain_text) for name in texts})


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    single = dataset["task"] == "multiclass"
    names = short_names(dataset["classes"])
    tables = Tables(
        **{each.name: renamed(read_plot_table(each.name), names) for each in fields(Tables)}
    )
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    parts = read_parts(dataset, ensemble, test=params.evaluate.test)
    part, oof = "test" if "test" in parts else "oof", parts["oof"]
    objective = params.threshold.objective.name
    evidence: dict[str, Any] = {}
    if params.threshold.auto:
        found = files.read_json(THRESHOLD, "threshold", files.checked_as(ThresholdFile))
        evidence = found["evidence"]
    ladders = tables.ladders()
    own = read_file()
    study = read_study_record(*STUDY)
    corrected = read_corrected()
    origin = read_origin(INPUTS)
    facts = run_facts(params, dataset, origin, evidence, learned_from(own), corrected)
    report = Report(
        title=dataset["name"],
        subtitle=f"{'One label' if single else 'Several labels'} per image, {len(names):,} classes",
        facts=facts,
        params=written_params(),
        part=part,
        evaluation=files.read_json(EVALUATION, "evaluate", files.checked_as(EvaluationFile)),
        ladders=ladders,
        against=gains_over(params.evaluate, ladders, kinds_of(own)),
        figures=figures(tables, objective, part, single),
        classes=tables.classes,
        names=list(names.values()),
        picked=picked_classes(tables, part),
        objective=objective,
        notes=[],
        tuning=tuning_section(study, own) if study else None,
        review=review_data(dataset["classes"], names, single),
    )
    settled = looked_at(corrected, oof.ids, dataset["classes"])
    suspects = suspected_errors(oof.labels, oof.calibrated, single, SUSPECTS, settled)
    galleries = [
        confident_errors(parts[part]),
        suspects_gallery(oof, suspects),
        *class_galleries(parts[part], part, tables.classes, report.names),
    ]
    heated = {}
    if params.evaluate.heatmaps:
        heated = heat_maps_of(shown_pairs(galleries), params.members[0], params.folds[0])
    keys = picture_keys(galleries, heated)
    pictures = small_pictures(ImageStore(files.IMAGES), keys, heated)
    images = dict(zip(keys, track(pictures, len(keys), "images of the report"), strict=True))
    with files.replacing(REPORT) as temporary:
        temporary.write_text(
            compose_page(report, galleries, images), encoding="utf-8", newline="\n"
        )


if __name__ == "__main__":
    run(main)
