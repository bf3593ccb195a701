"""The stage that writes the report."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldwise.core.errors import UserError
from foldwise.report.budget import LIMIT
from foldwise.report.page import short_names
from foldwise.report.run_facts import read_origin
from stages import present
from tests.conftest import TINY, environment
from tests.pictures import picture
from tests.runs import write_run

NAMES = ["cat", "<script>alert(1)</script>", 'a & "b"', "NA", "007", "}}{{", "line\u2028end"]


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    present.main()
    return (folder / "plots/report.html").read_text(encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=environment(), check=True)


@pytest.mark.slow
def test_the_page_says_what_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, NAMES)
    page = made(tmp_path, monkeypatch)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "a &amp; &#34;b&#34;" in page
    assert "not in a git repository" in page
    for said in ("made up", "40 train, 20 test images", "foldwise/plain_cnn", "widths: [4, 8]"):
        assert said in page
    assert "workers" not in page.partition("<script")[0]
    assert str(tmp_path) not in page
    assert "Left out of this page" not in page
    assert made(tmp_path, monkeypatch) == page


def fact(page: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt>(.*?)</div>", page, re.DOTALL)
    assert found is not None, page[:3000]
    return re.sub(r"<[^>]+>|\s+", " ", found[1])


@pytest.mark.parametrize(
    ("asked", "evidence", "said"),
    [
        ({}, {}, "threshold, global, calibration none"),
        ({"fixed": 0.4}, {}, "threshold, p &gt;= 0.4, calibration none"),
        (
            {"scope": "auto", "calibration": "auto"},
            {"threshold": "per_class", "calibration": "platt"},
            "threshold, per_class (by evidence), calibration platt (by evidence)",
        ),
        (
            {"scope": "auto", "decode": "count_prior"},
            {"threshold": "plain", "decoder": "threshold"},
            "threshold (by evidence), p &gt;= 0.5 (by evidence), calibration none",
        ),
        (
            {"scope": "global", "calibration": "auto", "decode": "top_k"},
            {"calibration": "none"},
            "top_k, calibration none (by evidence)",
        ),
    ],
)
def test_the_page_says_what_was_decided_and_not_what_was_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    evidence: dict[str, str],
    said: str,
) -> None:
    write_run(tmp_path, ["a", "b"])
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["threshold"] |= asked
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    path = tmp_path / "metrics/threshold.json"
    if evidence:
        with pytest.raises(UserError, match=r"threshold\.json"):
            made(tmp_path, monkeypatch)
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"evidence": 3}')
        with pytest.raises(UserError, match=r"threshold\.json"):
            made(tmp_path, monkeypatch)
        steps = {step: {"taken": taken} for step, taken in evidence.items()}
        path.write_text(json.dumps({"evidence": steps | {"by_fold": {"0": "none"}}}))
    assert said in fact(made(tmp_path, monkeypatch), "Decision")


def test_the_page_names_no_epochs_of_a_head_that_was_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, ["a", "b"])
    path = tmp_path / "params.yaml"
    params = yaml.safe_load(path.read_text())
    assert "epochs at lr" in fact(made(tmp_path, monkeypatch), "Training")
    freeze = {"epochs": "all", "head": "logistic"}
    params["train"] |= {"augment": [], "loss": "bce", "freeze": freeze}
    for model in params["models"].values():
        model.pop("dropout", None)
    path.write_text(yaml.safe_dump(params))
    page = made(tmp_path, monkeypatch)
    assert "heads solved for bce" in fact(page, "Training")
    assert "epochs" not in fact(page, "Training")
    assert "frozen, its head solved" in fact(page, "Members")


def test_a_missing_table_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, ["a", "b"])
    (tmp_path / "plots/tail_accuracy.csv").unlink()
    with pytest.raises(UserError, match=r"tail_accuracy\.csv: no such file; `dvc repro evaluate`"):
        made(tmp_path, monkeypatch)
    assert not (tmp_path / "plots/report.html").exists()


def test_classes_may_look_like_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, ["007", "7", "1e3"])
    page = made(tmp_path, monkeypatch)
    for name in ("007", "7", "1e3"):
        assert f"<option>{name}</option>" in page


@pytest.mark.parametrize("single", [False, True])
def test_an_unlabelled_test_part_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single: bool
) -> None:
    write_run(tmp_path, ["a", "b", "c"], single=single, unlabelled=True)
    page = made(tmp_path, monkeypatch)
    assert "Out-of-fold images, by" in page
    assert "ladder_test" not in page
    assert ("Labels per image" in page) != single


@pytest.mark.slow
def test_a_thousand_classes_and_large_pictures_stay_below_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{'a long name of class ' * (1 + each % 9)}{each}" for each in range(1000)]
    # Noise is what WebP can do least with.
    write_run(tmp_path, names, 360, single=True, data=lambda each: picture(each, ".jpg", 200))
    page = made(tmp_path, monkeypatch)
    assert LIMIT * 0.6 < len(page.encode()) <= LIMIT
    assert re.search(r"Images of 9\d\d of 1,000 classes", page)
    assert "Detail of images" in page
    assert "60 of 1,000 classes, those with the lowest" in page


def test_short_names_stay_different() -> None:
    names = [*NAMES, "x" * 300, "x" * 301, "line\u2029end"]
    short = short_names(names)
    assert len(set(short.values())) == len(names)
    assert all(len(each) <= 60 and each.isprintable() for each in short.values())
    assert short["cat"] == "cat"


@pytest.mark.slow
def test_the_commit_is_the_last_that_changed_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, ["a", "b"])
    git(tmp_path, "init", "-q", "-b", "main")
    monkeypatch.chdir(tmp_path)
    assert read_origin(present.INPUTS) is None
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Inputs & <all>")
    page = made(tmp_path, monkeypatch)
    assert "Inputs &amp; &lt;all&gt;" in page
    assert "changes since" not in page
    # Results alone change nothing in the page.
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Results")
    assert made(tmp_path, monkeypatch) == page
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY | {"lr": 0.5}))
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/new file.py").write_text("")
    found = read_origin(present.INPUTS)
    assert found
    assert found.subject == "Inputs & <all>"
    assert found.changed == ("params.yaml", "stages/")
    page = made(tmp_path, monkeypatch)
    assert "and changes since: params.yaml, stages/" in page
    assert "8 epochs at lr 0.5" in page


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_origin(present.INPUTS) is None
