"""A clone of the repository in which trials run, so that nobody's working tree is touched.

It has the base's files and shares git's objects and DVC's cache with the repository; what a trial
leaves goes back as an experiment, as `dvc exp run` would have made it.
"""

import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dvc.repo.experiments.refs import ExpRefInfo
from dvc.utils.serialize import modify_yaml

from foldwise.core import files
from foldwise.core.damage import LOCK
from foldwise.core.errors import UserError
from foldwise.core.settings import PARAMS, read_file
from foldwise.tuning.halving import METRIC, validation_scores
from foldwise.tuning.processes import end_all, end_stages, git, last_error

POLL = 0.2
"""Seconds between looks at a stage."""


DATA_STAGES = ("fetch", "split")
KEPT = ("data", "extra", "tune", "tune_rungs", "tune_importances")
"""Files of metrics/ and plots/ that are of the data, or of the study before."""
QUIETLY = ("--quiet", "--no-tags", "--no-write-fetch-head")


class StageError(Exception):
    """A stage of a trial ended with an error; its text is the stage's last line."""


class StoppedError(Exception):
    """A stage was ended, as its trial is not worth going on with or the study is interrupted."""


class Workspace:
    """One clone.

    Args:
        clone: where it lies, or is to lie.
        origin: the project's folder, in a sub-folder of its repository or not.
        base: the commit that every trial starts from.
        environment: of the stages, beside this process's own.
        interrupted: once it is set, what runs is ended.
    """

    def __init__(
        self,
        clone: Path,
        origin: Path,
        base: str,
        environment: dict[str, str],
        interrupted: threading.Event,
    ) -> None:
        self.origin, self.base = origin.resolve(), base
        self.environment, self.interrupted = environment, interrupted
        self._clone = clone.resolve()
        self.folder = self._clone / git(self.origin, "rev-parse", "--show-prefix")
        self._mark, self._ready, self._log = (
            self._clone.with_name(f"{clone.name}.{end}") for end in ("trial", "ready", "log")
        )

    def prepare(self) -> None:
        """Make the clone, or end what a killed study has left running in it."""
        end_all(self._clone)
        # What a killed git leaves stops every later one.
        for lock in (self._clone / ".git").rglob("*.lock"):
            lock.unlink(missing_ok=True)
        if not self._ready.exists():
            shutil.rmtree(self._clone, ignore_errors=True)
            self._clone.parent.mkdir(parents=True, exist_ok=True)
            root = git(self.origin, "rev-parse", "--show-toplevel")
            git(
                self.origin, "clone", "--quiet", "--shared", "--no-checkout", root, str(self._clone)
            )
            git(self._clone, "checkout", "--quiet", "--detach", self.base)
            # `git add` must not take it for a file: in a clone it is a link.
            excluded = self._clone / ".git/info/exclude"
            excluded.parent.mkdir(exist_ok=True)
            excluded.write_text(f"{files.FEATURES}\n", encoding="utf-8")
            kept = self.origin / files.FEATURES
            kept.mkdir(exist_ok=True)
            (self.folder / files.FEATURES).symlink_to(kept)
            self._share_cache()
            self._ready.touch()
        self._run([sys.executable, "-m", "foldwise", "doctor", "--quiet"])

    def _share_cache(self) -> None:
        local = self.origin / ".dvc/config.local"
        if local.exists():
            shutil.copyfile(local, self.folder / ".dvc/config.local")
        shown = subprocess.run(
            ["dvc", "cache", "dir"], cwd=self.origin, capture_output=True, text=True, check=True
        )
        cache = (self.origin / shown.stdout.strip()).resolve()
        self._run(["dvc", "cache", "dir", "--local", str(cache)])

    @property
    def holds(self) -> int | None:
        """Number of the trial whose files lie here, perhaps not all yet."""
        try:
            return int(self._mark.read_text(encoding="utf-8").split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def reset(self, commit: str) -> None:
        """All files as a commit has them, those in DVC's cache included."""
        self._mark.unlink(missing_ok=True)
        shutil.rmtree(self.folder / files.CHECKPOINTS, ignore_errors=True)
        git(self.folder, "checkout", "--quiet", "--force", "--detach", commit)
        git(self.folder, "clean", "--quiet", "-fd")
        self._run(["dvc", "checkout", "--quiet", "--force", "--allow-missing"])

    def mark(self, number: int) -> float:
        """Note whose files lie here; the seconds that were spent on it before a kill."""
        seconds = 0.0
        if self.holds == number:
            # Up to the last sign of life.
            began, lived = self._mark.stat().st_mtime, self._log.stat().st_mtime
            seconds = float(self._mark.read_text("utf-8").split()[1]) + max(0.0, lived - began)
        with files.replacing(self._mark) as temporary:
            temporary.write_text(f"{number} {seconds:.1f}\n", encoding="utf-8")
        return seconds

    def write_params(self, params: dict[str, object]) -> None:
        """Replace what params.yaml says; comments stay where their keys do."""
        if read_file(self.folder / PARAMS) == params:
            return
        with modify_yaml(self.folder / PARAMS) as content:
            _merge(content, params)

    def drop_others(self, members: Sequence[str]) -> None:
        """Remove what members have left here that are not among these: DVC does not."""
        for folder in (files.MODELS, files.PREDICTIONS, files.LAST_FEATURES, files.CURVES):
            for path in (self.folder / folder).glob("*"):
                if path.is_dir() and path.name not in members:
                    shutil.rmtree(path)

    def forget_curves(self, members: Sequence[str]) -> None:
        """Remove the base's learning curves of members that are to be trained."""
        for member in members:
            shutil.rmtree(self.folder / files.CURVES / member, ignore_errors=True)

    def scores_of(self, member: str, fold: int) -> dict[int, float]:
        """What a member's fold scores on its held-out images, by epochs."""
        return validation_scores(self.folder / files.CURVES / member / str(fold))

    def say_pruned(self, epochs: int, score: float) -> None:
        """Leave of the base's run what a pruned trial shares with it, and say how far it went."""
        self.forget_stages(lambda stage: stage not in DATA_STAGES)
        for folder in (files.METRICS, files.PLOTS):
            for path in (self.folder / folder).iterdir():
                if path.is_file() and path.stem not in KEPT:
                    path.unlink()
        said = {"pruned": {"epochs": epochs, METRIC: None if math.isnan(score) else score}}
        files.write_json(self.folder / files.METRICS / "summary.json", said)

    def forget_stages(self, which: Callable[[str], bool]) -> None:
        """Take stages of the base that were not run again out of dvc.lock."""
        with modify_yaml(self.folder / LOCK) as content:
            for stage in [name for name in content["stages"] if which(name)]:
                del content["stages"][stage]

    def repro(self, targets: Sequence[str], watch: Callable[[], bool] = lambda: False) -> None:
        """Reproduce stages, one after another, without those before them.

        Args:
            targets: DVC's names.
            watch: asked again and again while they run; if it says True, they are ended.

        Raises:
            StageError: one did not end well.
            StoppedError: they were ended.
        """
        failed = self._end_of(["dvc", "repro", "--single-item", *targets], watch)
        if failed is not None:
            raise StageError(failed)

    def _run(self, words: list[str]) -> None:
        failed = self._end_of(words)
        if failed is not None:
            raise UserError(f"{' '.join(words[:2])}, in {self.folder}: {failed}")

    def _end_of(self, words: list[str], watch: Callable[[], bool] = lambda: False) -> str | None:
        """Run a command: None if it ends well, else what it says of why not."""
        with self._log.open("w", encoding="utf-8") as output:
            # A session of its own: Ctrl-C reaches this process alone, which ends stages in order.
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env=os.environ | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stopped = False
            try:
                while process.poll() is None:
                    stopped = stopped or self.interrupted.is_set() or watch()
                    if stopped:
                        # Again and again: DVC may be between two stages.
                        end_stages(process.pid)
                    time.sleep(POLL)
            except BaseException:
                # Ctrl-C, where it is the main thread that waits.
                while process.poll() is None:
                    end_stages(process.pid)
                    time.sleep(POLL)
                raise
        if stopped:
            raise StoppedError
        if not process.returncode:
            return None
        return last_error(self._log.read_text(encoding="utf-8", errors="replace"))

    def record(self, name: str, message: str) -> str:
        """Keep what lies here as an experiment of the repository; the commit's hash.

        Args:
            name: of the experiment; one of the same name is replaced.
            message: the commit's.
        """
        git(self.folder, "add", "--all")
        tree = git(self.folder, "write-tree")
        commit = git(self.folder, "commit-tree", tree, "-p", self.base, "-m", message)
        ref = str(ExpRefInfo(self.base, name))
        git(self.folder, "update-ref", ref, commit)
        where = str(self._clone)
        git(self.origin, "fetch", *QUIETLY, where, f"+{ref}:{ref}")
        return commit

    def record_as(self, name: str, commit: str) -> None:
        """Give an experiment another name."""
        git(self.origin, "update-ref", str(ExpRefInfo(self.base, name)), commit)


def _merge(kept: dict[str, object], wanted: dict[str, object]) -> None:
    """Make `kept` equal to `wanted`, in place."""
    for name in [name for name in kept if name not in wanted]:
        del kept[name]
    for name, value in wanted.items():
        own = kept.get(name)
        if isinstance(own, dict) and isinstance(value, dict):
            _merge(own, value)
        elif own != value or type(own) is not type(value):
            kept[name] = value
