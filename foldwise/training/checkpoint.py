"""What survives a kill: checkpoints keyed by all that decides the weights."""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from foldwise.core.errors import UserError
from foldwise.training.distributed import is_main_process
from foldwise.training.settings import Recipe

ROOT = Path(__file__).parents[2]
"""What paths of code are relative to."""
LAST = "last.ckpt"
LIBRARIES = (
    "albumentations",
    "efficientnet-pytorch",
    "lightning",
    "opencv-python-headless",
    "timm",
    "torch",
    "torchvision",
)


def key_of(code: Iterable[str], *parts: Any, root: Path = ROOT) -> str:
    """A name for what is kept between runs, which differs where the content would.

    Args:
        code: folders and files of ours that decide the content, from the repository's root; of
            folders all modules below them.
        parts: anything else that does, with a stable `repr`. Versions of libraries are among it
            anyway.
        root: of the repository.
    """
    named = [root / each for each in code]
    files = [path for each in named for path in (each.rglob("*.py") if each.is_dir() else [each])]
    content = sorted((path.relative_to(root).as_posix(), path.read_bytes()) for path in files)
    digest = hashlib.sha256()
    for part in (content, [version(each) for each in LIBRARIES], *parts):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def run_key(code: Iterable[str], recipe: Recipe, fold: int, data: list[Any]) -> str:
    """A hash of what decides the weights: the recipe, the data, our code, torch's version.

    Args:
        code: folders and files of ours, as for `key_of`.
        recipe: of the member.
        fold: that is held out.
        data: anything with a stable `repr` that tells one data set and split from another.
    """
    return key_of(code, recipe.model_dump_json(), fold, data)


@contextmanager
def checkpoint_folder(folder: Path) -> Iterator[Path]:
    """Hold a checkpoint folder for one process; delete it when training ended well.

    A second process waits: when DVC is killed outright, the training that it started notices
    only at its next batch (see `StopWhenOrphaned`). Processes that help this one hold nothing.
    """
    if not is_main_process():
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
