"""What other commits hold, wherever the project lies in its repository and whoever owns that."""

import os
import shutil
from pathlib import Path

import pytest

from foldwise import revisions
from foldwise.core.errors import UserError
from tests.conftest import Project


@pytest.fixture
def below(reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The run's project, in a sub-folder of a repository."""
    path = tmp_path / "top/inner/project"
    ignored = shutil.ignore_patterns(".git")
    shutil.copytree(reproduced.path, path, symlinks=True, ignore=ignored)
    project = Project(path)
    Project(tmp_path / "top").run("git", "init", "-q", "-b", "main")
    project.commit("Run")
    monkeypatch.chdir(path)
    return project


@pytest.mark.slow
def test_a_project_in_a_sub_folder_reads_its_commits(below: Project, tmp_path: Path) -> None:
    commit = revisions.resolve("HEAD", "here")
    for name in ("data/ensemble.npz", "data/decision.json", "data/models/cnn/0"):
        revisions.fetch(commit, Path(name), tmp_path / "brought")
        brought = Project(tmp_path).bytes_of("brought") or {
            "brought": (tmp_path / "brought").read_bytes()
        }
        wanted = below.bytes_of(name) or {name: (below.path / name).read_bytes()}
        assert list(brought.values()) == list(wanted.values())
        shutil.rmtree(tmp_path / "brought", ignore_errors=True)
        (tmp_path / "brought").unlink(missing_ok=True)
    assert revisions.committed_params()["members"] == ["cnn"]
    assert "within noise" in below.run("python", "-m", "foldwise", "compare", "HEAD").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another user")
def test_a_repository_of_another_owner_is_one_line_with_gits_remedy(below: Project) -> None:
    for folder in (below.path.parents[1], below.path.parents[1] / ".git"):
        os.chown(folder, 12345, 12345)
    with pytest.raises(UserError, match=r"git: .* is not owned by current user; `git status`"):
        revisions.resolve("HEAD", "here")
