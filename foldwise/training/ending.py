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
from foldwise.core.program import note_signal


class EndOnSignal(pl.Callback):
    """Ends training on SIGTERM and Ctrl-C, at the end of the batch.

    In the midst of one, finalizers and locks of libraries would swallow what a handler raises, and
    print a traceback. Lightning's own handler of SIGTERM ends with exit code 0, and what it does
    with Ctrl-C is code 1 without a word. A second Ctrl-C does not wait for the batch.
    """

    def __init__(self) -> None:
        self._before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def on_train_start(self, *_: Any) -> None:
        # The first hook after Lightning has put its handler in place.
        if threading.current_thread() is threading.main_thread():
            for each, before in self._before.items():
                # What was ignored before, as in a shell's background job, stays so.
                signal.signal(each, self._handle if callable(before) else before)

    def on_train_end(self, *_: Any) -> None:
        self._give_back()

    def _give_back(self) -> None:
        """Ctrl-C alone: Lightning gives SIGTERM back itself."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])

    def _handle(self, number: int, _: FrameType | None) -> None:
        if Terminated.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        note_signal(number)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if Terminated.came:
            raise Terminated

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        if Terminated.came:
            raise Terminated

    def on_exception(self, trainer: pl.Trainer, _: Any, exception: BaseException) -> None:
        if not Terminated.came:
            self._give_back()
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
