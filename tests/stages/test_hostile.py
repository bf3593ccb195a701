"""Params and class names reach no shell, no path outside, and no page as markup."""

import copy
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.params import read_params
from tests.chromium import launched, needs_chromium
from tests.conftest import TINY, Project

NAMES = [
    "cnn; touch x #",
    "$(touch x)",
    "`touch x`",
    "a'b",
    'a"b',
    "a\nb",
    "--help",
    "../../x",
    "*",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_reaches_the_shell_as_anything_but_a_word(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    params: dict[str, Any] = copy.deepcopy(TINY)
    params["members"] = [name]
    params["models"] = {name: params["models"]["cnn"]}
    params["folds"] = [name]
    project.write_params(params)
    monkeypatch.chdir(project.path)
    with Repo() as repo:
        stages = [each for each in repo.index.stages if "@" in each.addressing]
        for stage in stages:
            program = f"stages.{stage.addressing.partition('@')[0]}"
            wanted = ["python", "-m", program, "--member", name, "--fold", name]
            assert shlex.split(stage.cmd) == wanted
    assert len(stages) == 2
    with pytest.raises(UserError, match="members"):
        read_params()


@pytest.mark.slow
def test_a_name_that_leads_elsewhere_empties_nothing(copied: Project) -> None:
    """DVC deletes what a stage puts out before it runs; split refuses before that."""
    kept = copied.path / "data/incoming/0/kept.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    params: dict[str, Any] = copy.deepcopy(TINY)
    params["members"] = ["../incoming"]
    params["models"]["../incoming"] = params["models"]["cnn"]
    copied.write_params(params)
    said = copied.run("dvc", "repro", "--single-item", "split", code=None)
    assert said.returncode != 0
    assert "members" in said.stderr
    assert "Traceback" not in said.stderr
    said = copied.run("dvc", "repro", code=None)
    assert said.returncode != 0
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    "path",
    ["../s.csv", "data/../../s.csv", "/tmp/s.csv", ".git/s.csv", "foldwise/s.csv", "a\nb.csv",
     "data//s.csv", "data\\s.csv", "s.txt",
     "tests/s.csv", ".github/s.csv", "data/images/s.csv", "data/incoming/train.csv", ".s.csv"],
)  # fmt: skip
def test_a_submission_lies_in_the_project(tmp_path: Path, path: str) -> None:
    params = copy.deepcopy(TINY)
    params["evaluate"]["submission"] = path
    project = Project(tmp_path)
    project.write_params(params)
    with pytest.raises(UserError, match=r"evaluate\.submission|submission: "):
        read_params(tmp_path / "params.yaml")


def test_texts_of_plots_come_back_as_they_were(tmp_path: Path) -> None:
    names = ["a < b", "<b>x</b>", "</script>", "<!--", "<?", "x<", "<<i>", "plain"]
    files.write_plot(tmp_path / "a.csv", pd.DataFrame({"class": names, "ap": range(8)}))
    found = pd.read_csv(tmp_path / "a.csv")
    assert found["class"].map(files.plain_text).tolist() == names
    assert not found["class"].str.contains(r"<[A-Za-z/!?]").any()
    assert found["class"][0] == "a < b"


@pytest.mark.slow
@needs_chromium
def test_the_page_of_dvc_plots_runs_no_class_name(copied: Project) -> None:
    # Without double quotes, which JSON would break.
    evil = "</textarea></pre></title></script><script>document.title = 1</script>"
    image = "<img src=x onerror=document.title=2>"
    path = copied.path / "plots/classes.csv"
    table = pd.read_csv(path, dtype={"class": str})
    first, second = table["class"].unique()[:2]
    files.write_plot(path, table.replace({"class": {first: evil, second: image}}))
    copied.run("dvc", "plots", "show", "--out", "shown")
    page = copied.path / "shown/index.html"
    assert "document.title" in page.read_text()
    with launched() as browser:
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_selector("canvas, svg")
        opened.wait_for_timeout(1000)
        assert opened.title() == "Plots"
        assert opened.locator("canvas, svg").count() > 3
