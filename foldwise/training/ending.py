"""How a training ends early: by a signal, with the process that started it, or by its metrics."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import psutil
from lightning.pytorch.callbacks import EarlyStopping

from foldwise.core.errors import Terminated, UserError
from foldwise.core.program import note_sigterm


class EndOnSigterm(pl.Callback):
    """Keeps SIGTERM what it was before training: Lightning's own handler ends with exit code 0.

    In training it is the end of the batch that raises: in the midst of one, finalizers and locks of
    libraries would swallow it, with a traceback.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        # The first hook after Lightning has put its handler in place.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handle if callable(self._before) else self._before)

    def _handle(self, _: int, __: FrameType | None) -> None:
        note_sigterm()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if Terminated.came:
            raise Terminated

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        if Terminated.came:
            raise Terminated

    def on_exception(self, trainer: pl.Trainer, _: Any, exception: BaseException) -> None:
        # Processes that help would wait for this one's share of a sum.
        launcher = trainer.strategy.launcher
        if launcher is not None and isinstance(exception, Terminated | UserError):
            launcher.kill(signal.SIGKILL)


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
