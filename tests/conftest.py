"""A small project to run stages in: a real git and DVC repository in a temporary folder."""

import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from playwright.sync_api import Browser

from foldwise.core.errors import UserError
from tests.chromium import launched
from tests.server import Server
from tests.studies import write_no_study

ROOT = Path(__file__).parents[1]

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# Before torch is imported: tests run side by side, and threads that spin would starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY: dict[str, Any] = {
    "lr": 0.01,
    "epochs": 8,
    "seed": 1,
    "folds": [0, 1],
    "members": ["cnn"],
    "data": {
        "source": "glyphs",
        "path": "data/incoming",
        "extra_path": "data/extra",
        "glyphs": {
            "images": {"train": 48, "test": 16},
            "compose": {"canvas": 24, "size": [8, 14], "glyphs": [1, 3]},
        },
    },
    "split": {"method": "kfold"},
    "models": {
        "cnn": {
            "backbone": "foldwise/plain_cnn",
            "options": {"widths": [4, 8], "pools": [0]},
            "dropout": 0.1,
            "image_size": 24,
            "channels": 1,
        }
    },
    "train": {
        "batch_size": 8,
        # Written, so that they are objects of their own: defaults are shared with other settings.
        "loss_options": {"label_smoothing": 0.0},
        "scheduler_options": {"warmup": 0.3},
        # Written too, so that `-S train.warm_start=HEAD` finds it.
        "warm_start": None,
        "augment": [{"Affine": {"translate_percent": [-0.1, 0.1], "p": 1.0}}, "HorizontalFlip"],
    },
    "tta": {"views": ["identity", "rot90", "shift(1, 0)"], "merge": "mean_probability"},
    "ensemble": {"folds": "mean_probability", "members": "mean_probability"},
    "threshold": {"objective": "accuracy"},
    "evaluate": {"submission": "data/submission.csv", "examples": 5},
    "map": {"features": True, "neighbours": 3},
    "compute": {"accelerator": "cpu", "workers": 0},
}


class Project:
    """A copy of the pipeline with params of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command there; fail unless it exits with `code` (None: any)."""
        result = subprocess.run(
            command, cwd=self.path, env=environment(), capture_output=True, text=True, check=False
        )
        if code is not None:
            assert result.returncode == code, f"{command}\n{result.stdout}\n{result.stderr}"
        return result

    def stage(self, name: str, *arguments: str, code: int | None = 0) -> str:
        """Run a stage there in this process, which has imported all of it; its stderr.

        A `UserError` is what exits with 1; tests/core/test_program.py sees how.
        """
        return self._here(f"stages.{name}", *arguments, code=code)

    def command(self, name: str, *arguments: str, code: int | None = 0) -> str:
        """Run a command of `python -m foldwise` likewise."""
        return self._here(f"foldwise.commands.{name.replace('-', '_')}", *arguments, code=code)

    def _here(self, module: str, *arguments: str, code: int | None) -> str:
        main = importlib.import_module(module).main
        said = io.StringIO()
        found = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.path)
            patch.setattr(sys, "argv", [module, *arguments])
            patch.setattr(sys, "stderr", said)
            try:
                main()
            except UserError as error:
                found = 1
                said.writelines(f"error: {each}\n" for each in error.args)
        assert code in (None, found), said.getvalue()
        return said.getvalue()

    def write_params(self, params: dict[str, Any]) -> None:
        (self.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def bytes_of(self, *folders: str) -> dict[str, bytes]:
        """Every file's content below the folders."""
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for folder in folders
            for path in sorted((self.path / folder).rglob("*"))
            if path.is_file()
        }


def environment() -> dict[str, str]:
    """This process's environment, with its own Python first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
    }


def make_project(path: Path) -> Project:
    """A fresh project with the tiny params, committed, nothing run."""
    path.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("stages", "foldwise"):
        shutil.copytree(ROOT / folder, path / folder, ignore=ignored)
    (path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", path / ".dvc/config")
    shutil.copy(ROOT / ".dvc/.gitignore", path / ".dvc/.gitignore")
    shutil.copytree(ROOT / ".dvc/plots", path / ".dvc/plots")
    shutil.copytree(ROOT / ".ci", path / ".ci")
    folders = ("data/incoming", "data/extra")
    copied = ("dvc.yaml", "corrections.csv", ".dvcignore", ".gitignore", "data/.gitignore")
    for name in (*copied, *folders):
        (path / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            (path / name).mkdir()
            shutil.copy(ROOT / name / "README.md", path / name)
        else:
            shutil.copy(ROOT / name, path / name)
    for name in ("metrics", "plots"):
        (path / name).mkdir()
    write_no_study(path)
    project = Project(path)
    project.write_params(TINY)
    project.run("git", "init", "-q", "-b", "main")
    project.commit("Start")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


RUN = "FOLDWISE_TEST_RUN"
"""Environment variable: where the run lies that all processes of one pytest share."""

SHARING = {"reproduced", "copied"}
"""Fixtures that need the shared run."""

SLOW = {"browser", "cluster", "local_ray"}
"""Fixtures that are a browser or a cluster."""


def pytest_configure() -> None:
    """Ctrl-C counts in what tests start: a shell's background job ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the shared run beside the tests, in the process that starts all others."""
    if os.environ.get("PYTEST_XDIST_WORKER") or session.config.option.collectonly:
        return
    folder = tempfile.mkdtemp(prefix="foldwise-run-")
    session.config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ[RUN] = folder
    if hasattr(session.config.option, "numprocesses") and session.config.option.numprocesses:
        # What several processes will want is made while they do other things.
        command = [sys.executable, "-c", "from tests.conftest import finished; finished()"]
        made = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        session.config.add_cleanup(lambda: _end(made))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for the shared run come last; of those the slow ones first.

    What opens a browser or starts a cluster is slow, whatever it does with it.
    """

    def rank(item: pytest.Item) -> int:
        if not SHARING & set(getattr(item, "fixturenames", ())):
            return 0
        return 1 if item.get_closest_marker("slow") else 2

    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=rank)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started, if it has not ended yet."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished() -> Path:
    """A project after one `dvc repro`, committed; made by the first process that asks."""
    folder = Path(os.environ[RUN])
    path = folder / "reproduced"
    with FileLock(folder / "lock"):
        if not path.exists():
            made = make_project(folder / "partial")
            made.run("dvc", "repro")
            made.commit("Run")
            made.path.rename(path)
    return path


@pytest.fixture(scope="session")
def reproduced() -> Project:
    """The shared run; only to be looked at."""
    return Project(finished())


@pytest.fixture
def copied(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced project, to change at will."""
    # Another process may be looking at it with git or DVC, whose locks come and go.
    locks = shutil.ignore_patterns("index.lock", "lock", "rwlock", "rwlock.lock")
    shutil.copytree(reproduced.path, tmp_path / "copy", symlinks=True, ignore=locks)
    return Project(tmp_path / "copy")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; a module's, as its event loop would be in the way of others' tests."""
    with launched() as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()
