"""What survives a kill: checkpoints keyed by all that decides the weights."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from foldwise.core.errors import UserError
from foldwise.training.keys import key_of
from foldwise.training.processes import follows
from foldwise.training.settings import Recipe

LAST = "last.ckpt"


def run_key(recipe: Recipe, fold: int, data: list[Any]) -> str:
    """A hash of what decides the weights: the recipe, the data, our code, torch's version.

    Args:
        recipe: of the member.
        fold: that is held out.
        data: anything with a stable `repr` that tells one data set and split from another.
    """
    return key_of(recipe.model_dump_json(), fold, data)


@contextmanager
def checkpoint_folder(folder: Path) -> Iterator[Path]:
    """Hold a checkpoint folder for one process; delete it when training ended well.

    A second process waits: when DVC is killed outright, the training that it started notices
    only at its next batch (see `StopWhenOrphaned`). Processes that help this one hold nothing.
    """
    if follows():
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waiting for process {lock.read()}, which trains this fold", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the one that it replaces.

    Lightning's own way goes through the system's temporary folder: from another file system it is
    copied, and a kill leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        temporary = Path(f"{path}.partial")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            # Else the name could reach the disk before the content.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


class EarlyStoppingOnce(EarlyStopping):
    """Early stopping that stays stopped when resumed from the epoch at which it stopped."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class StopWhenOrphaned(pl.Callback):
    """Ends training that DVC started once DVC is gone: nobody would collect its results."""

    def __init__(self) -> None:
        self._dvc = _dvc() if "DVC_STAGE" in os.environ else None

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if self._dvc is not None and not _alive(self._dvc):
            raise UserError("the `dvc` that started this training is gone; run it again to go on")


def _dvc() -> psutil.Process:
    """The process that started this one, or that started the shell which did.

    DVC runs `$SHELL -c <cmd>`: bash becomes the command, dash waits for it. For a process that
    helps another one, it is that one.
    """
    parent, *older = psutil.Process().parents()
    return older[0] if older and parent.cmdline()[-2:-1] == ["-c"] else parent


def _alive(process: psutil.Process) -> bool:
    """Whether a process runs still; a killed one that nobody waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
