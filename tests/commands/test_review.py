"""The command in a small project: what it asks, refuses and takes over."""

import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from playwright.sync_api import Browser

from foldwise.commands.review import add, corrections_path, refuse_odd
from foldwise.core.errors import UserError
from foldwise.review.answer_file import AnswerFile, AnswerRow, as_csv, read_answers
from tests.chromium import needs_chromium
from tests.conftest import Project, environment
from tests.review.made import made_run
from tests.review.windows import opened


@contextmanager
def started(project: Project, *arguments: str) -> Iterator[str]:
    """The command, as a user starts and ends it; gives its address."""
    command = [sys.executable, "-m", "foldwise", "review", *arguments]
    process = subprocess.Popen(
        command, cwd=project.path, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stderr
        assert re.fullmatch(r"[\d,]+ images to review, [\d,]+ of them answered; .*\n",
                            process.stdout.readline())  # fmt: skip
        yield process.stdout.readline().strip()
        # As a terminal sends Ctrl-C: to all of its processes.
        os.killpg(process.pid, signal.SIGINT)
        assert "images answered" in process.stdout.read()
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


@needs_chromium
def test_the_command_in_a_project(
    copied: Project, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answered, ended, started again: what was answered is not asked again."""
    path = copied.path / "corrections.csv"
    with started(copied) as url, opened(browser, url) as page:
        first = page.text_content("#id")
        assert page.locator("#classes .by").first.text_content()
        while page.text_content("#id") == first:
            page.keyboard.press("r")
            page.wait_for_timeout(100)
        page.keyboard.press("h")
        page.wait_for_selector(".picture .heat", timeout=120_000)
        page.wait_for_function("document.querySelector('.heat').naturalWidth > 0")
    rows = read_answers(path)
    assert {each.id for each in rows} == {first}
    assert {each.why for each in rows} == {"right"}
    with started(copied) as url, opened(browser, url) as page:
        assert page.text_content("#id") != first
    with started(copied, "--again") as url, opened(browser, url) as page:
        assert page.text_content("#id") == first
    assert read_answers(path) == rows
    other = copied.path / "colleague.csv"
    path.rename(other)
    copied.command("review", "--add", str(other))
    assert f"{len(rows)} rows of {other} are new, 0 answers left out" in capsys.readouterr().out
    assert read_answers(path) == rows


def test_what_the_command_refuses(copied: Project) -> None:
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    copied.write_params(params | {"evaluate": params["evaluate"] | {"test": False}})
    assert "evaluate.test: false" in copied.command("review", "--test", code=1)
    assert "--most: 0: must be 1 or more" in copied.command("review", "--most", "0", code=1)
    (copied.path / "corrections.csv").write_text("id\n")
    assert "its first line must be" in copied.command("review", code=1)
    labels = copied.path / "data/labels.parquet"
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(content[:-1])
    assert "labels.parquet: is not what dvc.lock has on record" in copied.command("review", code=1)


@pytest.mark.parametrize(
    ("most", "port", "said"),
    [(0, 0, "--most: 0: "), (-1, 0, "--most: -1: "), (1, -1, "--port: -1: "),
     (1, 65536, "--port: 65536: ")],
)  # fmt: skip
def test_numbers_that_mean_nothing(most: int, port: int, said: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(said)}must be"):
        refuse_odd(Namespace(most=most, port=port))
    refuse_odd(Namespace(most=1, port=65535))


def test_what_is_added_and_what_is_left_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_run(tmp_path / "run", False)
    monkeypatch.chdir(folder)
    labels = pd.read_parquet("data/labels.parquet").set_index("id")
    was = str(labels.at["train/0.png", "cat"])
    first, other = AnswerFile(Path("corrections.csv")), Path("theirs.csv")
    ours = AnswerRow("train/0.png", "cat", was, str(1 - int(was)), "2026-11-26T18:00:00Z", "wrong")
    # Of an image of the test part, whose label was corrected meanwhile: `was` is the source's.
    now = str(labels.at["test/0.png", "007"])
    source = str(1 - int(now))
    Path("data/corrected.csv").write_text(
        f"id,class,was,is,why\ntest/0.png,007,{source},{now},wrong\n"
    )
    new = AnswerRow("test/0.png", "007", source, source, "2026-11-26T18:00:01Z", "right")
    with first.held() as rows:
        rows.append(ours)
    theirs = [ours._replace(label=was, why="right", when="2026-11-26T17:00:00Z"), new]
    other.write_text(as_csv([*theirs, new._replace(class_name="owl")]), encoding="utf-8")
    add(first.path, other)
    assert first.rows() == [ours, new]
    assert capsys.readouterr().out.splitlines() == [
        "left out: test/0.png, owl: there is no such class",
        f"left out: train/0.png, cat: is {was} there; ours, {1 - int(was)}, stays",
        "corrections.csv: 1 rows of theirs.csv are new, 2 answers left out",
    ]


def test_where_answers_go() -> None:
    assert corrections_path({"data": {"corrections": "a/b.csv"}}) == Path("a/b.csv")
    others: list[dict[str, Any]] = [{}, {"data": {}}, {"data": {"corrections": None}}]
    for params in others:
        assert corrections_path(params) == Path("corrections.csv")
