"""Charts of a search: in the page, and by DVC."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.charts.study import UNDRAWN
from foldwise.report.study_figures import axis_places, short_keys
from foldwise.report.study_record import short_texts
from tests.chromium import launched, needs_chromium
from tests.conftest import Project
from tests.studies import FILES, edit_study, rows_of, rows_with, section_of, specs, write_study


def test_history_holds_each_trial_and_the_best_so_far(run: Path, page: str) -> None:
    spec = specs(page)["tune_history"]
    rows = rows_of(run)
    complete = rows_with(spec, "trial", "low", "high")
    stopped = next(each for each in spec["datasets"].values() if each[0].get("state") == "pruned")
    assert {each["trial"] for each in complete} == {
        int(each["trial"]) for each in rows if each["state"] == "complete"
    }
    assert {each["trial"]: each["state"] for each in stopped} == {
        int(each["trial"]): each["state"] for each in rows if each["state"] != "complete"
    }
    steps = {
        each["trial"]: each["best"]
        for table in spec["datasets"].values()
        for each in table
        if each.get("state") == "best so far"
    }
    best = -np.inf
    for row in rows:
        best = max(best, float(row["score"] or -np.inf))
        assert steps[int(row["trial"])] == pytest.approx(best, abs=1e-5)
    lines = [layer for layer in spec["layer"] if layer["mark"]["type"] == "line"]
    assert [layer["mark"]["interpolate"] for layer in lines] == ["step-after"]


def test_a_slice_has_the_trials_that_drew_its_key(run: Path, page: str) -> None:
    found = specs(page)
    slices = [found[f"tune_key_{number}"] for number in range(4)]
    # By importance: lr, loss, views, dropout.
    axes = [each["layer"][1]["encoding"]["x"]["field"] for each in slices]
    assert axes == ["value", "score", "score", "value"]
    scales = [each["layer"][1]["encoding"]["x"]["scale"] for each in (slices[0], slices[3])]
    assert [each.get("type") for each in scales] == ["log", None]
    complete = [each for each in rows_of(run) if each["state"] == "complete"]
    for spec, key in zip(
        slices, ("lr", "train.loss", "tta.views", "models.cnn.dropout"), strict=True
    ):
        wanted = {int(row["trial"]): row for row in complete if row[key]}
        rows = rows_with(spec, "trial", "value", "winner")
        assert {each["trial"] for each in rows} == set(wanted)
        for each in rows:
            assert each["score"] == pytest.approx(float(wanted[each["trial"]]["score"]), abs=1e-5)
            if key in ("lr", "models.cnn.dropout"):
                drawn = float(wanted[each["trial"]][key])
                assert each["value"] == pytest.approx(drawn, rel=1e-4)
        base = rows_with(spec, "what")
        assert [each["score"] for each in base] == [
            pytest.approx(float(complete[0]["score"]), abs=1e-5)
        ]
    losses = rows_with(slices[1], "trial", "value", "winner")
    assert {each["trial"]: each["value"] for each in losses} == {
        int(row["trial"]): json.loads(row["train.loss"]) for row in complete if row["train.loss"]
    }


def test_a_line_of_parallel_coordinates_per_complete_trial(run: Path, page: str) -> None:
    spec = specs(page)["tune_parallel"]
    rows = rows_with(spec, "trial", "place", "score")
    complete = [each for each in rows_of(run) if each["state"] == "complete"][1:]
    lines = {int(row["trial"]): row for row in complete}
    assert {each["trial"] for each in rows} == set(lines)
    assert len(rows) == 5 * len(lines)
    assert [each["score"] for each in rows] == sorted(each["score"] for each in rows)
    places = {(each["trial"], each["key"]): each["place"] for each in rows}
    for trial, row in lines.items():
        assert (places[trial, "models.cnn.dropout"] == UNDRAWN) == (not row["models.cnn.dropout"])
    # Logarithmic, from the least to the greatest.
    rates = np.log([float(row["lr"]) for row in lines.values()])
    wanted = (rates - rates.min()) / (rates.max() - rates.min())
    assert [places[each, "lr"] for each in lines] == pytest.approx(wanted.tolist(), abs=1e-4)
    best = max(lines, key=lambda each: float(lines[each]["score"]))
    assert places[best, "accuracy"] == 1
    assert min(places[each, "accuracy"] for each in lines) == 0


def test_halving_compares_the_first_fold_alone(run: Path, page: str) -> None:
    rows = rows_with(specs(page)["tune_rungs"], "epochs", "state")
    with (run / FILES[2]).open() as file:
        wanted = [row for row in csv.DictReader(file) if row["folds"] == "1"]
    assert len(rows) == len(wanted)
    last = pd.DataFrame(rows).groupby("trial").agg({"epochs": "max", "state": "first"})
    assert set(last.loc[last["state"] == "complete", "epochs"]) == {9}
    assert set(last.loc[last["state"] == "pruned", "epochs"]) == {1, 3}


def test_without_halving_and_importances_there_are_no_such_charts(left: Path) -> None:
    write_study(left)
    for name in FILES[2:]:
        (left / name).write_text((left / name).read_text().partition("\n")[0] + "\n")
    edit_study(left, lambda content: content.pop("nested"))
    found = section_of(left)
    assert [each.name for each in found.figures["overview"]] == ["tune_history", "tune_parallel"]
    assert "what that choice cost is not known" in found.lead


def test_few_low_scores_do_not_squeeze_the_others(left: Path) -> None:
    write_study(left)
    table = pd.read_csv(left / FILES[1], dtype=str, keep_default_na=False)
    trial = int(table.index[table["state"] == "complete"][2])
    score = table["score"].where(table.index != trial, "0.01")
    edit_study(left, lambda content: None, score=score, low=score, high=score)
    found = section_of(left)
    scale = found.figures["keys"][0].spec["layer"][1]["encoding"]["y"]["scale"]
    assert scale["domainMin"] > 0.8
    assert scale["clamp"]
    assert any(re.match(r"\d trials? scores? below 0.9\d+ and stand", each) for each in found.lines)


def test_short_texts_stay_different() -> None:
    texts = [json.dumps(["view", *map(str, range(9)), each]) for each in "abcdefghijklm"]
    found = short_texts(texts)
    assert len(set(found.values())) == len(texts)
    assert max(map(len, found.values())) <= 28
    keys = [f"models.a_long_name_of_a_member.options.drop_path.rate_{each}" for each in range(30)]
    names = short_keys(keys, 18)
    assert len(set(names.values())) == 30
    assert all(len(each) <= 18 and each.endswith(key[-4:]) for key, each in names.items())


def test_a_value_alone_stands_in_the_middle() -> None:
    scores = pd.Series([0.1, 0.2])
    assert axis_places(["3", "3"], scores) == ([0.5, 0.5], {"3": 0.5})
    assert axis_places(['"a"', ""], scores) == ([0.5, UNDRAWN], {"a": 0.5, "not drawn": UNDRAWN})


@pytest.mark.slow
@needs_chromium
def test_dvc_draws_a_study_and_none(project: Project) -> None:
    """Headers alone break nothing; of a study every trial is drawn."""
    project.run("dvc", "plots", "show", "--out", "none")
    write_study(project.path)
    project.commit("A study")
    project.run("dvc", "plots", "diff", "HEAD~1", "--out", "both")
    marks: dict[str, list[int]] = {}
    complaints: list[str] = []
    with launched() as browser:
        for name in ("none", "both"):
            page = browser.new_page()
            page.on("console", lambda each: complaints.append(each.text))
            page.on("pageerror", lambda each: complaints.append(str(each)))
            page.goto((project.path / name / "index.html").as_uri())
            page.wait_for_function("document.querySelectorAll('.vega-embed svg').length > 2")
            page.wait_for_timeout(500)
            assert complaints == []
            marks[name] = [
                page.locator(f"#Tuning__{chart} :is({kinds})").count()
                for chart, kinds in (
                    ("score_of_each_trial_and_the_best_so_far", ".mark-symbol path[aria-label]"),
                    ("what_halving_compared", ".mark-line path"),
                    ("importance_of_each_key", ".mark-rect path"),
                )
            ]
    rows = rows_of(project.path)
    with (project.path / FILES[2]).open() as file:
        halved = {row["trial"] for row in csv.DictReader(file) if row["folds"] == "1"}
    assert marks == {"none": [0, 0, 0], "both": [len(rows), len(halved), 4]}
