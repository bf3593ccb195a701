"""Stage 8: everything about a run on one page that needs no network.

Reads what the stages before it wrote, and which commit its inputs come from; writes
plots/report.html.
"""

from dataclasses import fields, replace
from typing import Any

import pandas as pd
from pydantic import BaseModel

from foldwise.core import files
from foldwise.core.corrected import read_corrected
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import read_file
from foldwise.decision.decision import Decision
from foldwise.embedding.kept import read_feature_space
from foldwise.embedding.neighbours import in_the_midst
from foldwise.embedding.space import FeatureSpace
from foldwise.evaluation.predictions import Part, read_parts, unlabelled_part
from foldwise.images.store import ImageStore
from foldwise.params import Params, read_params
from foldwise.report.budget import picture_keys
from foldwise.report.figures import Tables, figures, picked_classes
from foldwise.report.galleries import Gallery, confident_errors, shown_pairs, suspects_gallery
from foldwise.report.heatmaps import heat_maps_of
from foldwise.report.label_errors import looked_at, suspected_errors
from foldwise.report.learned import gains_over, kinds_of, learned_from
from foldwise.report.map_section import MapSection, map_section
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


def kept_space(params: Params) -> FeatureSpace | None:
    """All images by the features of a member, if they were kept."""
    if not params.map.features:
        return None
    return read_feature_space(params.map.member or params.members[0], params.folds)


def map_of(
    params: Params,
    space: FeatureSpace,
    parts: dict[str, Part],
    ensemble: dict[str, Any],
    first: list[str],
    single: bool,
) -> MapSection | None:
    """The map, of the test part too where that may be looked at."""
    drawn = dict(parts)
    if params.evaluate.test and "test" not in parts and len(ensemble["test_id"]):
        decision = files.read_json(files.DECISION, "threshold", Decision.from_json)
        drawn["test"] = unlabelled_part(ensemble, decision)
    member = params.map.member or params.members[0]
    store = ImageStore(files.IMAGES)
    return map_section(space, drawn, first, params.map, member, single, params.seed, store)


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
    space = kept_space(params)
    midst = None
    if space is not None:
        how = params.map.neighbours, params.seed
        midst = in_the_midst(space, oof.labels, oof.ids, single, *how)
    suspects = suspected_errors(oof.labels, oof.calibrated, single, SUSPECTS, settled, midst)
    galleries = [
        confident_errors(parts[part]),
        suspects_gallery(oof, suspects),
        *class_galleries(parts[part], part, tables.classes, report.names),
    ]
    if space is not None:
        first = [*oof.ids[suspects["row"]], *(id for id, _ in shown_pairs(galleries))]
        mapped = map_of(params, space, parts, ensemble, first, single)
        report = replace(report, map=mapped)
    write_page(params, report, galleries)


def write_page(params: Params, report: Report, galleries: list[Gallery]) -> None:
    """The page with the galleries' pictures, under heat maps where they are wanted."""
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
