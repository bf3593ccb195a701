"""The section of a report on a search for settings."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from foldwise.report.budget import LIMIT
from foldwise.report.study_figures import AXIS, MOST_KEYS
from foldwise.report.tuning import MOST_TRIALS
from tests.runs import write_run
from tests.studies import (
    FILES,
    edit_study,
    page_made_in,
    rows_of,
    rows_with,
    section_of,
    specs,
    write_study,
)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def tuning(page: str) -> str:
    found = re.search(r'<section id="tuning">.*?</section>', page, re.DOTALL)
    assert found
    return found[0]


def test_where_there_was_no_study_the_page_has_none(run: Path, tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    page = page_made_in(tmp_path)
    assert "uning" not in page.partition("<script")[0]
    assert not [name for name in specs(page) if name.startswith("tune")]
    # Whatever else lies there: tune.json decides.
    for name in FILES[1:]:
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert page_made_in(tmp_path) == page


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


def test_what_is_not_the_winners_is_said(run: Path) -> None:
    winner = json.loads((run / FILES[0]).read_text())["winner"]["params"]
    own: dict[str, Any] = {"lr": f"{winner['lr']!r}", "train": {"loss": winner["train.loss"]}}
    own["tta"] = {"views": winner["tta.views"]}
    assert "not the winner's" not in " ".join(section_of(run, own).lines)
    own["train"]["loss"] = "another"
    assert "not the winner's: train.loss differs." in " ".join(section_of(run, own).lines)
    # In the page, whose params.yaml is the test's.
    params = yaml.safe_load((run / "params.yaml").read_text())
    assert params["lr"] != winner["lr"]
    assert "not the winner&#39;s: lr, " in (run / "plots/report.html").read_text()


@pytest.mark.slow
def test_many_trials_and_keys_leave_room(tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    write_study(tmp_path, 300, 12)
    page = page_made_in(tmp_path)
    assert len(page.encode()) < LIMIT / 2
    found = specs(page)
    assert len([each for each in found if each.startswith("tune_key")]) == MOST_KEYS
    assert "12 of 16 keys" in words(tuning(page))
    width = re.search(r'id="chart-tune_parallel".*?min-width: (\d+)px', tuning(page))
    assert width
    assert int(width[1]) == AXIS * (MOST_KEYS + 1)
    names = [each["key"] for each in rows_with(found["tune_importances"], "key", "importance")]
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


def test_the_base_may_win(left: Path) -> None:
    write_study(left, 4)
    none = {"value": 0.0, "low": 0.0, "high": 0.0, "verdict": "within noise"}
    winner = {"trial": 0, "params": {}, "score": 0.95, "gain": none}
    states = ["complete", "pruned", "failed", "failed"]

    def edit(content: dict[str, Any]) -> None:
        content["winner"], content["nested"] = winner, none
        content["within_noise"], content["cheapest"]["trial"] = [0], 0

    edit_study(left, edit, state=states, score=["0.95", "", "", ""], low=["0.94", "", "", ""])
    found = section_of(left)
    assert "none beats the base, 3f2a91c0" in found.lead
    assert "the cheapest is the base" in found.lines[0]
    assert [each["trial"] for each in found.within] == [0]
    # Nothing is complete but the base: no slices, no lines of trials.
    assert found.figures["keys"] == []
    names = [each.name for each in found.figures["overview"]]
    assert names == ["tune_history", "tune_importances", "tune_rungs"]


def test_keys_and_values_stand_there_as_text(tmp_path: Path) -> None:
    write_run(tmp_path, ["cat", "dog"], 12)
    write_study(tmp_path)
    evil = ["</script><script>alert(1)</script>", "a\u2028b", "x" * 500, "x" * 501, "{{7*7}}", ""]
    table = pd.read_csv(tmp_path / FILES[1], dtype=str, keep_default_na=False)
    drawn = [json.dumps(evil[each % 6]) for each in range(len(table))]
    edit_study(tmp_path, lambda content: None, **{"tta.<b>'\"": drawn})
    page = page_made_in(tmp_path)
    assert "<script>alert" not in page
    assert "tta.<b>" not in page
    assert "49" not in words(tuning(page).rpartition("<tbody>")[2].partition("{{7")[0])[-20:]
    values = rows_with(specs(page)["tune_key_4"], "trial", "value", "winner")
    assert all(len(each["value"]) <= 28 and each["value"].isprintable() for each in values)
    complete = [row for row in rows_of(tmp_path) if row["state"] == "complete"]
    assert len({each["value"] for each in values}) == len({row["tta.<b>'\""] for row in complete})
