"""The section of a report on a search for settings."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.charts.study import UNDRAWN
from foldwise.core.errors import UserError
from foldwise.report.budget import LIMIT
from foldwise.report.study_figures import AXIS, MOST_KEYS, axis_places, short_keys
from foldwise.report.study_record import as_numbers, read_study_record, short_texts
from foldwise.report.tuning import MOST_TRIALS, TuningSection, tuning_section
from stages import present
from tests.chromium import launched, needs_chromium
from tests.conftest import Project
from tests.runs import write_run
from tests.studies import COLUMNS, write_no_study, write_study

FILES = ("metrics/tune.json", *(f"plots/tune{each}.csv" for each in ("", "_rungs", "_importances")))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `present` reads of a run, with a study of 30 trials."""
    folder = tmp_path_factory.mktemp("study") / "run"
    write_run(folder, ["cat", "dog"], 12)
    write_study(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return made(run)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder for a study's files."""
    for name in ("metrics", "plots"):
        (tmp_path / name).mkdir()
    return tmp_path


def made(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        present.main()
    return (folder / "plots/report.html").read_text(encoding="utf-8")


def section_of(folder: Path, own: Any = None) -> TuningSection:
    record = read_study_record(*(folder / each for each in FILES))
    assert record
    return tuning_section(record, own)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The table of trials, by no library of ours."""
    with (folder / "plots/tune.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def tuning(page: str) -> str:
    found = re.search(r'<section id="tuning">.*?</section>', page, re.DOTALL)
    assert found
    return found[0]


def specs(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1])["specs"])


def data(spec: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """The rows of the spec's table that has these columns."""
    return next(rows for rows in spec["datasets"].values() if {*columns} <= rows[0].keys())


def test_where_there_was_no_study_the_page_has_none(run: Path, tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    page = made(tmp_path)
    assert "uning" not in page.partition("<script")[0]
    assert not [name for name in specs(page) if name.startswith("tune")]
    # Whatever else lies there: tune.json decides.
    for name in FILES[1:]:
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert made(tmp_path) == page


def test_the_first_sentence_has_the_winner_and_both_gains(run: Path, page: str) -> None:
    told = json.loads((run / FILES[0]).read_text())
    lead = words(tuning(page).partition("<p>")[2].partition("</p>")[0])
    winner, nested = told["winner"], told["nested"]
    counts = told["trials"]
    assert f"Of 30 trials ({counts['complete']} complete, {counts['pruned']} pruned, " in lead
    assert (
        f"{counts['failed']} failed) trial {winner['trial']} (lr {winner['params']['lr']:.4g}, "
        in lead
    )
    assert f"accuracy, {winner['score']:.4f}." in lead
    for gain in (winner["gain"], nested):
        low, high = gain["low"], gain["high"]
        assert f"{gain['value']:+.4f} [{low:+.4f}, {high:+.4f}] ({gain['verdict']})" in lead
    assert lead.index("forgets that it was chosen") < lead.index("choice cost taken off")
    assert "the base, 3f2a91c0" in lead
    assert "test part" in lead
    assert lead.count("test") == 1


def test_the_table_has_those_within_noise_and_marks_the_cheapest(run: Path, page: str) -> None:
    within = [each for each in rows_of(run) if each["within_noise"] == "True"]
    within.sort(key=lambda row: -float(row["score"]))
    assert 2 < len(within) < 20
    body = tuning(page).partition("<tbody>")[2].partition("</tbody>")[0]
    lines = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    assert len(lines) == len(within)
    told = json.loads((run / FILES[0]).read_text())
    for line, row in zip(lines, within, strict=True):
        cells = [words(each).strip() for each in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
        assert cells[0] == row["trial"]
        assert ("winner" in cells[1]) == (int(row["trial"]) == told["winner"]["trial"])
        assert ("cheapest" in cells[1]) == (int(row["trial"]) == told["cheapest"]["trial"])
        assert cells[2:4] == [
            f"{float(row['score']):.4f}",
            f"{float(row['low']):.4f} to {float(row['high']):.4f}",
        ]
        assert cells[6:8] == [f"{float(row['seconds']):,.0f}", row["epochs"]]
        assert cells[8] == f"{float(row['lr']):.4g}"
        assert cells[9] == json.loads(row["train.loss"])
        assert (cells[11] == "-") == (row["models.cnn.dropout"] == "")
    cheapest = min(within, key=lambda row: float(row["seconds"]))
    assert told["cheapest"]["trial"] == int(cheapest["trial"])


def test_every_trial_can_be_read_without_a_chart(run: Path, page: str) -> None:
    body = tuning(page).rpartition("<tbody>")[2].partition("</tbody>")[0]
    lines = [words(each).split() for each in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]
    wanted = [[each["trial"], each["state"]] for each in rows_of(run)]
    assert [each[:2] for each in lines] == wanted
    assert lines[0][-2:] == ["the", "base"]


def test_history_holds_each_trial_and_the_best_so_far(run: Path, page: str) -> None:
    spec = specs(page)["tune_history"]
    rows = rows_of(run)
    complete = data(spec, "trial", "low", "high")
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
        rows = data(spec, "trial", "value", "winner")
        assert {each["trial"] for each in rows} == set(wanted)
        for each in rows:
            assert each["score"] == pytest.approx(float(wanted[each["trial"]]["score"]), abs=1e-5)
            if key in ("lr", "models.cnn.dropout"):
                drawn = float(wanted[each["trial"]][key])
                assert each["value"] == pytest.approx(drawn, rel=1e-4)
        base = data(spec, "what")
        assert [each["score"] for each in base] == [
            pytest.approx(float(complete[0]["score"]), abs=1e-5)
        ]
    losses = data(slices[1], "trial", "value", "winner")
    assert {each["trial"]: each["value"] for each in losses} == {
        int(row["trial"]): json.loads(row["train.loss"]) for row in complete if row["train.loss"]
    }


def test_a_line_of_parallel_coordinates_per_complete_trial(run: Path, page: str) -> None:
    spec = specs(page)["tune_parallel"]
    rows = data(spec, "trial", "place", "score")
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
    rows = data(specs(page)["tune_rungs"], "epochs", "state")
    with (run / FILES[2]).open() as file:
        wanted = [row for row in csv.DictReader(file) if row["folds"] == "1"]
    assert len(rows) == len(wanted)
    last = pd.DataFrame(rows).groupby("trial").agg({"epochs": "max", "state": "first"})
    assert set(last.loc[last["state"] == "complete", "epochs"]) == {9}
    assert set(last.loc[last["state"] == "pruned", "epochs"]) == {1, 3}


def test_what_is_not_the_winners_is_said(run: Path) -> None:
    winner = json.loads((run / FILES[0]).read_text())["winner"]["params"]
    own: dict[str, Any] = {"lr": f"{winner['lr']!r}", "train": {"loss": winner["train.loss"]}}
    own["tta"] = {"views": winner["tta.views"]}
    assert "not the winner's" not in " ".join(section_of(run, own).lines)
    own["train"]["loss"] = "another"
    assert "not the winner's: train.loss differ." in " ".join(section_of(run, own).lines)
    # In the page, whose params.yaml is the test's.
    params = yaml.safe_load((run / "params.yaml").read_text())
    assert params["lr"] != winner["lr"]
    assert "not the winner&#39;s: lr, " in (run / "plots/report.html").read_text()


def test_many_trials_and_keys_leave_room(tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    write_study(tmp_path, 300, 12)
    page = made(tmp_path)
    assert len(page.encode()) < LIMIT / 2
    found = specs(page)
    assert len([each for each in found if each.startswith("tune_key")]) == MOST_KEYS
    assert "12 of 16 keys" in words(tuning(page))
    width = re.search(r'id="chart-tune_parallel".*?min-width: (\d+)px', tuning(page))
    assert width
    assert int(width[1]) == AXIS * (MOST_KEYS + 1)
    names = [each["key"] for each in data(found["tune_importances"], "key", "importance")]
    assert len(set(names)) == 16
    assert all(len(each) <= 24 for each in names)
    lead = words(tuning(page).partition("<p>")[2].partition("</p>")[0])
    assert re.search(r" and \d+ more\) has the best", lead)


def test_of_very_many_trials_the_best_are_shown(left: Path) -> None:
    write_study(left, MOST_TRIALS * 2)
    found = section_of(left)
    shown = {each["trial"] for each in found.every}
    assert len(shown) == MOST_TRIALS
    scores = {int(each["trial"]): float(each["score"] or -1) for each in rows_of(left)}
    others = [score for trial, score in scores.items() if trial not in shown]
    assert sum(scores[trial] < max(others) for trial in shown) <= 1
    assert 0 in shown
    assert f"{MOST_TRIALS} of 1,000 trials" in " ".join(found.lines)


def changed(folder: Path, edit: Any, **columns: Any) -> None:
    """Edit tune.json, and columns of the table of trials."""
    content = json.loads((folder / FILES[0]).read_text())
    edit(content)
    (folder / FILES[0]).write_text(json.dumps(content))
    table = pd.read_csv(folder / FILES[1], dtype=str, keep_default_na=False)
    table.assign(**columns).to_csv(folder / FILES[1], index=False)


def test_the_base_may_win(left: Path) -> None:
    write_study(left, 4)
    none = {"value": 0.0, "low": 0.0, "high": 0.0, "verdict": "within noise"}
    winner = {"trial": 0, "params": {}, "score": 0.95, "gain": none}
    states = ["complete", "pruned", "failed", "failed"]

    def edit(content: dict[str, Any]) -> None:
        content["winner"], content["nested"] = winner, none
        content["within_noise"], content["cheapest"]["trial"] = [0], 0

    changed(left, edit, state=states, score=["0.95", "", "", ""], low=["0.94", "", "", ""])
    found = section_of(left)
    assert "none beats the base, 3f2a91c0" in found.lead
    assert "the cheapest is the base" in found.lines[0]
    assert [each["trial"] for each in found.within] == [0]
    # Nothing is complete but the base: no slices, no lines of trials.
    assert found.figures["keys"] == []
    names = [each.name for each in found.figures["overview"]]
    assert names == ["tune_history", "tune_importances", "tune_rungs"]


def test_without_halving_and_importances_there_are_no_such_charts(left: Path) -> None:
    write_study(left)
    for name in FILES[2:]:
        (left / name).write_text((left / name).read_text().partition("\n")[0] + "\n")
    changed(left, lambda content: content.pop("nested"))
    found = section_of(left)
    assert [each.name for each in found.figures["overview"]] == ["tune_history", "tune_parallel"]
    assert "what that choice cost is not known" in found.lead


def test_few_low_scores_do_not_squeeze_the_others(left: Path) -> None:
    write_study(left)
    table = pd.read_csv(left / FILES[1], dtype=str, keep_default_na=False)
    trial = int(table.index[table["state"] == "complete"][2])
    score = table["score"].where(table.index != trial, "0.01")
    changed(left, lambda content: None, score=score, low=score, high=score)
    found = section_of(left)
    scale = found.figures["keys"][0].spec["layer"][1]["encoding"]["y"]["scale"]
    assert scale["domainMin"] > 0.8
    assert scale["clamp"]
    assert any(re.match(r"\d trials? scores? below 0.9\d+ and stand", each) for each in found.lines)


def test_a_key_may_be_called_as_a_column_is(left: Path) -> None:
    write_study(left)
    path = left / FILES[1]
    header, rest = path.read_text().split("\n", 1)
    path.write_text(header.replace("models.cnn.dropout", "epochs") + "\n" + rest)
    record = read_study_record(*(left / each for each in FILES))
    assert record
    assert list(record.trials.columns) == list(COLUMNS)
    assert record.values.columns[-1] == "epochs"
    assert record.trials["epochs"].iloc[0] == 27
    assert section_of(left).every[0]["epochs"] == "27"


def test_keys_and_values_stand_there_as_text(tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    write_study(tmp_path)
    evil = ["</script><script>alert(1)</script>", "a\u2028b", "x" * 500, "x" * 501, "{{7*7}}", ""]
    table = pd.read_csv(tmp_path / FILES[1], dtype=str, keep_default_na=False)
    drawn = [json.dumps(evil[each % 6]) for each in range(len(table))]
    changed(tmp_path, lambda content: None, **{"tta.<b>'\"": drawn})
    page = made(tmp_path)
    assert "<script>alert" not in page
    assert "tta.<b>" not in page
    assert "49" not in words(tuning(page).rpartition("<tbody>")[2].partition("{{7")[0])[-20:]
    values = data(specs(page)["tune_key_4"], "trial", "value", "winner")
    assert all(len(each["value"]) <= 28 and each["value"].isprintable() for each in values)
    complete = [row for row in rows_of(tmp_path) if row["state"] == "complete"]
    assert len({each["value"] for each in values}) == len({row["tta.<b>'\""] for row in complete})


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "a,b\n1,2\n", "\x00\x01"])
def test_what_no_study_left_is_one_line(left: Path, name: str, content: str | None) -> None:
    write_study(left)
    path = left / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_study_record(*(left / each for each in FILES))
    (line,) = caught.value.args
    assert "\n" not in line
    assert f"{name}: " in line
    assert "git checkout HEAD -- " in line


def test_a_winner_that_is_no_trial_is_refused(left: Path) -> None:
    content = write_study(left)
    content["winner"]["trial"] = 99
    (left / FILES[0]).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tune\.csv: .*no trial 99, which tune\.json names"):
        section_of(left)


def test_nothing_is_read_where_there_was_no_study(left: Path) -> None:
    write_no_study(left)
    assert read_study_record(*(left / each for each in FILES)) is None


def test_short_texts_stay_different() -> None:
    texts = [json.dumps(["view", *map(str, range(9)), each]) for each in "abcdefghijklm"]
    found = short_texts(texts)
    assert len(set(found.values())) == len(texts)
    assert max(map(len, found.values())) <= 28
    keys = [f"models.a_long_name_of_a_member.options.drop_path.rate_{each}" for each in range(30)]
    names = short_keys(keys, 18)
    assert len(set(names.values())) == 30
    assert all(len(each) <= 18 and each.endswith(key[-4:]) for key, each in names.items())


@pytest.mark.parametrize("text", ["true", "null", "[1]", '"1"', "NaN", "Infinity", "abc"])
def test_what_is_no_number_makes_a_key_one_of_values(text: str) -> None:
    assert as_numbers(["1", text]) is None


def test_a_value_alone_stands_in_the_middle() -> None:
    scores = pd.Series([0.1, 0.2])
    assert axis_places(["3", "3"], scores) == ([0.5, 0.5], {"3": 0.5})
    assert axis_places(['"a"', ""], scores) == ([0.5, UNDRAWN], {"a": 0.5, "not drawn": UNDRAWN})


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
