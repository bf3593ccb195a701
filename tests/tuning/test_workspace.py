"""Where trials run: what is ended, and what a kill leaves."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.tuning.processes import git
from foldwise.tuning.workspace import StoppedError, Workspace

DVC = f"""#!/bin/sh
sleep 1
{sys.executable} -c "import time; time.sleep(600)" stages.first || exit 1
touch went-on
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One whose `dvc` takes its time before it starts a stage."""
    subprocess.run(["git", "init", "-q", tmp_path / "origin"], check=True)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "dvc").write_text(DVC)
    (folder / "dvc").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    made = Workspace(
        tmp_path / "clone", tmp_path / "origin", "b", {"PATH": path}, threading.Event()
    )
    made.folder.mkdir()
    return made


@pytest.mark.parametrize("by", ["watch", "interrupt"])
def test_what_is_to_end_ends_before_its_first_stage_too(
    workspace: Workspace, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", workspace.environment["PATH"])
    if by == "interrupt":
        workspace.interrupted.set()
    with pytest.raises(StoppedError):
        workspace.repro(["first"], lambda: by == "watch")
    assert not (workspace.folder / "went-on").exists()


def test_seconds_before_a_kill_count(workspace: Workspace) -> None:
    mark, log = (workspace.folder.with_name(f"clone.{end}") for end in ("trial", "log"))
    assert workspace.mark(3) == 0
    assert workspace.holds == 3
    log.write_text("")
    for seconds, wanted in ((40, 40), (2, 42)):
        at = mark.stat().st_mtime + seconds
        os.utime(log, (at, at))
        assert workspace.mark(3) == pytest.approx(wanted, abs=0.2)
    # Another trial's are not this one's.
    assert workspace.mark(4) == 0
    assert workspace.holds == 4


def test_what_git_refuses_is_a_line_that_names_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "file").touch()
    (tmp_path / ".git/index.lock").touch()
    with pytest.raises(UserError, match=r"git add file: fatal: .*index\.lock"):
        git(tmp_path, "add", "file")
